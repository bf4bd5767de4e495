/** SSH public keys as text, `TYPE BASE64 [comment]`: whether such a line is one whole key. Pure. */

/** Key types that a server shows as its own and that ssh2 can check: it has no security keys for hosts. */
export const HOST_KEY_TYPES = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
] as const;

/** Key types that a person may sign in with. Certificates are none of them: they name a key that is trusted elsewhere. */
export const USER_KEY_TYPES: readonly string[] = [
  ...HOST_KEY_TYPES,
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];

/** What is right for one field of a key: what is wrong with its bytes, or undefined. */
type Field = (bytes: Buffer) => string | undefined;

/** OpenSSH's least modulus (SSH_RSA_MINIMUM_MODULUS_SIZE in sshkey.h). */
const RSA_BITS = 1024;

const long =
  (length: number): Field =>
  (bytes) =>
    bytes.length === length ? undefined : `has a part of ${bytes.length} bytes where ${length} belong`;

/** A point that is not compressed (SEC 1, 2.3.3): OpenSSH takes no other (RFC 5656, 3.1). */
const point =
  (size: number): Field =>
  (bytes) =>
    long(1 + 2 * size)(bytes) ?? (bytes[0] === 4 ? undefined : "has a point that is not in the full form");

const word =
  (expected: string): Field =>
  (bytes) =>
    bytes.toString("latin1") === expected ? undefined : `names another curve than ${expected}`;

/** A positive whole number without idle zeros in front (RFC 4251, 5). */
const number =
  (leastBits = 1): Field =>
  (bytes) => {
    const [first, second] = [bytes[0] ?? 0, bytes[1] ?? 0];
    if (bytes.length === 0 || first >= 0x80 || (first === 0 && second < 0x80))
      return "has a number that is not written as keys write it";
    const bits = bytes.length * 8 - (first === 0 ? 8 : Math.clz32(first) - 24);
    return bits < leastBits ? `has ${bits} bits, and OpenSSH takes none below ${leastBits}` : undefined;
  };

/** An application's name is free text. */
const any: Field = () => undefined;

const ecdsa = (curve: string, size: number): readonly Field[] => [word(curve), point(size)];

/**
 * What follows the type in a key's blob, field by field: RFC 4253, 6.6 (RSA, DSA), RFC 5656, 3.1 (ECDSA),
 * RFC 8709, 4 (Ed25519), OpenSSH's PROTOCOL.u2f (security keys).
 */
const FIELDS: Readonly<Record<string, readonly Field[]>> = {
  "ssh-ed25519": [long(32)],
  "ssh-rsa": [number(), number(RSA_BITS)],
  "ssh-dss": [number(), number(), number(), number()],
  "ecdsa-sha2-nistp256": ecdsa("nistp256", 32),
  "ecdsa-sha2-nistp384": ecdsa("nistp384", 48),
  "ecdsa-sha2-nistp521": ecdsa("nistp521", 66),
  "sk-ssh-ed25519@openssh.com": [long(32), any],
  "sk-ecdsa-sha2-nistp256@openssh.com": [...ecdsa("nistp256", 32), any],
};

/** A key's text in the two parts that count. */
export interface PublicKey {
  readonly type: string;
  /** As it travels on the wire. */
  readonly blob: Buffer;
}

/**
 * Reads the base64 part of a key, whole: its fields fill it to the last byte.
 *
 * @returns the key, or in a few words what is wrong with it ("ends too early…").
 */
export function readKey(type: string, base64: string): PublicKey | string {
  const fields = Object.hasOwn(FIELDS, type) ? FIELDS[type] : undefined;
  if (/-cert-v\d+@/.test(type)) return "is a certificate, not a key";
  if (fields === undefined) return "is of a type that is not known";
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return "has a character that is none of base64";
  const blob = Buffer.from(base64, "base64");
  // Buffer.from leaves out what it cannot read, such as the half of a last letter.
  if (blob.toString("base64") !== base64) return CUT;
  let at = 0;
  const next = (): Buffer | undefined => {
    if (at + 4 > blob.length) return undefined;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    const bytes = blob.subarray(at + 4, end);
    at = end;
    return bytes;
  };
  const inside = next();
  if (inside === undefined) return CUT;
  if (inside.toString("latin1") !== type) return "holds a key of another type than it says";
  for (const field of fields) {
    const bytes = next();
    if (bytes === undefined) return CUT;
    const problem = field(bytes);
    if (problem !== undefined) return problem;
  }
  return at === blob.length ? { type, blob } : `goes on after its end, by ${blob.length - at} bytes`;
}

const CUT = "ends too early: a part of it was left out when it was copied";

/**
 * What is wrong with one line `TYPE BASE64 [comment]`, or undefined. Blanks at both ends, and so a file's line break,
 * do not count; options in front do.
 *
 * @param types those that may be @default USER_KEY_TYPES
 */
export function publicKeyProblem(
  line: string,
  types: readonly string[] = USER_KEY_TYPES,
): string | undefined {
  const text = line.trim();
  if (/[\r\n]/.test(text)) return "is more than one line";
  // A tab may stand in a comment; other control characters may not reach a file of sshd's.
  if (/\p{Cc}/u.test(text.replaceAll("\t", " "))) return "has a control character";
  const [type = "", base64 = ""] = text.split(/ +/, 2);
  if (!types.includes(type))
    return /-cert-v\d+@/.test(type) ? "is a certificate, not a key" : "is no SSH public key";
  if (base64 === "") return "is no SSH public key: nothing follows the type";
  const key = readKey(type, base64);
  return typeof key === "string" ? `is no SSH public key: it ${key}` : undefined;
}
