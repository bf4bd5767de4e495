/**
 * @file One at a time: two `npm start` on one BERTH_HOME would install over each other, and so would one with what
 * a killed one left running.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { createWhole, known, lives, readJson, writeWhole } from "./files.mjs";
import { waitFor, watchRunning } from "./process.mjs";

/**
 * Takes the lock file, also from one that was killed; then what that one left running is ended first.
 * @param {string} file
 * @param {string} what for the message, such as "npm start"
 * @returns {Promise<() => void>} gives it back
 * @throws {Error} when another one lives
 */
export async function takeTurn(file, what) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const me = known(process.pid);
  for (let turn = 0; turn < 5; turn++) {
    if (createWhole(file, JSON.stringify(me))) {
      watchRunning((running) => {
        const children = running
          // Pulumi has a lock of its own, and is waited for: it ends what it began.
          .filter(({ command }) => !/(^|[\\/])pulumi(\.exe)?$/.test(command))
          .map(({ pid }) => known(pid));
        writeWhole(file, JSON.stringify({ ...me, children }));
      });
      return () => {
        watchRunning(() => {});
        if (readJson(file)?.pid === process.pid) rmSync(file, { force: true });
      };
    }
    const holder = readJson(file);
    if (holder && lives(holder)) {
      throw new Error(
        `Another \`${what}\` (process ${holder.pid}) is at work. Wait for it, or stop it: kill -INT ${holder.pid}`,
      );
    }
    for (const child of holder?.children ?? []) await endGroup(child);
    rmSync(file, { force: true });
  }
  throw new Error(`${file}: cannot be taken. Its content: ${readFileSync(file, "utf8")}`);
}

/**
 * Ends a program that a killed run had begun, with its group.
 * @param {import("./files.mjs").Known} child
 */
async function endGroup(child) {
  for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGTERM", "SIGKILL"])) {
    // Without an identity (not Linux) the number may be another program's by now.
    if (!child.identity || !lives(child)) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      return;
    }
    await waitFor(async () => !lives(child), { deadlineMs: 15_000, everyMs: 100 });
  }
}
