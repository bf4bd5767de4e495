/** Branches and tags, as git lists them. Pure. */
import { Pieces } from "./pieces";
import { NotGiven } from "./types";

export interface References {
  /** Of `refs/heads/…` and `refs/tags/…`: what each is at. */
  at: ReadonlyMap<string, string>;
  /** The branch that HEAD names. */
  defaultBranch?: string;
}

const LINE = /^([0-9a-f]{40})\t(refs\/(?:heads|tags)\/.+)$/;
const HEAD = /^ref: refs\/heads\/(.+)\tHEAD$/;
const MOST = 50_000;
/** In bytes: a name, with the commit before it. Each branch is the path of a file. */
const LONGEST_LINE = 1024;

/** Reads what `git ls-remote --symref` prints, as it comes, and `git for-each-ref` in the same shape. */
export class ReferenceList implements References {
  readonly at = new Map<string, string>();
  defaultBranch?: string;
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
    if (commit !== undefined && name !== undefined && !name.endsWith("^{}")) this.at.set(name, commit);
    if (this.at.size > MOST) throw tooMuch("too many branches and tags");
    this.defaultBranch ??= HEAD.exec(line)?.[1];
  }
}

const tooMuch = (what: string) =>
  new NotGiven({
    code: "over-limit",
    message: `the repository has ${what}`,
    allowed: `${MOST} branches and tags together, each of less than ${LONGEST_LINE - 64} bytes`,
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
