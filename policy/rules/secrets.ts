import { isPlaceholder } from "../../config";
import { Hidden, type Rule, UNKNOWN, type Value } from "./rule";

/** Names of fields, keys and variables whose value is a secret. */
const SECRET_NAME =
  /(^|[a-z\d_.-])(passwords?|passwd|passphrase|secrets?|tokens?|api_?keys?|private_?keys?|credentials)$/i;
/** `NAME=value` of an environment; a value that refers to another one (`$X`, `$(…)`) is none itself. */
const ASSIGNMENT = /^([A-Za-z_][A-Za-z0-9_]*)=(?!["']?\$)(.+)$/s;

/** Texts that are secrets whatever their field is called. */
const SECRET_TEXT: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/, "a private key"],
  [/PuTTY-User-Key-File-\d/, "a private key of PuTTY"],
  [/\bdo[opr]_v1_[0-9a-f]{64}\b/, "a DigitalOcean token"],
  [/\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})/, "a GitHub token"],
  [/\bAKIA[0-9A-Z]{16}\b/, "an AWS access key"],
  [/\bhf_[A-Za-z0-9]{30,}\b/, "a Hugging Face token"],
];

/** True when a field of this name holds a secret. */
export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/** What kind of secret a text holds, by its form; undefined for none. */
export const secretIn = (content: string): string | undefined =>
  SECRET_TEXT.find(([form]) => form.test(content))?.[1];

const below = (path: string, key: string | number): string =>
  typeof key === "number" ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;

/** Where a value holds a secret that is not marked as one; with the kind of it, never the secret. */
export function plainSecrets(value: Value | undefined, path = "", named = false): string[] {
  if (value === undefined || value === null || value === UNKNOWN || value instanceof Hidden) return [];
  if (typeof value === "string") {
    if (value === "" || isPlaceholder(value)) return [];
    const kind = secretIn(value);
    if (kind !== undefined) return [`${path} holds ${kind}`];
    if (named) return [`${path} is a secret by its name`];
    const [, name = "", content = ""] = ASSIGNMENT.exec(value) ?? [];
    return isSecretName(name) && !isPlaceholder(content)
      ? [`${path} sets ${name}, a secret by its name`]
      : [];
  }
  if (Array.isArray(value))
    return (value as readonly Value[]).flatMap((item, i) => plainSecrets(item, below(path, i), named));
  if (typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, item]) =>
    // What begins with "__" is the engine's and the SDK's own.
    key.startsWith("__") ? [] : plainSecrets(item, below(path, key), named || isSecretName(key)),
  );
}

/**
 * No input holds a secret in plain text: what is called a password, token, key or credential, or looks like a private
 * key or a known kind of token, has to be marked, or it would lie open in the state and in previews.
 */
export const secrets: Rule = {
  name: "no-plaintext-secrets",
  description: "Every secret is marked as one, so that it is encrypted in the state and hidden in previews.",
  check: ({ props }) =>
    plainSecrets(props).map((found) => `${found}, but is not marked: pass it through pulumi.secret()`),
};
