/** Host keys: what an operator writes down, and the fingerprint that everybody compares. Pure. */
import { createHash } from "node:crypto";
import { type PublicKey, readKey } from "../../../core/public-key";

export interface HostKey {
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`… */
  readonly type: string;
  /** The key as it travels on the wire. */
  readonly blob: Buffer;
  /** `@revoked` lines of a known_hosts file: such a key is never accepted. */
  readonly revoked: boolean;
}

/** `SHA256:…` as OpenSSH prints it: base64 without padding. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

const KEY_TYPE = /^(ssh-|ecdsa-sha2-|sk-)/;

/**
 * Reads host keys from an authorized_keys line (`ssh-ed25519 AAAA… comment`), several such lines, or
 * known_hosts lines (`host ssh-ed25519 AAAA…`, markers included). In known_hosts lines the names are not
 * compared: whoever sets `hostKey` says whose key it is.
 *
 * @throws Error naming the line number if a line is no whole key, or one of a kind that ssh2 cannot check
 * (security keys, certificates).
 */
export function parseHostKeys(text: string): HostKey[] {
  const keys: HostKey[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "" || words[0]?.startsWith("#")) continue;
    const at = words.findIndex((word) => KEY_TYPE.test(word));
    const type = words[at];
    const key = readHostKey(type, words[at + 1]);
    if (typeof key === "string") {
      throw new Error(
        `hostKey, line ${index + 1}, ${key}; give a whole line such as "ssh-ed25519 AAAA…" ` +
          `(from /etc/ssh/ssh_host_ed25519_key.pub or ssh-keyscan) or known_hosts lines`,
      );
    }
    keys.push({ ...key, revoked: words.includes("@revoked") });
  }
  if (keys.length === 0) throw new Error(`hostKey holds no key; give a line such as "ssh-ed25519 AAAA…"`);
  return keys;
}

/** The key, or what is wrong with it. */
function readHostKey(type: string | undefined, base64 = ""): PublicKey | string {
  if (type === undefined) return "is no public key";
  if (type.startsWith("sk-")) return "is a security key, which no server has for its own";
  const key = readKey(type, base64);
  return typeof key === "string" ? `is no public key: it ${key}` : key;
}

/** Signature algorithms to offer so that the server shows a key of one of these types. */
export function hostKeyAlgorithms(keys: readonly HostKey[]): string[] {
  const out = new Set<string>();
  for (const { type, revoked } of keys) {
    if (revoked) continue;
    // An RSA key signs with SHA-2 today; the old name comes last (RFC 8332).
    if (type === "ssh-rsa") for (const name of ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]) out.add(name);
    else out.add(type);
  }
  return [...out];
}
