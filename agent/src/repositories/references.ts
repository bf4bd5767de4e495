/** Branches and tags, as git lists them. Pure. */

export interface References {
  /** Of `refs/heads/…` and `refs/tags/…`: what each is at. */
  at: ReadonlyMap<string, string>;
  /** The branch that HEAD names. */
  defaultBranch?: string;
}

const LINE = /^([0-9a-f]{40})\t(refs\/(?:heads|tags)\/.+)$/;
const HEAD = /^ref: refs\/heads\/(.+)\tHEAD$/;

/** Reads what `git ls-remote --symref` prints, and `git for-each-ref` in the same shape. */
export function readReferences(output: string): References {
  const at = new Map<string, string>();
  let defaultBranch: string | undefined;
  for (const line of output.split("\n")) {
    const [, commit, name] = LINE.exec(line) ?? [];
    // `refs/tags/v1^{}` is what the tag before it is of.
    if (commit !== undefined && name !== undefined && !name.endsWith("^{}")) at.set(name, commit);
    defaultBranch ??= HEAD.exec(line)?.[1];
  }
  return { at, defaultBranch };
}

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
