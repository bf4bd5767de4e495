import { access } from "node:fs/promises";
import { join } from "node:path";
import { localEnvironment } from "./environment";
import type { Git } from "./git";
import { Pieces } from "./pieces";
import { NotGiven, type RepositoryLimits } from "./types";

/** `100644 blob OID    1234\tPATH`; a module and a folder have `-` for their size. */
const ENTRY = /^(\d{6}) \w+ [0-9a-f]+ +(\d+|-)\t(.+)$/s;
/** In bytes. The system takes paths of 4095, and the tree lies in a folder of its own. */
const LONGEST_PATH = 2048;
/** In bytes, as Linux has it. */
const LONGEST_NAME = 255;
/** In bytes, of the names at the top, which are held in memory with this much for each. */
const MOST_TOP = 2 * 2 ** 20;
const EACH = 64;
/** In bytes: a path with what stands before it. */
const LONGEST_ENTRY = LONGEST_PATH + 256;

/** Counts a commit's files and folders while git lists them: a few objects can stand for more than any disk holds. */
export class TreeCount {
  private files = 0;
  private bytes = 0;
  private topBytes = 0;
  /** The regular files at the top. */
  readonly top: string[] = [];
  private readonly pieces = new Pieces({
    end: 0,
    longest: LONGEST_ENTRY,
    onPiece: (entry) => this.entry(entry),
    tooLong: refusePath,
  });

  constructor(private readonly limits: Pick<RepositoryLimits, "treeBytes" | "treeFiles">) {}

  /** @throws NotGiven when it is too much */
  push(part: Buffer): void {
    this.pieces.push(part);
  }

  private entry(entry: Buffer): void {
    const [, mode = "", size, path = ""] = ENTRY.exec(entry.toString("utf8")) ?? [];
    checkPath(entry.subarray(entry.indexOf("\t") + 1));
    this.files++;
    this.bytes += Number(size) || 0;
    if (mode.startsWith("100") && !path.includes("/")) this.atTop(path);
    const { treeFiles, treeBytes } = this.limits;
    if (this.files > treeFiles) throw tooMuch(`${treeFiles} files and folders`, this.limits);
    if (this.bytes > treeBytes) throw tooMuch(`${treeBytes} bytes`, this.limits);
  }

  private atTop(name: string): void {
    this.top.push(name);
    this.topBytes += Buffer.byteLength(name) + EACH;
    if (this.topBytes > MOST_TOP) throw tooManyAtTop();
  }
}

const tooManyAtTop = () =>
  new NotGiven({
    code: "over-limit",
    message: "the commit has too many files outside of folders",
    allowed: `${MOST_TOP} bytes for their names, with ${EACH} for each`,
    fix: "put them into folders",
  });

const tooMuch = (what: string, { treeFiles, treeBytes }: Pick<RepositoryLimits, "treeBytes" | "treeFiles">) =>
  new NotGiven({
    code: "over-limit",
    message: `the commit has more than ${what}`,
    allowed: `${treeFiles} files and folders of ${treeBytes} bytes together`,
    fix: "take large files out of the branch",
  });

/** What git makes by short steps may have a path that nobody else can open or take away. */
function checkPath(path: Buffer): void {
  // One character for each byte.
  const longest = Math.max(
    ...path
      .toString("latin1")
      .split("/")
      .map(({ length }) => length),
  );
  if (path.length > LONGEST_PATH || longest > LONGEST_NAME) refusePath();
}

function refusePath(): never {
  throw new NotGiven({
    code: "over-limit",
    message: "the commit has a file or folder whose path is too long",
    allowed: `paths of ${LONGEST_PATH} bytes, of names of ${LONGEST_NAME} bytes`,
    fix: "give it a shorter name, or put it into fewer folders",
  });
}

export interface TreeAsk {
  /** The bare repository. */
  from: string;
  branch: string;
  /** Of the repository at its host. */
  url: string;
  /** Where the tree is made; it is there, and empty. */
  folder: string;
  /** What its `.git` begins with; see `TEMPLATE`. */
  template: string;
}

/**
 * Files of a `.git` that git begins with, by their paths. A commit's own attributes would make its files many times as large as they
 * are counted (`ident`, encodings of four bytes a character, line ends); these go before them, for as long as the tree is there.
 */
export const TEMPLATE: Readonly<Record<string, string>> = {
  "info/attributes": "* -ident -text !eol !working-tree-encoding\n",
};

/** The names of the regular files at the commit's top. Refused where it has too many. */
export async function lookAtTree(
  git: Git,
  { from, commit }: { from: string; commit: string },
  limits: RepositoryLimits,
  signal: AbortSignal,
): Promise<string[]> {
  const count = new TreeCount(limits);
  await git.run([`--git-dir=${from}`, "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit], {
    signal,
    onOutput: (part) => count.push(part),
  });
  return count.top;
}

/**
 * Makes the working tree, with each file as the commit has it. Its packs are links to those of the bare repository, so that nothing is
 * copied; git changes no pack.
 */
export async function makeTree(
  git: Git,
  { from, branch, url, folder, template }: TreeAsk,
  signal: AbortSignal,
): Promise<void> {
  // Git would go on without it.
  await Promise.all(Object.keys(TEMPLATE).map((path) => access(join(template, path))));
  const env = localEnvironment("file");
  const how = [
    "--local",
    "--quiet",
    `--template=${template}`,
    "--no-recurse-submodules",
    `--branch=${branch}`,
  ];
  await git.run(["clone", ...how, "--", from, folder], { env, signal });
  await git.run([`--git-dir=${join(folder, ".git")}`, "remote", "set-url", "origin", url], { signal });
}
