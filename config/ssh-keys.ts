/** SSH public keys as configuration holds them. Pure. */

/** Key types that sshd shows as its own: it has no security keys for hosts. */
export const HOST_KEY_TYPES = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
] as const;

export const KEY_TYPES: readonly string[] = [
  ...HOST_KEY_TYPES,
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];

/** True for one public key line `type base64 [comment]` whose blob really holds that type. */
export function isPublicKey(line: string): boolean {
  const match = /^(\S+) ([A-Za-z0-9+/]+={0,2})( [^\r\n]*)?$/.exec(line);
  const type = match?.[1];
  if (!match || type === undefined || !KEY_TYPES.includes(type)) return false;
  const blob = Buffer.from(match[2] as string, "base64");
  if (blob.length < 4 + type.length + 4) return false;
  return (
    blob.readUInt32BE(0) === type.length && blob.subarray(4, 4 + type.length).toString("latin1") === type
  );
}

/**
 * `TYPE BASE64` of a host key, from the line of a `.pub` file (`TYPE BASE64 comment`) or of ssh-keyscan
 * (`HOST TYPE BASE64`); undefined when it is neither. Narrower than what providers take: one key, no markers.
 */
export function parseHostKey(text: string): string | undefined {
  const words = text.trim().split(/[ \t]+/);
  const at = words.findIndex((word) => (HOST_KEY_TYPES as readonly string[]).includes(word));
  if (at !== 0 && at !== 1) return undefined;
  if (at === 1 && words.length > 3) return undefined;
  if (at === 1 && /^[@#|]/.test(words[0] as string)) return undefined;
  const line = `${words[at]} ${words[at + 1] ?? ""}`;
  return !/[\r\n]/.test(text.trim()) && isPublicKey(line) ? line : undefined;
}
