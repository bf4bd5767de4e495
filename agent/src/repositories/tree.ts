import { join } from "node:path";
import { localEnvironment } from "./environment";
import type { Git } from "./git";
import { NotGiven, type RepositoryLimits } from "./types";

/** `100644 blob OID    1234\tPATH`; a module has `-` for its size. */
const ENTRY = /^(\d{6}) \w+ [0-9a-f]+ +(\d+|-)\t(.+)$/s;

/** Counts a commit's files while git lists them: a few objects can stand for more files than any disk holds. */
export class TreeCount {
  private rest = Buffer.alloc(0);
  private files = 0;
  private bytes = 0;
  /** The regular files at the top. */
  readonly top: string[] = [];

  constructor(private readonly limits: Pick<RepositoryLimits, "treeBytes" | "treeFiles">) {}

  /** @throws NotGiven when it is too much */
  push(part: Buffer): void {
    let text = Buffer.concat([this.rest, part]);
    for (let at = text.indexOf(0); at !== -1; at = text.indexOf(0)) {
      this.entry(text.subarray(0, at).toString("utf8"));
      text = text.subarray(at + 1);
    }
    this.rest = Buffer.from(text);
  }

  private entry(text: string): void {
    const [, mode = "", size, path = ""] = ENTRY.exec(text) ?? [];
    this.files++;
    this.bytes += Number(size) || 0;
    if (mode.startsWith("100") && !path.includes("/")) this.top.push(path);
    const { treeFiles, treeBytes } = this.limits;
    if (this.files > treeFiles || this.bytes > treeBytes)
      throw new NotGiven({
        code: "over-limit",
        message: `the commit has more than ${this.files > treeFiles ? `${treeFiles} files` : `${treeBytes} bytes`}`,
        allowed: `${treeFiles} files of ${treeBytes} bytes together`,
        fix: "take large files out of the branch",
      });
  }
}

export interface TreeAsk {
  /** The bare repository. */
  from: string;
  branch: string;
  /** Of the repository at its host. */
  url: string;
  /** Where the tree is made; there is nothing yet. */
  folder: string;
}

/** The commit that the branch is at, and the names of the regular files at its top. Refused where it has too many. */
export async function lookAtTree(
  git: Git,
  { from, branch }: Pick<TreeAsk, "from" | "branch">,
  limits: RepositoryLimits,
  signal: AbortSignal,
): Promise<{ commit: string; files: string[] }> {
  const name = `refs/heads/${branch}^{commit}`;
  const commit = (await git.run([`--git-dir=${from}`, "rev-parse", "--verify", name], { signal })).trim();
  const count = new TreeCount(limits);
  await git.run([`--git-dir=${from}`, "ls-tree", "-r", "-l", "-z", "--full-tree", commit], {
    signal,
    onOutput: (part) => count.push(part),
  });
  return { commit, files: count.top };
}

/** Makes the working tree. Its packs are links to those of the bare repository, so that nothing is copied; git changes no pack. */
export async function makeTree(
  git: Git,
  { from, branch, url, folder }: TreeAsk,
  signal: AbortSignal,
): Promise<void> {
  const env = localEnvironment("file");
  const how = ["--local", "--quiet", "--template=", "--no-recurse-submodules", `--branch=${branch}`];
  await git.run(["clone", ...how, "--", from, folder], { env, signal });
  await git.run([`--git-dir=${join(folder, ".git")}`, "remote", "set-url", "origin", url], { signal });
}
