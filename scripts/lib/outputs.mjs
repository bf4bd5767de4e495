/**
 * @file The stack's outputs as the scripts use them. Pure.
 */

/**
 * `nodes` and `users` as lists. The stack has them by name, so that a preview shows who comes and goes; a stack that
 * was last updated by an older version has lists.
 * @template {Record<string, any>} T
 * @param {T} outputs
 * @returns {T}
 */
export function asLists(outputs) {
  const listed = Object.entries(outputs).filter(([key, value]) => /^(nodes|users)$/.test(key) && value);
  return { ...outputs, ...Object.fromEntries(listed.map(([key, value]) => [key, Object.values(value)])) };
}
