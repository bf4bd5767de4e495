/**
 * @file One holder at a time, among processes of this computer.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { processAlive, processIdentity } from "../lib/files.mjs";
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
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  const got = await waitFor(
    async () => {
      if (take(path)) return true;
      if (!told) say(`waiting for another build (process ${holder(path)?.pid ?? "?"})`);
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
  const mine = `${path}.${process.pid}`;
  // Written whole first, then linked: nobody sees a lock without its owner in it.
  writeFileSync(mine, JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) }));
  try {
    linkSync(mine, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    const owner = holder(path);
    if (owner && processAlive(owner.pid) && processIdentity(owner.pid) === owner.identity) return false;
    rmSync(path, { force: true });
    return false; // The next round tries again.
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * @param {string} path
 * @returns {{pid: number, identity: string} | undefined}
 */
function holder(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
