/** What the kernel says of the processes of this node. */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";

/** States of a process: a zombie, and one that is being taken away. */
const ENDED = new Set(["Z", "X"]);
/** Bytes of the variables of a process that are read: with a usual stack the kernel takes no more at its start. */
const MOST_VARIABLES = 2 * 2 ** 20;

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
  read(pid: number, file: "cgroup" | "stat" | "comm"): string | undefined {
    return readIfThere(this.file(pid, file));
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
    // Where they stand a process may say itself (PR_SET_MM_MAP), and that all of its memory is that.
    const beginning = ifThere(() => beginningOf(this.file(pid, "environ"), MOST_VARIABLES));
    const [, found] = `\0${beginning ?? ""}`.split(`\0${name}=`, 2);
    return found?.split("\0", 1)[0];
  }

  /** The containers whose ids are in a process's cgroup. */
  containersOf(pid: number): string[] {
    return this.read(pid, "cgroup")?.match(CONTAINER) ?? [];
  }

  private file(pid: number, name: string): string {
    return join(this.folder, String(pid), name);
  }
}

const CONTAINER = /[0-9a-f]{64}/g;

/** Undefined: there is no such file, or its process has ended. */
export function readIfThere(path: string): string | undefined {
  return ifThere(() => readFileSync(path, "utf8"));
}

function beginningOf(path: string, most: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(most);
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read)
      read = readSync(file, bytes, length, most - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: it ended between open and read.
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR" || code === "EACCES") return undefined;
    throw error;
  }
}
