/**
 * @file Is there room on the disks and in memory? Said before anything is begun, with how much is needed and where.
 */
import { existsSync, statfsSync, statSync } from "node:fs";
import { freemem } from "node:os";
import { dirname } from "node:path";
import { size } from "./format.mjs";

/** @typedef {{path: string, bytes: number, why: string}} Need */

/**
 * @param {Need[]} needs those on one disk are added up
 * @param {(path: string) => {disk: number | string, free: number}} [look] for tests
 * @throws {Error} which disk, how much is needed and there, for what, how to mend it
 */
export function requireRoom(needs, look = lookAt) {
  /** @type {Map<number | string, {free: number, needs: Need[]}>} */
  const disks = new Map();
  for (const need of needs) {
    const { disk, free } = look(need.path);
    const entry = disks.get(disk) ?? { free, needs: [] };
    entry.needs.push(need);
    disks.set(disk, entry);
  }
  const problems = [];
  for (const { free, needs: there } of disks.values()) {
    const wanted = there.reduce((sum, need) => sum + need.bytes, 0);
    if (wanted <= free) continue;
    const parts = there.map((need) => `    ${size(need.bytes)} in ${need.path} ${need.why}`);
    problems.push(`  ${size(wanted)} needed, ${size(free)} free:\n${parts.join("\n")}`);
  }
  if (problems.length === 0) return;
  throw new Error(
    `Too little room on disk.\n${problems.join("\n")}\n` +
      "Free some, or let BERTH_CACHE and BERTH_HOME name folders on another disk (Docker's folder: `data-root` in " +
      "/etc/docker/daemon.json), then run the same command again.",
  );
}

/** @returns {number} bytes of memory that programs may still take, also within a container's limit */
export function availableMemory() {
  return Math.min(freemem(), process.availableMemory?.() ?? Number.POSITIVE_INFINITY);
}

/**
 * @param {number} bytes
 * @param {string} why
 * @param {number} [available] for tests
 * @throws {Error} how much is needed and there, for what
 */
export function requireMemory(bytes, why, available = availableMemory()) {
  if (available >= bytes) return;
  throw new Error(
    `Too little memory: ${size(bytes)} needed ${why}, ${size(available)} free. End other programs, then run the same command again.`,
  );
}

/**
 * @param {string} path may not exist yet
 * @returns {{disk: number, free: number}} `free`: bytes that this account may use
 */
function lookAt(path) {
  let there = path;
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize } = statfsSync(there);
  return { disk: statSync(there).dev, free: bavail * bsize };
}
