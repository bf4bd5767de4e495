/** Proves: a signal goes to the processes of that session and that container alone; numbers that others have by now are safe. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { procSessions } from "../../../../agent/src/docker/sessions";
import { Proc } from "../../../../agent/src/proc";

const ONE = "1".repeat(64);
const OTHER = "2".repeat(64);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-proc-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(pid: number, state: string, session: number, cgroup: string): void {
  mkdirSync(join(folder, String(pid)));
  writeFileSync(
    join(folder, String(pid), "stat"),
    `${pid} (a) b (c)) ${state} 1 ${pid} ${session} 0 -1 4194560 0\n`,
  );
  writeFileSync(join(folder, String(pid), "cgroup"), `0::${cgroup}\n`);
}

describe("the processes of a session", () => {
  // Numbers that no process has.
  const FIRST = 4_200_000;

  it("are those that live and are in the container, in either form of its cgroup", async () => {
    put(FIRST, "S", FIRST, `/docker/${ONE}`);
    put(FIRST + 1, "R", FIRST, `/system.slice/docker-${ONE}.scope`);
    put(FIRST + 2, "Z", FIRST, `/docker/${ONE}`);
    put(FIRST + 3, "S", FIRST, `/docker/${OTHER}`);
    put(FIRST + 4, "S", FIRST + 4, `/docker/${ONE}`);
    put(FIRST + 5, "S", FIRST, "/");
    const sessions = procSessions(new Proc(folder));
    expect(await sessions.signal(ONE, FIRST, "SIGKILL")).toBe(2);
    expect(await sessions.signal(OTHER, FIRST, "SIGKILL")).toBe(1);
    expect(sessions.leads(ONE, FIRST)).toBe(true);
    // A number that is another container's, or another session's, by now.
    expect(sessions.leads(OTHER, FIRST)).toBe(false);
    expect(sessions.leads(ONE, FIRST + 1)).toBe(false);
    expect(sessions.leads(ONE, FIRST + 9)).toBe(false);
  });

  it("are looked at a few at a time, however many the container has: all else goes on meanwhile", async () => {
    for (let n = 0; n < 300; n++) put(FIRST + n, "S", FIRST, `/docker/${ONE}`);
    let inOneGo = 0;
    let most = 0;
    class Counted extends Proc {
      override kinOf(pid: number) {
        most = Math.max(most, ++inOneGo);
        return super.kinOf(pid);
      }
    }
    const others = () => {
      inOneGo = 0;
      turn = setImmediate(others);
    };
    let turn = setImmediate(others);
    const sessions = procSessions(new Counted(folder));
    expect(await sessions.signal(ONE, FIRST, "SIGKILL")).toBe(300);
    expect(await sessions.marked(ONE, FIRST, "BERTH_COMMAND")).toEqual([]);
    clearImmediate(turn);
    expect(most).toBeLessThan(150);
  });

  it("get the signal", async () => {
    const child = spawn("sleep", ["1000"], { detached: true });
    const pid = child.pid ?? 0;
    const ended = once(child, "exit");
    const real = procSessions();
    // It is in no container: nothing is sent.
    expect(await real.signal(ONE, pid, "SIGKILL")).toBe(0);
    put(pid, "S", pid, `/docker/${ONE}`);
    expect(await procSessions(new Proc(folder)).signal(ONE, pid, "SIGTERM")).toBe(1);
    expect(await ended).toEqual([null, "SIGTERM"]);
  });
});
