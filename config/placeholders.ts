/**
 * Stack files are committed with placeholders where only the operator knows the value: `<region>`, `TODO: key`.
 * A preview may go on with them; an update may not.
 */

/** Set-up of workspaces is free text, where such text can be meant. */
const FREE_TEXT = new Set(["setup"]);

/** True for a whole text such as `<public address>` or `TODO address`. */
export function isPlaceholder(text: string): boolean {
  return /^<[^<>\r\n]+>(:<[^<>\r\n]+>)?$/.test(text.trim()) || /^TODO\b/.test(text.trim());
}

/** Paths of all placeholders, such as `nodes[0].address`. */
export function findPlaceholders(value: unknown, path = ""): { path: string; value: string }[] {
  if (typeof value === "string") {
    const half = /(^|\.)address$/.test(path) && /(^|:)<[^<>]+>($|:)/.test(value);
    return half || isPlaceholder(value) ? [{ path, value }] : [];
  }
  if (Array.isArray(value)) return value.flatMap((item, i) => findPlaceholders(item, `${path}[${i}]`));
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, item]) =>
    FREE_TEXT.has(key) ? [] : findPlaceholders(item, path === "" ? key : `${path}.${key}`),
  );
}
