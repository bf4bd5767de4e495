/** What a schema says against a value, in words: one way for every file, request and configuration. Pure. */

/** As zod reports it, as far as it is read here. */
export interface Issue {
  code?: string;
  path: readonly PropertyKey[];
  message: string;
  /** Of `unrecognized_keys`: those that stand at `path`. */
  keys?: readonly string[];
}

/** `users[0].memory`; empty for the whole. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`,
    "",
  );
}

/** `users[1].uid: is that of users[0] too`. */
export function issueText({ code, path, message, keys = [] }: Issue): string {
  const at = pathText(path);
  if (code === "unrecognized_keys") return `${keys.join(", ")}${at === "" ? "" : ` in ${at}`}: not allowed`;
  return at === "" ? message : `${at}: ${message}`;
}

/**
 * All that is wrong with a value, each as `issueText`.
 *
 * @param at where the value stands. @default nowhere: paths begin inside it
 */
export function issueTexts(error: { issues: readonly Issue[] }, at: readonly PropertyKey[] = []): string[] {
  return error.issues.map((issue) => issueText({ ...issue, path: [...at, ...issue.path] }));
}

/** What stands at a path; undefined where nothing does. */
export function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, part)
        ? (value as Record<PropertyKey, unknown>)[part]
        : undefined,
    values,
  );
}

/** A copy without what stands at the paths: what is right beside something wrong can be judged in the same run. */
export function without(values: unknown, paths: readonly (readonly PropertyKey[])[]): unknown {
  const copy = structuredClone(values);
  for (const path of paths) {
    const holder = valueAt(copy, path.slice(0, -1));
    const last = path.at(-1);
    if (typeof holder === "object" && holder !== null && last !== undefined)
      Reflect.deleteProperty(holder, last);
  }
  return copy;
}
