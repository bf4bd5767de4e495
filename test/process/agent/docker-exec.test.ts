/**
 * Commands in a container: the fake dockerd runs them as real processes, over the connection that dockerd gives away. Proves:
 * what they read, write and end with; a command that is too slow, or whose caller has gone, leaves no process of its session;
 * one that writes without end takes bounded memory and gets its lines taken at the reader's pace.
 */
import { once } from "node:events";
import { setTimeout as after } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Command, DockerError, Engine, type ExecLine } from "../../../agent/src/docker";
import { procSessions } from "../../../agent/src/docker/sessions";
import { Proc } from "../../../agent/src/proc";
import { FakeDockerd } from "../../fakes/dockerd";
import { failureOf } from "../../lib/failure";
import { until } from "../../lib/until";

const WAIT_MS = 60_000;
/** More than a command's pipe and the way there take. */
const UNREAD = Buffer.alloc(3_000_000, "x");
const proc = new Proc();
let dockerd: FakeDockerd;
let engine: Engine;
let container: string;

const engineOf = (read?: number) => {
  // Here no cgroup has the container's name.
  const sessions = procSessions(proc, () => true);
  return new Engine({ socket: dockerd.socket, sessions, deadlines: read === undefined ? {} : { read } });
};

beforeEach(async () => {
  dockerd = new FakeDockerd();
  await dockerd.start();
  engine = engineOf();
  container = dockerd.put();
});
afterEach(() => dockerd.close());

const the = () => dockerd.execs.all[0] as (typeof dockerd.execs.all)[number];
/** Living processes of the first command's session. */
const session = () => proc.pids().filter((pid) => proc.sessionOf(pid) === the().pid);
/** How many groups they are in, as a shell gives its jobs. */
const groups = () =>
  new Set(session().map((pid) => proc.read(pid, "stat")?.split(") ").at(-1)?.split(" ")[2])).size;
const begun = () => until("the command", WAIT_MS, () => dockerd.execs.all[0]?.running && the());
const emptied = () => until("the end of the session", WAIT_MS, () => session().length === 0);

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

