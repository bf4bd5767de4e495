/** The processes of one container, as its cgroup lists them: a look at a few files, however many processes the node has. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Proc, readIfThere } from "../proc";

/** Containers whose cgroups are remembered: beyond that all are looked for again. */
const MOST_KNOWN = 512;

export class ContainerCgroups {
  private readonly known = new Map<string, string>();

  /** @param root @default /sys/fs/cgroup */
  constructor(
    private readonly proc: Proc,
    private readonly root = "/sys/fs/cgroup",
  ) {}

  /**
   * @param container its full id
   * @param member one of its processes; it may have ended, if another one was asked for before
   * @returns undefined: its cgroup cannot be found or read
   */
  pids(container: string, member: number): number[] | undefined {
    const folder = this.known.get(container) ?? this.find(container, member);
    if (folder === undefined) return undefined;
    const pids = processesBelow(folder);
    if (pids === undefined) this.known.delete(container);
    return pids;
  }

  private find(container: string, member: number): string | undefined {
    const lines = this.proc.read(member, "cgroup")?.split("\n") ?? [];
    const folder = lines
      .map((line) => folderOf(this.root, line, container))
      .find((one) => one !== undefined && existsSync(join(one, "cgroup.procs")));
    if (folder === undefined) return undefined;
    if (this.known.size >= MOST_KNOWN) this.known.clear();
    this.known.set(container, folder);
    return folder;
  }
}

/** Of a line such as `0::/docker/ID` or `5:memory:/docker/ID/below`, the container's own. */
function folderOf(root: string, line: string, container: string): string | undefined {
  const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
  const parts = path.split("/");
  const own = parts.findIndex((part) => part.includes(container));
  if (own < 0) return undefined;
  return join(root, controllers.replace(/^name=/, ""), ...parts.slice(0, own + 1));
}

/** Undefined: it is gone, or does not tell (a group of threads). */
function processesBelow(folder: string): number[] | undefined {
  try {
    const own = readIfThere(join(folder, "cgroup.procs"));
    if (own === undefined) return undefined;
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [
      ...own.split("\n").filter(Boolean).map(Number),
      ...below.flatMap(({ name }) => processesBelow(join(folder, name)) ?? []),
    ];
  } catch (error) {
    if (["ENOENT", "ENODEV", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return undefined;
    throw error;
  }
}
