/** Whether a container's processes run, asked of the kernel: dockerd's word is old after a crash, or missing. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Processes {
  /**
   * Those of the containers that have a living process.
   *
   * @param containers ids, each with the process that dockerd names (0: none). Where that one lives no other is looked for.
   * @returns undefined where the processes of dockerd cannot be seen from here, so that nothing can be told.
   */
  running(containers: ReadonlyMap<string, number>): Set<string> | undefined;
}

const CONTAINER = /[0-9a-f]{64}/g;

/**
 * @param proc @default /proc
 * @param socket dockerd's; its `docker.pid` beside it shows whether that dockerd is one of the processes seen here.
 */
export function procProcesses(socket: string, proc = "/proc"): Processes {
  return {
    running(containers) {
      const found = new Set<string>();
      for (const [id, pid] of containers) {
        if (pid > 0 && containersOf(join(proc, String(pid))).includes(id)) found.add(id);
      }
      if (found.size === containers.size && found.size > 0) return found;
      for (const entry of readdirSync(proc)) {
        if (!/^\d+$/.test(entry)) continue;
        for (const id of containersOf(join(proc, entry))) if (containers.has(id)) found.add(id);
      }
      return found.size > 0 || seesDockerd(socket, proc) ? found : undefined;
    },
  };
}

/** The ids in a process's cgroup; none for one that has ended, a zombie, or that none holds. */
function containersOf(folder: string): string[] {
  const cgroup = read(join(folder, "cgroup"));
  const ids = cgroup?.match(CONTAINER) ?? [];
  if (ids.length === 0) return [];
  // `PID (COMMAND) STATE …`; a command may hold spaces and brackets.
  const stat = read(join(folder, "stat"));
  const state = stat?.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  return stat === undefined || state === "Z" || state === "X" ? [] : ids;
}

function seesDockerd(socket: string, proc: string): boolean {
  const pid = read(join(dirname(socket), "docker.pid"))?.trim();
  if (pid === undefined || !/^\d+$/.test(pid)) return false;
  return read(join(proc, pid, "comm"))?.trim() === "dockerd";
}

/** Undefined: the process has ended meanwhile, or there is no such file. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: it ended between open and read.
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR" || code === "EACCES") return undefined;
    throw error;
  }
}