describe("a command that does not end", () => {
  const STILL_RUNS = /^run a command in container \w+: it still runs 1 s after it was killed$/;
  /** An engine on whose node no signal helps; its deadline is a second. */
  const unkillable = (look = () => {}) => {
    const signal = async () => {
      look();
      return 1;
    };
    const sessions = { leads: () => true, signal, marked: async () => [] };
    return new Engine({ socket: dockerd.socket, sessions, deadlines: { read: 1000 } });
  };

  /** Processes of several groups of one session; the first ignores what can be ignored. */
  const stubborn: Command = {
    argv: [
      "bash",
      "-c",
      "trap '' HUP TERM INT; set -m; sleep 1000 & sleep 1001 & echo begun; while :; do sleep 0.1; done",
    ],
  };

  it("is killed with all of its session when its time is over, and what it wrote is there", async () => {
    const result = await engine.exec(container, stubborn, { timeoutMs: 2000 });
    expect(result).toEqual({
      exitCode: 137,
      stdout: "begun\n",
      stderr: "",
      truncated: false,
      timedOut: true,
    });
    expect(session()).toEqual([]);
    expect(the().connected).toBe(false);
  });

  it("is killed when its caller has gone, who gets its own reason", async () => {
    const gone = new AbortController();
    const result = engine.exec(container, stubborn, { signal: gone.signal });
    await begun();
    await until("its processes", WAIT_MS, () => groups() >= 3);
    gone.abort(new Error("the caller has gone"));
    await expect(result).rejects.toThrow("the caller has gone");
    expect(session()).toEqual([]);
  });

  it("is not even begun for a caller who has gone before", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(engine.exec(container, { argv: ["true"] }, { signal })).rejects.toThrow("gone");
    await expect(engine.execStream(container, { argv: ["true"] }, { signal })).rejects.toThrow("gone");
    expect(dockerd.execs.all).toEqual([]);
  });

  it("is killed when its lines cannot be taken", async () => {
    const onLine = () => {
      throw new Error("the disk is full");
    };
    await expect(engine.exec(container, stubborn, { onLine })).rejects.toThrow("the disk is full");
    expect(session()).toEqual([]);
  });

  it("is killed when nobody was told that it began", async () => {
    const impatient = engineOf(1000);
    dockerd.mood("POST /exec/ID/start", { kind: "deaf" });
    const error = await failureOf(DockerError, impatient.exec(container, stubborn));
    expect(error.outcome).toBe("unknown");
    await emptied();
  });

  it("is killed when the daemon failed to say whether it has ended", async () => {
    dockerd.mood("GET /exec/ID/json", { kind: "status", status: 500, message: "too many open files" }, 1);
    const command = { shell: "exec >/dev/null 2>&1; sleep 1000" };
    const error = await failureOf(DockerError, engine.exec(container, command));
    expect(error.message).toContain("too many open files");
    expect(the().pid).toBeGreaterThan(0);
    expect(session()).toEqual([]);
  });

  it.each([
    ["nothing", {}],
    ["more than it takes", { stdin: UNREAD }],
  ])("is told apart from a daemon that ends while it runs, and has %s to read", async (_what, options) => {
    const result = failureOf(DockerError, engine.exec(container, stubborn, options));
    await begun();
    await dockerd.stop();
    const error = await result;
    expect(error.outcome).toBe("unreachable");
    expect(error.message).toContain("cannot be reached");
  });

  it("and cannot be killed is looked for ever less often, and then said to run", async () => {
    let looks = 0;
    const engine = unkillable(() => looks++);
    const error = await failureOf(DockerError, engine.exec(container, stubborn, { timeoutMs: 100 }));
    expect([error.message, error.outcome]).toEqual([expect.stringMatching(STILL_RUNS), "unknown"]);
    const asked = dockerd.calls.filter((call) => call === "GET /exec/ID/json").length;
    // Each 5 ms it would be 200.
    expect(Math.max(looks, asked)).toBeLessThan(12);
    expect(looks).toBeGreaterThan(0);
  });

  it("and cannot be killed when a call failed is said to run by that error's cause", async () => {
    const engine = unkillable();
    dockerd.mood("POST /exec/ID/start", { kind: "deaf" }, 1);
    const untold = await failureOf(DockerError, engine.exec(container, stubborn));
    expect(untold).toMatchObject({
      message: expect.stringContaining("gave no answer within 1 s"),
      cause: { message: expect.stringMatching(STILL_RUNS) },
    });
    dockerd.mood("GET /exec/ID/json", { kind: "status", status: 500, message: "too many open files" }, 1);
    const command = { shell: "exec >/dev/null 2>&1; sleep 1000" };
    const unasked = await failureOf(DockerError, engine.exec(container, command));
    expect(unasked).toMatchObject({
      message: expect.stringContaining("too many open files"),
      cause: { message: expect.stringMatching(STILL_RUNS) },
    });
  });

  it("ends with its container, and is told apart from one that ended by itself", async () => {
    const result = failureOf(DockerError, engine.exec(container, { argv: ["sleep", "1000"] }));
    const { pid } = await begun();
    dockerd.take(container);
    process.kill(pid, "SIGKILL");
    const error = await result;
    expect([error.outcome, error.status]).toEqual(["refused", 404]);
    expect(error.message).toContain("was removed while a command ran in it");
  });
});

