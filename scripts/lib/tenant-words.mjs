/**
 * @file What an update does to back-ends that a node serves no more, in words: where the stack says so, all that they had there goes
 * for good. From what the stage agent reads (components/agent/options.ts). Pure.
 */
import { isObject } from "./value-words.mjs";

const GOES = "is deleted for good: containers with their files, volumes, main images, kept packages, logs";

/**
 * @param {unknown} before JSON of the stage's input; anything else: nobody knows
 * @param {unknown} after
 * @returns {{what: string, line: string}[]}
 */
export function tenantWords(before, after) {
  const [old, now] = [nodeIn(before), nodeIn(after)];
  if (!old || !now) return [];
  const names = namesOf(now);
  const goes = (/** @type {string} */ name) =>
    now.purgeTenants === true || (Array.isArray(now.purgeTenants) && now.purgeTenants.includes(name));
  const gone = namesOf(old).filter((name) => !names.includes(name));
  const purged = Array.isArray(now.purgeTenants) ? now.purgeTenants.map(String) : [];
  const all = [...new Set([...gone, ...purged.filter((name) => !names.includes(name))])].sort();
  // Also of those whom an update before this one took out: the stack does not know them any more.
  const allGoes = now.purgeTenants === true && old.purgeTenants !== true;
  return [
    ...(allGoes ? [{ what: "all that tenants had", line: GOES }] : []),
    ...all.map((name) => ({
      what: `all that ${name} has`,
      line: goes(name) ? GOES : "stays, and its containers are stopped; its token is refused",
    })),
  ];
}

/** @param {unknown} text */
function nodeIn(text) {
  try {
    const { node } = JSON.parse(String(text));
    return isObject(node) ? node : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {Record<string, unknown>} node
 * @returns {string[]}
 */
const namesOf = ({ manager, tenants }) =>
  isObject(manager) && Array.isArray(tenants) ? tenants.map(({ name }) => String(name)) : [];
