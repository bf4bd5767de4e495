/**
 * Terminals in a container, run by a fake dockerd as real processes. Proves: what is typed, shown and resized; how each ends, and that
 * nothing of its session is left but what was begun to stay; a slow reader makes the command wait.
 */
import { once } from "node:events";
import { setTimeout as after } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Command, DockerError } from "../../../agent/src/docker";
import { failureOf } from "../../lib/failure";
import { until } from "../../lib/until";
import {
  container,
  dockerd,
  emptied,
  engine,
  newDockerdForEachTest,
  proc,
  session,
  the,
  WAIT_MS,
} from "./exec-rig";

newDockerdForEachTest();

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
