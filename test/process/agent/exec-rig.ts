/** Commands in a container: a fake dockerd runs them as real processes, over the connection that dockerd gives away. */
import { afterEach, beforeEach } from "vitest";
import { Engine } from "../../../agent/src/docker";
import { procSessions } from "../../../agent/src/docker/sessions";
import { Proc } from "../../../agent/src/proc";
import { FakeDockerd } from "../../fakes/dockerd";
import { until } from "../../lib/until";

export const WAIT_MS = 60_000;
/** More than a command's pipe and the way there take. */
export const UNREAD = Buffer.alloc(3_000_000, "x");
export const proc = new Proc();
/** Of the test that runs, as are those that follow. */
export let dockerd: FakeDockerd;
export let engine: Engine;
export let container: string;

/** @param read its deadline, in milliseconds */
export const engineOf = (read?: number) => {
  // Here no cgroup has the container's name.
  const sessions = procSessions(proc, () => true);
  return new Engine({ socket: dockerd.socket, sessions, deadlines: read === undefined ? {} : { read } });
};

/** Each test of the file that calls this has a dockerd of its own, with one container. */
export function newDockerdForEachTest(): void {
  beforeEach(async () => {
    dockerd = new FakeDockerd();
    await dockerd.start();
    engine = engineOf();
    container = dockerd.put();
  });
  afterEach(() => dockerd.close());
}

export const the = () => dockerd.execs.all[0] as (typeof dockerd.execs.all)[number];
/** Living processes of the first command's session. */
export const session = () => proc.pids().filter((pid) => proc.sessionOf(pid) === the().pid);
export const begun = () => until("the command", WAIT_MS, () => dockerd.execs.all[0]?.running && the());
export const emptied = () => until("the end of the session", WAIT_MS, () => session().length === 0);
