/** Folders that git works in: made, measured, and taken away. No link in them is followed. */
import type { Dirent } from "node:fs";
import { chmod, lchown, lstat, mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Undefined for what has gone in the meantime. */
async function unlessGone<T>(act: Promise<T>): Promise<T | undefined> {
  try {
    return await act;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Also a link that leads nowhere. */
export const isThere = async (path: string): Promise<boolean> =>
  (await unlessGone(lstat(path))) !== undefined;

/** None for a folder that is not there. */
export const entries = async (folder: string): Promise<Dirent[]> =>
  (await unlessGone(readdir(folder, { withFileTypes: true }))) ?? [];

export const removeAll = (path: string) => rm(path, { recursive: true, force: true });

/**
 * Makes the folder, and those above it that are missing below `top`: berthd's own, which git's account only passes through. So that
 * account can put nothing in the place of what is in them, such as a link to a file of the system.
 *
 * @param passed whether git has another account
 * @throws for one that is there, and is a link or somebody else's
 */
export async function makeFolder(folder: string, top: string, passed: boolean): Promise<void> {
  if (folder !== top) await makeFolder(dirname(folder), top, passed);
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    await checkOwn(folder);
  }
  // Also of one that is there: a berthd before this one may have been killed in between.
  await chmod(folder, passed ? 0o711 : 0o700);
}

async function checkOwn(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== process.geteuid?.())
    throw new Error(
      `${folder} is not a folder of berthd's own account: take it away, and berthd makes it anew`,
    );
}

/** Makes a folder for git alone, below one of `makeFolder`. */
export async function makeLeaf(
  folder: string,
  account: { uid: number; gid: number } | undefined,
): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  if (account) await lchown(folder, account.uid, account.gid);
}

/** All that is below it; folders that go meanwhile are no error. */
async function* below(folder: string): AsyncGenerator<{ path: string; isFolder: boolean }> {
  for (const entry of await entries(folder)) {
    const found = { path: join(folder, entry.name), isFolder: entry.isDirectory() };
    yield found;
    if (found.isFolder) yield* below(found.path);
  }
}

/** What the folder takes on the disk, in bytes. The folders in it count: git makes one for each '/' of a branch's name. */
export async function sizeOf(folder: string): Promise<number> {
  let blocks = 0;
  for await (const { path } of below(folder)) blocks += (await unlessGone(lstat(path)))?.blocks ?? 0;
  return blocks * 512;
}

/** Locks, packs that were not finished and the like: what git leaves in its repository when it is killed. */
export async function removeLeftovers(repository: string): Promise<void> {
  const objects = join(repository, "objects");
  for await (const { path, isFolder } of below(repository)) {
    if (isFolder) continue;
    // No branch and no tag may be called so.
    const lock = path.endsWith(".lock");
    const half = path.startsWith(`${objects}/`) && /\/(tmp_[^/]*|\.tmp-[^/]*|pack-[^/]*\.keep)$/.test(path);
    if (lock || half) await rm(path, { force: true });
  }
}
