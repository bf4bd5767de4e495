/**
 * The processes of a command that was exec'd into a container. dockerd starts each in a session of its own, has no call that
 * ends one, and lets it run on when its connection ends. berthd sees the same processes by their numbers on the node.
 */
import { setImmediate } from "node:timers/promises";
import { Proc } from "../proc";
import { ContainerCgroups } from "./cgroup";

export interface Sessions {
  /** Whether the process that the session was begun by lives. */
  leads(container: string, leader: number): boolean;
  /**
   * Sends a signal to all processes of the session that are in that container.
   *
   * @param container its full id
   * @param leader the process that the session was begun by
   * @returns how many there are
   */
  signal(container: string, leader: number, signal: NodeJS.Signals): Promise<number>;
  /**
   * The commands that were exec'd into a container with a variable, by the processes that their sessions were begun by.
   *
   * @param main the container's first process
   */
  marked(container: string, main: number, variable: string): Promise<{ leader: number; value: string }[]>;
}

/** Processes that are looked at in one go, which takes under a millisecond: a container may have tens of thousands. */
const AT_ONCE = 64;

/**
 * @param proc the node's processes
 * @param within whether a process is in a container: a number may be another process's by now
 * @param cgroups where a container's processes are listed; where that does not tell, all of the node's are looked at
 */
export function procSessions(
  proc = new Proc(),
  within = (pid: number, container: string) => proc.containersOf(pid).includes(container),
  cgroups = new ContainerCgroups(proc),
): Sessions {
  const belongs = (pid: number, container: string, leader: number) =>
    proc.sessionOf(pid) === leader && within(pid, container);
  const candidates = (container: string, member: number) => cgroups.pids(container, member) ?? proc.pids();
  return {
    leads: (container, leader) => belongs(leader, container, leader),
    async signal(container, leader, signal) {
      let count = 0;
      for await (const pid of aFewAtATime(candidates(container, leader))) {
        if (!belongs(pid, container, leader)) continue;
        // At once: a moment later the number may be another process's.
        send(pid, signal);
        count++;
      }
      return count;
    },
    async marked(container, main, variable) {
      const inside = new Set<number>();
      for await (const pid of aFewAtATime(candidates(container, main)))
        if (within(pid, container)) inside.add(pid);
      const found: { leader: number; value: string }[] = [];
      for await (const leader of aFewAtATime([...inside])) {
        const kin = proc.kinOf(leader);
        // What a process of the container has begun was not exec'd into it, and has the variable from its parent.
        if (leader === main || kin?.session !== leader || inside.has(kin.parent)) continue;
        const value = proc.variableOf(leader, variable);
        if (value !== undefined) found.push({ leader, value });
      }
      return found;
    },
  };
}

/** All else that berthd does has its turn in between. */
async function* aFewAtATime(pids: readonly number[]): AsyncGenerator<number> {
  for (const [n, pid] of pids.entries()) {
    if (n > 0 && n % AT_ONCE === 0) await setImmediate();
    yield pid;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
