/** Branches and tags, as git lists them. Pure. */
import { Pieces } from "./pieces";
import { NotGiven } from "./types";

export interface References {
  /** Of `refs/heads/…` and `refs/tags/…`: what each is at. */
  at: ReadonlyMap<string, string>;
  /** The branch that HEAD names. */
  defaultBranch?: string;
  /** Lets all go but the branch of HEAD: they take memory, and what follows takes long. */
  forget(): void;
}

const LINE = /^([0-9a-f]{40})\t(refs\/(?:heads|tags)\/.+)$/;
const HEAD = /^ref: refs\/heads\/(.+)\tHEAD$/;
const MOST = 50_000;
/** Of their files and the folders that these lie in: git makes each of them while it fetches. */
const MOST_PATHS = 250_000;
/** In bytes, of all names with their commits, which are held in memory. */
const MOST_BYTES = 4 * 2 ** 20;
/** In bytes: a name, with the commit before it. Each branch is the path of a file. */
const LONGEST_LINE = 1024;

/** Reads what `git ls-remote --symref` prints, as it comes, and `git for-each-ref` in the same shape. */
export class ReferenceList implements References {
  readonly at = new Map<string, string>();
  defaultBranch?: string;
  private paths = 0;
  private bytes = 0;
  private readonly lines = new Pieces({
    end: 10,
    longest: LONGEST_LINE,
    onPiece: (line) => this.line(line.toString("utf8")),
    tooLong: () => {
      throw tooMuch("a branch or tag with too long a name");
    },
  });

  /** @throws NotGiven when it is too much */
  push(part: Buffer): void {
    this.lines.push(part);
  }

  private line(line: string): void {
    const [, commit, name] = LINE.exec(line) ?? [];
    // `refs/tags/v1^{}` is what the tag before it is of.
    if (commit !== undefined && name !== undefined && !name.endsWith("^{}")) this.add(name, commit);
    this.defaultBranch ??= HEAD.exec(line)?.[1];
  }

  private add(name: string, commit: string): void {
    this.at.set(name, commit);
    this.bytes += commit.length + Buffer.byteLength(name);
    // `refs/heads/a/b` is a folder and a file.
    this.paths += name.split("/").length - 2;
    if (this.at.size > MOST) throw tooMuch("too many branches and tags");
    if (this.paths > MOST_PATHS) throw tooMuch("branches and tags in too many folders");
    if (this.bytes > MOST_BYTES) throw tooMuch("branches and tags with too long names");
  }

  forget(): void {
    this.at.clear();
  }
}

const tooMuch = (what: string) =>
  new NotGiven({
    code: "over-limit",
    message: `the repository has ${what}`,
    allowed: `${MOST} branches and tags together, each of less than ${LONGEST_LINE - 64} bytes; ${MOST_PATHS} with the folders of their names, and ${MOST_BYTES} bytes with their commits`,
    fix: "delete those that nobody needs",
  });

export const sameReferences = (one: References, other: References): boolean =>
  one.at.size === other.at.size && [...one.at].every(([name, commit]) => other.at.get(name) === commit);

/** A few names of branches, for whoever named another. */
export function branchNames({ at }: References): string {
  const names = [...at.keys()].filter((name) => name.startsWith("refs/heads/")).map((name) => name.slice(11));
  // As the host wrote them, and it may be anybody's.
  const few = names.slice(0, 10).map((name) => name.slice(0, 100).replace(/[\p{Cc}\p{Cs}]/gu, ""));
  return names.length > few.length
    ? `${few.join(", ")} and ${names.length - few.length} more`
    : few.join(", ");
}
