/** Whether a container's processes run, asked of the kernel: dockerd's word is old after a crash, or missing. */
import { dirname, join } from "node:path";
import { Proc, readIfThere } from "../proc";

export interface Processes {
  /**
   * Those of the containers that have a living process.
   *
   * @param containers ids, each with the process that dockerd names (0: none). Where that one lives no other is looked for.
   * @returns undefined where the processes of dockerd cannot be seen from here, so that nothing can be told.
   */
  running(containers: ReadonlyMap<string, number>): Set<string> | undefined;
}

/**
 * @param folder @default /proc
 * @param socket dockerd's; its `docker.pid` beside it shows whether that dockerd is one of the processes seen here.
 */
export function procProcesses(socket: string, folder = "/proc"): Processes {
  const proc = new Proc(folder);
  return {
    running(containers) {
      const found = new Set<string>();
      for (const [id, pid] of containers) {
        if (pid > 0 && containersOf(proc, pid).includes(id)) found.add(id);
      }
      if (found.size === containers.size && found.size > 0) return found;
      for (const pid of proc.pids()) {
        for (const id of containersOf(proc, pid)) if (containers.has(id)) found.add(id);
      }
      return found.size > 0 || seesDockerd(socket, proc) ? found : undefined;
    },
  };
}

/** The ids in a process's cgroup; none for one that has ended, a zombie, or that none holds. */
function containersOf(proc: Proc, pid: number): string[] {
  const ids = proc.containersOf(pid);
  return ids.length === 0 || proc.sessionOf(pid) === undefined ? [] : ids;
}

function seesDockerd(socket: string, proc: Proc): boolean {
  const pid = readIfThere(join(dirname(socket), "docker.pid"))?.trim();
  if (pid === undefined || !/^\d+$/.test(pid)) return false;
  return proc.read(Number(pid), "comm")?.trim() === "dockerd";
}
