/**
 * Commands in a container, run by a fake dockerd as real processes. Proves: what they read, write and end with; one that writes without
 * end takes bounded memory and gets its lines taken at the reader's pace.
 */
import { setTimeout as after } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Command, DockerError, type ExecLine } from "../../../agent/src/docker";
import { failureOf } from "../../lib/failure";
import { until } from "../../lib/until";
import { container, dockerd, engine, newDockerdForEachTest, session, the, UNREAD, WAIT_MS } from "./exec-rig";

newDockerdForEachTest();

describe("a command", () => {
  it.each(["1.41", "1.45"])("gives its outputs and its exit code in version %s", async (api) => {
    dockerd.api = api;
    const result = await engine.exec(container, { shell: "echo out; echo err >&2; exit 3" });
    expect(result).toEqual({
      exitCode: 3,
      stdout: "out\n",
      stderr: "err\n",
      truncated: false,
      timedOut: false,
    });
    await until("the end of the connection", WAIT_MS, () => !the().connected);
  });

  it("is told all that it is to be run with, and none of it stands in an error", async () => {
    const env = { TOKEN: "s3cret=1", EMPTY: "" };
    const command: Command = {
      argv: ["sh", "-c", 'echo "$TOKEN|$EMPTY|$(pwd)"'],
      env,
      user: "1000:1000",
      workdir: "/tmp",
    };
    expect((await engine.exec(container, command)).stdout).toBe("s3cret=1||/tmp\n");
    expect(the().body).toEqual({
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
      Cmd: command.argv,
      Env: ["TOKEN=s3cret=1", "EMPTY="],
      User: "1000:1000",
      WorkingDir: "/tmp",
    });
    dockerd.mood("POST /containers/ID/exec", {
      kind: "status",
      status: 409,
      message: "container x is paused",
    });
    const error = await failureOf(DockerError, engine.exec(container, command));
    expect(error.message).toBe(`run a command in container ${container.slice(0, 12)}: container x is paused`);
    expect([error.outcome, error.status]).toEqual(["refused", 409]);
  });

  it("reads what it is given to its end, and the last words after that are not lost", async () => {
    const stdin = Buffer.alloc(3_000_000, "x");
    const result = await engine.exec(container, { argv: ["wc", "-c"] }, { stdin });
    expect([result.stdout.trim(), result.exitCode]).toEqual(["3000000", 0]);
    const none = await engine.exec(container, { argv: ["wc", "-c"] });
    expect(none.stdout.trim()).toBe("0");
  });

  it.each<[string, Command, number]>([
    ["ends at once", { argv: ["true"] }, 0],
    ["reads its beginning", { shell: "head -c 1 >/dev/null; exit 3" }, 3],
    ["cannot be started", { argv: ["no-such-program"] }, 127],
    ["closes its input and goes on", { shell: "exec <&-; sleep 0.3; echo done; exit 4" }, 4],
    ["closes its outputs as well", { shell: "exec <&- >/dev/null 2>&1; sleep 0.3; exit 5" }, 5],
  ])("that leaves input unread and %s has its exit code", async (_how, command, exitCode) => {
    const result = await engine.exec(container, command, { stdin: UNREAD });
    expect(result).toMatchObject({ exitCode, timedOut: false });
  });

  it("that leaves input unread loses nothing of what it writes, however slowly that is taken", async () => {
    const lines: string[] = [];
    const onLine = async ({ line }: ExecLine) => {
      lines.push(line);
      if (lines.length > 1) return;
      // Its last words then wait on the way, behind those that were taken.
      await until("the end of the connection", WAIT_MS, () => !the().running && !the().connected);
    };
    const result = await engine.exec(container, { shell: "seq 1 25000; exit 6" }, { stdin: UNREAD, onLine });
    const all = Array.from({ length: 25_000 }, (_none, i) => String(i + 1));
    expect(lines).toEqual(all);
    expect(result).toMatchObject({ exitCode: 6, stdout: `${all.join("\n")}\n`, truncated: false });
  });

  it("with a terminal writes all into one output", async () => {
    const result = await engine.exec(container, { shell: "echo out; echo err >&2" }, { tty: true });
    expect(result.stdout.split("\n").toSorted()).toEqual(["", "err", "out"]);
    expect(result.stderr).toBe("");
  });

  it("that could not be started says why", async () => {
    const result = await engine.exec(container, { argv: ["no-such-program"] });
    expect(result.exitCode).toBe(127);
    expect(result.stdout).toContain('exec: "no-such-program": executable file not found in $PATH');
  });

  it("ends when it ends, not when its outputs do", async () => {
    const result = await engine.exec(container, { shell: "exec >/dev/null 2>&1; sleep 0.5; exit 7" });
    expect(result.exitCode).toBe(7);
  });

  it("ends though a process that it left behind holds its outputs, and that process goes on", async () => {
    const result = await engine.exec(container, { shell: "sleep 1000 & echo begun" });
    expect([result.exitCode, result.stdout]).toEqual([0, "begun\n"]);
    expect(session()).toHaveLength(1);
    process.kill(session()[0] ?? 0, "SIGKILL");
  });

  it("that is killed in its container says so by its exit code", async () => {
    expect((await engine.exec(container, { shell: "kill -9 $$" })).exitCode).toBe(137);
  });

  it("is cut where it writes more than is kept, and still ends by itself", async () => {
    const result = await engine.exec(
      container,
      { shell: "yes x | head -c 3000000; echo err >&2" },
      { maxBytes: 1000 },
    );
    expect(result).toEqual({
      exitCode: 0,
      stdout: "x\n".repeat(500),
      stderr: "err\n",
      truncated: true,
      timedOut: false,
    });
  });

  it("gives its lines as they come, and waits for whoever takes them", async () => {
    const lines: ExecLine[] = [];
    let let1: () => void = () => {};
    const go = new Promise<void>((resolve) => {
      let1 = resolve;
    });
    const onLine = async (line: ExecLine) => {
      lines.push(line);
      await go;
    };
    const result = engine.exec(container, { shell: "seq 1 300000; printf end >&2" }, { onLine, maxBytes: 0 });
    await until("the first line", WAIT_MS, () => lines.length === 1);
    await after(300);
    expect(lines).toHaveLength(1);
    expect(the().running).toBe(true);
    let1();
    expect(await result).toMatchObject({ exitCode: 0, stdout: "", truncated: true });
    const out = lines.filter(({ stream }) => stream === "stdout").map(({ line }) => line);
    expect(out).toEqual(Array.from({ length: 300_000 }, (_none, i) => String(i + 1)));
    expect(lines.filter(({ stream }) => stream === "stderr")).toEqual([{ stream: "stderr", line: "end" }]);
  });
});
