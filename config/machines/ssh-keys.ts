/** SSH public keys as configuration holds them. Pure. */
import { HOST_KEY_TYPES, publicKeyProblem, USER_KEY_TYPES } from "../../core/public-key";
import type { Report } from "../problems";

export { HOST_KEY_TYPES };

/** True for one public key line `TYPE BASE64 [comment]` that is a whole key; blanks at its ends do not count. */
export function isPublicKey(line: string): boolean {
  return publicKeyProblem(line) === undefined;
}

/** Reports a key that opens a machine or a workspace, where it is none. */
export function checkPublicKey(path: string, key: string, report: Report): void {
  const problem = publicKeyProblem(key);
  const rule = `one whole line "TYPE BASE64 [comment]" with TYPE one of ${USER_KEY_TYPES.join(", ")}`;
  if (problem !== undefined) report(path, key.slice(0, 40), problem, rule);
}

/**
 * `TYPE BASE64` of a host key, from the line of a `.pub` file (`TYPE BASE64 comment`) or of ssh-keyscan
 * (`HOST TYPE BASE64`); undefined when it is neither. Narrower than what providers take: one key, no markers.
 */
export function parseHostKey(text: string): string | undefined {
  const found = hostKeyLine(text);
  return found !== undefined && publicKeyProblem(found, HOST_KEY_TYPES) === undefined ? found : undefined;
}

/** What is wrong with a text that `parseHostKey` does not take, or undefined. */
export function hostKeyProblem(text: string): string | undefined {
  const found = hostKeyLine(text);
  if (found === undefined) return "is no SSH host key";
  return publicKeyProblem(found, HOST_KEY_TYPES)?.replace("SSH public key", "SSH host key");
}

/** The two words that are the key, where a text has the shape of one. */
function hostKeyLine(text: string): string | undefined {
  const words = text.trim().split(/[ \t]+/);
  const at = words.findIndex((word) => (HOST_KEY_TYPES as readonly string[]).includes(word));
  if (at !== 0 && at !== 1) return undefined;
  if (at === 1 && words.length > 3) return undefined;
  if (at === 1 && /^[@#|]/.test(words[0] as string)) return undefined;
  return /[\r\n]/.test(text.trim()) ? undefined : `${words[at]} ${words[at + 1] ?? ""}`;
}

/** A path of a key that ssh's ProxyCommand, which a shell reads, carries without quotes. */
export const PLAIN_PATH = /^[A-Za-z0-9_@+=:,./~-]+$/;
