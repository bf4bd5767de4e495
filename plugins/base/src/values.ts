/** Values as the engine sends them, and as handlers see them. Pure. */
import type { Bag, Path, Props, Value } from "./types";

/**
 * The marks that the engine and its SDKs put into property bags; constants of the wire format, see
 * `sdk/go/common/resource/sig` and `sdk/nodejs/runtime/rpc.ts` of pulumi/pulumi.
 */
export const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e";

/** A value that is not known yet (preview). Compare with {@link isUnknown}. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** The engine has one mark per type of unknown value; `resource/plugin/rpc.go`. */
const UNKNOWNS = new Set([
  UNKNOWN, // string, and what the Node.js SDK sends for all
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7", // bool
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421", // number
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2", // array
  "030794c1-ac77-496b-92df-f27374a8bd58", // asset
  "e48ece36-62e2-4504-bad9-02848725956a", // archive
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff", // object
]);

export function isProps(value: Value | undefined): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isUnknown(value: unknown): boolean {
  return typeof value === "string" && UNKNOWNS.has(value);
}

/** True if the value is unknown or holds an unknown at any depth. */
export function hasUnknown(value: unknown): boolean {
  if (isUnknown(value)) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(hasUnknown);
}

/**
 * Takes the secret wrappers (and output values and resource references) off a bag from the wire.
 *
 * @param raw a `google.protobuf.Struct` turned into a plain object.
 * @returns plain values, every unknown as {@link UNKNOWN}, and the paths that were secret.
 */
export function unwrapSecrets(raw: unknown): Bag {
  const secrets: Path[] = [];
  const values = unwrap(raw ?? {}, [], secrets);
  if (typeof values !== "object" || values === null || Array.isArray(values)) return { values: {}, secrets };
  return { values, secrets };
}

function unwrap(raw: unknown, path: Path, secrets: Path[]): Value {
  if (isUnknown(raw)) return UNKNOWN;
  if (raw === null || raw === undefined) return null;
  if (typeof raw === "boolean" || typeof raw === "number" || typeof raw === "string") return raw;
  if (Array.isArray(raw)) return raw.map((item, index) => unwrap(item, [...path, index], secrets));
  const object = raw as Record<string, unknown>;
  switch (object[SIGNATURE]) {
    case SECRET:
      secrets.push(path);
      return unwrap(object.value, path, secrets);
    case OUTPUT:
      if (object.secret === true) secrets.push(path);
      return Object.hasOwn(object, "value") ? unwrap(object.value, path, secrets) : UNKNOWN;
    case RESOURCE:
      return unwrap(object.id ?? object.urn, path, secrets);
  }
  const out: Props = {};
  for (const [key, value] of Object.entries(object)) {
    if (value !== undefined) out[key] = unwrap(value, [...path, key], secrets);
  }
  return out;
}

/**
 * Puts secret wrappers back on the given paths. A path that leads nowhere is left out; a path inside
 * another secret is wrapped too, as the official plugins do.
 */
export function markSecrets(values: Props, secrets: readonly Path[]): Record<string, unknown> {
  const marked = new Set(secrets.map((path) => JSON.stringify(path)));
  return wrap(values, [], marked, false) as Record<string, unknown>;
}

function wrap(value: Value, path: Path, marked: ReadonlySet<string>, done: boolean): unknown {
  if (!done && path.length > 0 && marked.has(JSON.stringify(path))) {
    return { [SIGNATURE]: SECRET, value: wrap(value, path, marked, true) };
  }
  if (Array.isArray(value)) return value.map((item, index) => wrap(item, [...path, index], marked, false));
  if (typeof value !== "object" || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) out[key] = wrap(item, [...path, key], marked, false);
  }
  return out;
}

/** True if the path, or one above it, is secret. */
export function isSecretPath(path: Path, secrets: readonly Path[]): boolean {
  return secrets.some(
    (secret) => secret.length <= path.length && secret.every((part, i) => part === path[i]),
  );
}

/** The value at a path; undefined if it leads nowhere. */
export function getPath(values: Value, path: Path): Value | undefined {
  let at: Value | undefined = values;
  for (const part of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string | number, Value>)[part];
  }
  return at;
}

/** `["ports", 0, "internal"]` as the engine writes it: `ports[0].internal`; odd keys are quoted. */
export function formatPath(path: Path): string {
  let out = "";
  for (const part of path) {
    if (typeof part === "number") out += `[${part}]`;
    else if (/^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(part)) out += out === "" ? part : `.${part}`;
    else out += `[${JSON.stringify(part)}]`;
  }
  return out;
}

/** The text with each of the strings replaced by `[secret]`. */
export function redact(text: string, strings: readonly string[]): string {
  let out = text;
  for (const secret of strings) out = out.replaceAll(secret, "[secret]");
  return out;
}
