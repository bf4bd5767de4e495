/**
 * The processes of a command that was exec'd into a container. dockerd starts each in a session of its own, has no call that
 * ends one, and lets it run on when its connection ends. berthd sees the same processes by their numbers on the node.
 */
import { Proc } from "../proc";

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
}

/**
 * @param proc the node's processes
 * @param within whether a process is in a container: a number may be another process's by now
 */
export function procSessions(
  proc = new Proc(),
  within = (pid: number, container: string) => proc.containersOf(pid).includes(container),
): Sessions {
  const belongs = (pid: number, container: string, leader: number) =>
    proc.sessionOf(pid) === leader && within(pid, container);
  return {
    leads: (container, leader) => belongs(leader, container, leader),
    signal(container, leader, signal) {
      const members = proc.pids().filter((pid) => belongs(pid, container, leader));
      for (const pid of members) send(pid, signal);
      return members.length;
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
