/**
 * @file One holder at a time, among processes of this computer.
 */
import { rmSync } from "node:fs";
import { createWhole, known, lives, readJson } from "../lib/files.mjs";
import { waitFor } from "../lib/process.mjs";

/** A build of everything takes some 15 minutes; another process waits for it at most so long. */
const WAIT_MS = 90 * 60_000;

/**
 * Does `work` while holding the lock file. A holder that was killed leaves it behind; it is then taken over.
 * @template T
 * @param {string} path
 * @param {(text: string) => void} say told when it has to wait
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, say, work) {
  let told = false;
  const got = await waitFor(
    async () => {
      if (take(path)) return true;
      if (!told) say(`waiting for another build (process ${readJson(path)?.pid ?? "?"})`);
      told = true;
      return false;
    },
    { deadlineMs: WAIT_MS, everyMs: 500 },
  );
  if (!got) throw new Error(`${path}: another build has held it for ${WAIT_MS / 60_000} minutes.`);
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * @param {string} path
 * @returns {boolean}
 */
function take(path) {
  // Another account that shares the cache has to see whose it is.
  if (createWhole(path, JSON.stringify(known(process.pid)), 0o644)) return true;
  const owner = readJson(path);
  if (!owner || !lives(owner)) rmSync(path, { force: true });
  return false; // The next round tries again.
}
