/**
 * @file One at a time: two `npm start` on one BERTH_HOME would install over each other, and so would one with what
 * a killed one left running.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { processAlive, processIdentity, readJson, writeWhole } from "./files.mjs";
import { waitFor, watchRunning } from "./process.mjs";

/** @typedef {{pid: number, identity: string}} Known */

/**
 * Takes the lock file, also from one that was killed; then what that one left running is ended first.
 * @param {string} file
 * @param {string} what for the message, such as "npm start"
 * @returns {Promise<() => void>} gives it back
 * @throws {Error} when another one lives
 */
export async function takeTurn(file, what) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const me = { pid: process.pid, identity: processIdentity(process.pid) };
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(me), { mode: 0o600 });
  try {
    for (let turn = 0; turn < 5; turn++) {
      try {
        linkSync(mine, file);
        watchRunning((running) => {
          const children = running
            // Pulumi has a lock of its own, and is waited for: it ends what it began.
            .filter(({ command }) => !/(^|[\\/])pulumi(\.exe)?$/.test(command))
            .map(({ pid }) => ({ pid, identity: processIdentity(pid) }));
          writeWhole(file, JSON.stringify({ ...me, children }));
        });
        return () => {
          watchRunning(() => {});
          if (readJson(file)?.pid === process.pid) rmSync(file, { force: true });
        };
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
      }
      const holder = readJson(file);
      if (holder && same(holder)) {
        throw new Error(
          `Another \`${what}\` (process ${holder.pid}) is at work. Wait for it, or stop it: kill -INT ${holder.pid}`,
        );
      }
      for (const child of holder?.children ?? []) await endGroup(child);
      rmSync(file, { force: true });
    }
    throw new Error(`${file}: cannot be taken. Its content: ${readFileSync(file, "utf8")}`);
  } finally {
    rmSync(mine, { force: true });
  }
}

/** @param {Known} known */
function same({ pid, identity }) {
  return processAlive(pid) && processIdentity(pid) === identity;
}

/**
 * Ends a program that a killed run had begun, with its group.
 * @param {Known} child
 */
async function endGroup(child) {
  for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGTERM", "SIGKILL"])) {
    // Without an identity (not Linux) the number may be another program's by now.
    if (!child.identity || !same(child)) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      return;
    }
    await waitFor(async () => !same(child), { deadlineMs: 15_000, everyMs: 100 });
  }
}
