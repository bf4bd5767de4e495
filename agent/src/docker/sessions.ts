/**
 * The processes of a command that was exec'd into a container. dockerd starts each in a session of its own, has no call that
 * ends one, and lets it run on when its connection ends. berthd sees the same processes by their numbers on the node.
 */
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
  signal(container: string, leader: number, signal: NodeJS.Signals): number;
  /**
   * The commands that were exec'd into a container with a variable, by the processes that their sessions were begun by.
   *
   * @param main the container's first process
   */
  marked(container: string, main: number, variable: string): { leader: number; value: string }[];
}

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
    signal(container, leader, signal) {
      const members = candidates(container, leader).filter((pid) => belongs(pid, container, leader));
      for (const pid of members) send(pid, signal);
      return members.length;
    },
    marked(container, main, variable) {
      const inside = new Set(candidates(container, main).filter((pid) => within(pid, container)));
      return [...inside].flatMap((leader) => {
        const kin = proc.kinOf(leader);
        // What a process of the container has begun was not exec'd into it, and has the variable from its parent.
        if (leader === main || kin?.session !== leader || inside.has(kin.parent)) return [];
        const value = proc.variableOf(leader, variable);
        return value === undefined ? [] : [{ leader, value }];
      });
    },
  };
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
