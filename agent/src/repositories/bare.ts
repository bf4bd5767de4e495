import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isThere } from "./files";
import { type Git, GitError } from "./git";
import { ReferenceList, type References, sameReferences } from "./references";
import { NotGiven } from "./types";

/** After so many fetches all is put into one pack. */
const MOST_PACKS = 40;
/** Of branches that moved, to be looked at one by one. */
const MOST_MOVED = 200;
const ALL = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/** How the repository's host is asked. */
export interface Asking {
  url: string;
  env: NodeJS.ProcessEnv;
  secrets: readonly string[];
  signal: AbortSignal;
  onLine(line: string): void;
}

/**
 * A bare repository with the branches and tags that its host has, and what they lead to. An object that they have left goes: it may be
 * one that the host shows to nobody any more.
 */
export class Bare {
  /** There from before a fetch until what has been left is gone, whatever happens in between. */
  private readonly unclean: string;

  constructor(
    private readonly git: Git,
    readonly folder: string,
  ) {
    this.unclean = join(folder, "unclean");
  }

  /** Asks the host, which looks at the token. @param head also which branch HEAD names, for which it lists all that it has */
  static async list(git: Git, { url, ...how }: Asking, head: boolean): Promise<References> {
    const what = head ? ["--", url, "HEAD", "refs/heads/*", "refs/tags/*"] : ["--heads", "--tags", "--", url];
    const list = new ReferenceList();
    await git.run(["ls-remote", "--symref", ...what], { ...how, onOutput: (part) => list.push(part) });
    return list;
  }

  async make(signal: AbortSignal): Promise<void> {
    await this.git.run(["init", "--quiet", "--bare", "--template=", "--", this.folder], { signal });
  }

  async fetch({ url, ...how }: Asking): Promise<void> {
    const unclean = await this.mark();
    const before = await this.references(how.signal);
    const quiet = ["--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
    await this.run(["fetch", ...quiet, "--no-recurse-submodules", "--", url, ...ALL], how);
    await this.run(["pack-refs", "--all"], how);
    if (unclean || (await this.packs()) > MOST_PACKS || (await this.hasLeft(before, how.signal)))
      await this.run(["repack", "-a", "-d", "--quiet"], how);
    await rm(this.unclean);
  }

  /** Whether it has what the host said and nothing else, so that there is nothing to fetch. */
  async has(said: References, signal: AbortSignal): Promise<boolean> {
    return !(await this.isUnclean()) && sameReferences(await this.references(signal), said);
  }

  /** Whether objects may be in it that no branch or tag leads to. */
  isUnclean(): Promise<boolean> {
    return isThere(this.unclean);
  }

  async commitOf(branch: string, signal: AbortSignal): Promise<string> {
    return (await this.run(["rev-parse", "--verify", `refs/heads/${branch}^{commit}`], { signal })).trim();
  }

  /** The branch that the host's HEAD named at last. */
  async defaultBranch(signal: AbortSignal): Promise<string> {
    return (await this.run(["symbolic-ref", "HEAD"], { signal })).trim().replace("refs/heads/", "");
  }

  async setDefaultBranch(name: string, signal: AbortSignal): Promise<void> {
    await this.run(["symbolic-ref", "HEAD", `refs/heads/${name}`], { signal });
  }

  /** Whether it was there before. It is made anew or not at all: git's account could have put a link there. */
  private async mark(): Promise<boolean> {
    try {
      await writeFile(this.unclean, "", { flag: "wx" });
      return false;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return true;
    }
  }

  /** @throws GitError where there are more than a host may have: some came between its list and the fetch. It is made anew then. */
  private async references(signal: AbortSignal): Promise<References> {
    const format = "--format=%(objectname)%09%(refname)";
    const list = new ReferenceList();
    const onOutput = (part: Buffer) => list.push(part);
    try {
      await this.run(["for-each-ref", format, "refs/heads", "refs/tags"], { signal, onOutput });
    } catch (error) {
      throw error instanceof NotGiven ? new GitError(error.message) : error;
    }
    return list;
  }

  /** Whether something that a branch or tag led to before is led to by none now. */
  private async hasLeft(before: References, signal: AbortSignal): Promise<boolean> {
    if (before.at.size === 0) return false;
    const after = await this.references(signal);
    const moved = [...before.at].filter(([name, id]) => after.at.get(name) !== id);
    if (moved.length === 0) return false;
    // A tag that moves is rare, and may be an object itself.
    if (moved.length > MOST_MOVED || moved.some(([name]) => name.startsWith("refs/tags/"))) return true;
    const ids = moved.map(([, id]) => id);
    return (await this.run(["rev-list", "--max-count=1", ...ids, "--not", "--all"], { signal })) !== "";
  }

  private async packs(): Promise<number> {
    const names = await readdir(join(this.folder, "objects/pack"));
    return names.filter((name) => name.endsWith(".pack")).length;
  }

  private run(args: readonly string[], how: Parameters<Git["run"]>[1]): Promise<string> {
    return this.git.run([`--git-dir=${this.folder}`, ...args], how);
  }
}
