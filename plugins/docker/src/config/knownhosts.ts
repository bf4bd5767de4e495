/** Which lines of a known_hosts file speak of a host (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Pure. */
import { createHmac } from "node:crypto";

/** The name that OpenSSH looks up: the plain address on port 22, else `[address]:port`. */
export function knownHostName(host: string, port: number): string {
  return port === 22 ? host : `[${host}]:${port}`;
}

/**
 * The lines whose names match, joined; certificates (`@cert-authority`) are left out, for they are not checked here.
 *
 * @returns "" if no line matches.
 */
export function knownHostLines(text: string, host: string, port: number): string {
  const name = knownHostName(host, port).toLowerCase();
  return text
    .split(/\r?\n/)
    .filter((line) => {
      const words = line.trim().split(/\s+/);
      if (words[0] === undefined || words[0] === "" || words[0].startsWith("#")) return false;
      if (words[0] === "@cert-authority") return false;
      const names = words[0] === "@revoked" ? words[1] : words[0];
      return names !== undefined && matches(names, name);
    })
    .join("\n");
}

function matches(names: string, name: string): boolean {
  if (names.startsWith("|1|")) {
    const [, , salt, hash] = names.split("|");
    if (salt === undefined || hash === undefined) return false;
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  let found = false;
  for (const pattern of names.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!glob(negated ? pattern.slice(1) : pattern).test(name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

function glob(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${source}$`);
}
