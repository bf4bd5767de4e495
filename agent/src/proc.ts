/** What the kernel says of the processes of this node. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** States of a process: a zombie, and one that is being taken away. */
const ENDED = new Set(["Z", "X"]);

/** One node's `/proc`. */
export class Proc {
  /** @param folder @default /proc */
  constructor(private readonly folder = "/proc") {}

  pids(): number[] {
    return readdirSync(this.folder)
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
  }

  /** Undefined: the process has ended meanwhile, or has no such file. */
  read(pid: number, file: "cgroup" | "stat" | "comm" | "environ"): string | undefined {
    return readIfThere(join(this.folder, String(pid), file));
  }

  /** The process that a process's session was begun by. Undefined: it has ended, even if nobody took note yet. */
  sessionOf(pid: number): number | undefined {
    return this.kinOf(pid)?.session;
  }

  /** Who began a process, and its session. Undefined: it has ended, even if nobody took note yet. */
  kinOf(pid: number): { parent: number; session: number } | undefined {
    const stat = this.read(pid, "stat");
    // `PID (COMMAND) STATE PARENT GROUP SESSION …`; a command may hold spaces and brackets.
    const [state = "", parent, , session] = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
    if (stat === undefined || ENDED.has(state)) return undefined;
    return { parent: Number(parent), session: Number(session) };
  }

  /** A variable that a process was begun with. Undefined: it was not, or has ended. */
  variableOf(pid: number, name: string): string | undefined {
    const entry = this.read(pid, "environ")
      ?.split("\0")
      .find((one) => one.startsWith(`${name}=`));
    return entry?.slice(name.length + 1);
  }

  /** The containers whose ids are in a process's cgroup. */
  containersOf(pid: number): string[] {
    return this.read(pid, "cgroup")?.match(CONTAINER) ?? [];
  }
}

const CONTAINER = /[0-9a-f]{64}/g;

/** Undefined: there is no such file, or its process has ended. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: it ended between open and read.
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR" || code === "EACCES") return undefined;
    throw error;
  }
}