describe("a terminal", () => {
  const open = (command: Command, options = {}) => engine.execStream(container, command, options);

  /** What it shows, until that is there. */
  const shows = async (terminal: Awaited<ReturnType<typeof open>>, wanted: string) => {
    let shown = "";
    const { duplex } = terminal;
    duplex.on("data", (bytes) => {
      shown += String(bytes);
    });
    await until(`${wanted} on the terminal`, WAIT_MS, () => shown.includes(wanted));
  };

  it("takes what is typed, shows what comes, and ends with its command", async () => {
    const terminal = await open({ shell: "read -r line; echo got $line; exit 5" });
    terminal.duplex.write("hello\n");
    await shows(terminal, "got hello");
    expect(await terminal.ended).toBe(5);
    expect(terminal.duplex.destroyed).toBe(true);
    await terminal.resize(10, 10);
    expect(the().sizes).toEqual([]);
  });

  it.each([
    ["1.41", ["50x132", "30x100"]],
    ["1.45", ["30x100"]],
  ])("has its size from its start on, in version %s", async (api, sizes) => {
    dockerd.api = api;
    const terminal = await open({ argv: ["cat"] }, { size: { cols: 132, rows: 50 } });
    await terminal.resize(100, 30);
    expect(the().sizes).toEqual(sizes);
    expect(the().body).toMatchObject({ Tty: true, AttachStdin: true, ConsoleSize: [50, 132] });
    // Docker's own keys, Ctrl-P Ctrl-Q, would be missing in every shell.
    expect(the().body.DetachKeys).not.toMatch(/ctrl-[a-z]/);
    terminal.duplex.destroy();
    await terminal.ended;
  });

  it("that is closed hangs up, and the command with all that it runs ends", async () => {
    const terminal = await open({
      argv: ["bash", "-c", "set -m; sleep 1000 & sleep 1001 & echo begun; wait"],
    });
    await shows(terminal, "begun");
    terminal.duplex.destroy();
    expect(await terminal.ended).toBe(129);
    await emptied();
  });

  it("that is closed kills a command that ignores it", async () => {
    const terminal = await open({ shell: "trap '' HUP; echo begun; while :; do sleep 0.1; done" });
    await shows(terminal, "begun");
    terminal.duplex.destroy();
    expect(await terminal.ended).toBe(137);
    await emptied();
  });

  it("leaves what was begun to stay", async () => {
    const terminal = await open({ shell: "nohup sleep 1000 >/dev/null 2>&1 & echo begun; read -r line" });
    await shows(terminal, "begun");
    // Before that it does not ignore a hang-up.
    const sleeps = () => session().some((pid) => proc.read(pid, "comm")?.trim() === "sleep");
    await until("nohup's own command", WAIT_MS, sleeps);
    terminal.duplex.destroy();
    await terminal.ended;
    const [left, ...more] = session();
    expect(more).toEqual([]);
    expect(proc.read(left ?? 0, "comm")?.trim()).toBe("sleep");
    process.kill(left ?? 0, "SIGKILL");
  });

  it("is closed by whoever it was for", async () => {
    const end = new AbortController();
    const terminal = await open({ argv: ["cat"] }, { signal: end.signal });
    end.abort(new Error("signed out"));
    expect(await terminal.ended).toBe(129);
    expect(terminal.duplex.destroyed).toBe(true);
  });

  it("makes a command wait whose reader is slow", async () => {
    const terminal = await open({ argv: ["yes"] });
    await once(terminal.duplex, "readable");
    const waits = async () => {
      const { sent } = the();
      await after(300);
      return sent > 0 && the().sent === sent;
    };
    await until("the command to wait", WAIT_MS, waits);
    terminal.duplex.destroy();
    await terminal.ended;
  });

  it("ends with its container", async () => {
    const terminal = await open({ argv: ["cat"] });
    dockerd.take(container);
    process.kill(the().pid, "SIGKILL");
    terminal.duplex.resume();
    expect(await terminal.ended).toBeUndefined();
  });

  it("is refused where the container does not run", async () => {
    dockerd.end(container);
    const error = await failureOf(DockerError, open({ argv: ["cat"] }));
    expect([error.outcome, error.status]).toEqual(["refused", 409]);
  });
});
