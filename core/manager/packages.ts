/** Which packages that one container installed may stand below another's, and which of them are kept. Pure. */
import { createHash } from "node:crypto";
import { type Repository, repositoryKey, shownName } from "./repository";

/** What a container's packages are of. */
export interface PackagesOf {
  /** The tenant. */
  owner: string;
  repository: Repository;
  branch: string;
  /** The branch whose packages serve where `branch` has none of its own. @default none */
  mainBranch?: string;
  /**
   * The image that the container began with, or for one that is made of a main image, what that began with: packages that have
   * parts built for one image's system do not run in another.
   */
  image: string;
}

/** Where the packages of a project of Node.js are in a container: those that are kept, or a volume in their place. */
export const PACKAGES_PATH = "/app/node_modules";

const BRANCH_CHARACTERS = 24;

/** `OWNER-REPO-node_modules`, for people. Two repositories may be shown alike, so nothing is decided by it. */
export const packagesName = (repository: Repository) => `${shownName(repository)}-node_modules`;

/**
 * What a branch's packages are called: `[a-z0-9-]`, at most 89 characters, for each tenant, repository, branch and image another
 * one. Its beginning is that of all caches of the repository.
 */
export function packagesKey({ owner, repository, branch, image }: PackagesOf): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([branch, image]))
    .digest("hex");
  return `${repositoryKey(owner, repository)}-${hash.slice(0, BRANCH_CHARACTERS)}`;
}

/**
 * The caches that may stand below a container's packages, the best first: the branch's own, then that of the main branch. What the
 * installation of another branch left is not among them: whoever may push a branch decides what its installation does.
 */
export function packagesBelow(of: PackagesOf): string[] {
  const { mainBranch = of.branch } = of;
  return [...new Set([packagesKey(of), packagesKey({ ...of, branch: mainBranch })])];
}

/** What one installation left, whole and never changed again. */
export interface Generation {
  cache: string;
  /** Counts up in its cache. */
  number: number;
  owner: string;
  /** On the disk. */
  bytes: number;
  /** Milliseconds since the epoch. */
  usedAt: number;
  /** It stands below a container's packages. */
  inUse: boolean;
}

export interface PackageBounds {
  /** On the disk, of all caches together. */
  maxBytes: number;
  /** Of one owner's. */
  maxBytesOfOne: number;
  /** How many one owner has. */
  maxOfOne: number;
  /** A cache that nobody used for so long is not kept, in milliseconds. */
  unusedMs: number;
}

interface Room {
  bytes: number;
  count: number;
}

const roomOf = (kept: readonly Generation[]): Room => ({
  bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0),
  count: kept.length,
});

/** Takes away the ones longest not used until the rest fits; those in use stay, and count. */
function fitting<T extends Generation>(kept: readonly T[], fits: (room: Room) => boolean): T[] {
  const oldest = kept.filter(({ inUse }) => !inUse).sort((a, b) => a.usedAt - b.usedAt);
  let rest = [...kept];
  for (const one of oldest) {
    if (fits(roomOf(rest))) return rest;
    rest = rest.filter((other) => other !== one);
  }
  return rest;
}

/**
 * The generations that have to go: those that a newer one has followed, those that were not used for long, and of the others the
 * ones longest not used, first of an owner who has more than a share, then of all. None that is in use.
 */
export function packagesToRemove<T extends Generation>(
  all: readonly T[],
  bounds: PackageBounds & { now: number },
): T[] {
  const newest = new Map<string, number>();
  for (const { cache, number } of all) newest.set(cache, Math.max(number, newest.get(cache) ?? number));
  const wanted = all.filter(
    ({ cache, number, usedAt, inUse }) =>
      inUse || (number === newest.get(cache) && usedAt + bounds.unusedMs > bounds.now),
  );
  const owners = [...new Set(wanted.map(({ owner }) => owner))];
  const shares = owners.flatMap((owner) =>
    fitting(
      wanted.filter((one) => one.owner === owner),
      ({ bytes, count }) => bytes <= bounds.maxBytesOfOne && count <= bounds.maxOfOne,
    ),
  );
  const kept = new Set(fitting(shares, ({ bytes }) => bytes <= bounds.maxBytes));
  return all.filter((one) => !kept.has(one));
}

/** Whether those in use, which nothing can take away, leave room for another one of this owner's. */
export function packagesHaveRoom(all: readonly Generation[], owner: string, bounds: PackageBounds): boolean {
  const used = all.filter(({ inUse }) => inUse);
  const own = roomOf(used.filter((one) => one.owner === owner));
  return (
    roomOf(used).bytes < bounds.maxBytes && own.bytes < bounds.maxBytesOfOne && own.count < bounds.maxOfOne
  );
}
