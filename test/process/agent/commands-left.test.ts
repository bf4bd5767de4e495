/**
 * What a berthd that was killed had running in containers, as real processes. Proves: its next start ends commands and
 * terminals, and nothing else: not what others had exec'd, not its own, not what was begun to stay.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Commands } from "../../../agent/src/commands";
import { type Command, Engine } from "../../../agent/src/docker";
import { procSessions } from "../../../agent/src/docker/sessions";
import { Proc } from "../../../agent/src/proc";
import { FakeDockerd } from "../../fakes/dockerd";
import { until } from "../../lib/until";

const soon = 30_000;
const proc = new Proc();
const ID = "00000001";
const owner = { name: "web-ide", person: false };
let dockerd: FakeDockerd;
let container: string;
let engine: Engine;
let said: string[];

beforeEach(async () => {
  dockerd = new FakeDockerd();
  await dockerd.start();
  container = dockerd.put();
  said = [];
  // Here no cgroup has the container's name: what is in it are the sessions of what was exec'd.
  const within = (pid: number) => dockerd.execs.all.some((exec) => exec.pid === proc.sessionOf(pid));
  engine = new Engine({ socket: dockerd.socket, sessions: procSessions(proc, within) });
});
afterEach(() => dockerd.close());

/** A berthd's: one that was killed never closes it. */
const commands = () => {
  const log = (...words: unknown[]) => void said.push(JSON.stringify(words));
  return new Commands({
    engine,
    managed: { find: () => ({ id: ID, owner: owner.name, container, state: "ready", env: {} }) },
    people: { get: () => undefined },
    log: { warn: log, error: log, info: log },
  });
};
const signal = new AbortController().signal;
const exec = (of: Commands, command: string) => of.exec(owner, ID, { command, timeoutMs: 600_000, signal });
/** Living processes of what was exec'd as the so-many-th. */
const session = (n: number) => proc.pids().filter((pid) => proc.sessionOf(pid) === dockerd.execs.all[n]?.pid);
const begun = (count: number, processes: number) =>
  until("they run", soon, () => dockerd.execs.all.length === count && session(count - 1).length >= processes);

describe("the next start of a berthd that was killed", () => {
  it("ends its commands with all that they began, and its terminals, also those that ignore a hang-up", async () => {
    const before = commands();
    const killed = [exec(before, "sleep 1000 & sleep 1000; true")];
    await begun(1, 3);
    killed.push(exec(before, "trap '' HUP TERM INT; sleep 1000 & while :; do sleep 0.1; done"));
    await begun(2, 2);
    const opened = await before.terminal(owner, ID, { size: { cols: 80, rows: 24 }, signal });
    if (opened.ok) opened.value.duplex.resume().write("sleep 1000 & cat\n");
    await begun(3, 3);
    await commands().recover([container]);
    expect([0, 1, 2].flatMap(session)).toEqual([]);
    expect(await Promise.all(killed)).toMatchObject([
      { ok: true, value: { exitCode: 129 } },
      { ok: true, value: { exitCode: 137 } },
    ]);
    expect(said).toEqual([expect.stringContaining('{"commands":3}')]);
  });

  it("leaves what others had exec'd, what it runs itself, and what was begun to stay", async () => {
    const others: Command = { shell: "sleep 1000; true" };
    const theirs = engine.exec(container, others);
    await begun(1, 2);
    const before = commands();
    const nohup = exec(before, "nohup sleep 1000 >/dev/null 2>&1 & sleep 1000; true");
    // Before that nohup does not ignore a hang-up.
    const sleeping = () => session(1).filter((pid) => proc.read(pid, "comm")?.trim() === "sleep").length;
    await until("both of its sleeps", soon, () => sleeping() === 2);
    const now = commands();
    const own = exec(now, "sleep 1000; true");
    await begun(3, 2);
    await now.recover([container]);
    await nohup;
    expect([session(0).length, session(1).length, session(2).length]).toEqual([2, 1, 2]);
    expect(proc.read(session(1)[0] ?? 0, "comm")?.trim()).toBe("sleep");
    dockerd.execs.close();
    await Promise.all([theirs, own]);
  });

  it("goes on where a container is gone, and says what it cannot tell", async () => {
    await commands().recover(["f".repeat(64), dockerd.put({ State: { Status: "exited" } })]);
    expect(said).toEqual([]);
    dockerd.mood(
      "GET /containers/ID/json",
      { kind: "status", status: 500, message: "too many open files" },
      1,
    );
    const before = commands();
    void exec(before, "sleep 1000; true");
    await begun(1, 2);
    await commands().recover([dockerd.put(), container]);
    // What is not the first of its session was told a moment ago.
    await until("it has ended", soon, () => session(0).length === 0);
    expect(said[0]).toContain("commands of before may still run");
  });
});
