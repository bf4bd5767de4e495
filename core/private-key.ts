/** SSH private keys as files: which ones both OpenSSH and ssh2 can sign in with, and how the others are mended. Pure. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { readKey } from "./public-key";

const BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END = "-----END OPENSSH PRIVATE KEY-----";

/** First bytes of what stands in OpenSSH's own format (PROTOCOL.key). */
const MARK = "openssh-key-v1\0";

/** Curves of ECDSA keys in SSH (RFC 5656, 10.1), as OpenSSL names them. */
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];

/**
 * What is wrong with the text of a private key file, with the command that mends it; undefined for a key that OpenSSH
 * and this plugin sign in with: OpenSSH's own format, or RSA and ECDSA keys as PEM or PKCS#8, none of them encrypted.
 * Never quotes the text.
 *
 * @param path where the file lies, for the command.
 */
export function privateKeyProblem(text: string, path: string): string | undefined {
  const file = word(path);
  const renew = `make another (ssh-keygen -t ed25519 -f NEW), and put its public half on the machine`;
  if (/^PuTTY-User-Key-File-/.test(text))
    return `is a key of PuTTY: export it in OpenSSH's format (puttygen ${file} -O private-openssh -o NEW)`;
  if (/^\s*(ssh-|ecdsa-|sk-)|-----? BEGIN SSH2 PUBLIC KEY|-----BEGIN [A-Z ]*PUBLIC KEY-----/.test(text))
    return "is a public key: name the private one, most often without .pub";
  if (/BEGIN SSH2 ENCRYPTED PRIVATE KEY/.test(text)) return `is a key of another SSH program: ${renew}`;
  if (/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(text)) return `is a certificate: ${renew}`;
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----\s/.test(text)) return "is no SSH private key";
  if (text.includes(BEGIN)) return ownFormatProblem(text, file, renew);
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: *4,ENCRYPTED/.test(text)) return ENCRYPTED;
  const key = pemKey(text);
  if (key === undefined) return `is damaged or cut: copy it anew from where it was made, or ${renew}`;
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa" || (type === "ec" && CURVES.includes(details?.namedCurve ?? ""))) return undefined;
  // OpenSSH reads such a key from 9.6 on (release notes), but not every operator has that.
  if (type === "ed25519")
    return (
      "is an Ed25519 key in the PKCS#8 format, which most versions of ssh cannot read: rewrite it with OpenSSH 9.6 or " +
      `newer (ssh-keygen -p -N '' -f ${file}), or ${renew}`
    );
  return `is a key of a type that servers do not take (${details?.namedCurve ?? type}): ${renew}`;
}

const ENCRYPTED =
  "has a passphrase, which Berth does not ask for: ssh-add it to your agent and set agent: true";

/** OpenSSH compares the first and the last line byte by byte, its line break included (sshkey.c, private2_uudecode). */
function ownFormatProblem(text: string, file: string, renew: string): string | undefined {
  if (text.includes("\r"))
    return `has line breaks of Windows (CRLF), which ssh cannot read: sed -i 's/\\r$//' ${file}`;
  if (!text.startsWith(BEGIN))
    return `has something before the line ${BEGIN}, where ssh cannot read it: take that out of ${file}`;
  if (text.endsWith(END)) return `lacks the line break at its end, and ssh cannot read it: echo >> ${file}`;
  const [before = "", after] = text.slice(BEGIN.length).split(`${END}\n`);
  if (after !== undefined && after.trim() !== "")
    return `has something after the line ${END}: take that out of ${file}`;
  const damaged = `is damaged or cut: copy it anew from where it was made, or ${renew}`;
  if (after === undefined || !/^\n([A-Za-z0-9+/=]+\n+)+$/.test(before)) return damaged;
  const blob = Buffer.from(before, "base64");
  if (blob.toString("latin1", 0, MARK.length) !== MARK) return damaged;
  const fields = reader(blob, MARK.length);
  const cipher = fields.text();
  if (cipher !== undefined && cipher !== "none") return ENCRYPTED;
  fields.text(); // the way from passphrase to key
  fields.text(); // and its parameters
  const count = fields.number();
  const publicKey = fields.bytes();
  const secret = fields.bytes();
  if (count !== 1 || publicKey === undefined || secret === undefined || !fields.atEnd()) return damaged;
  const type = reader(publicKey, 0).text() ?? "";
  if (type.startsWith("sk-"))
    return `needs a security key at each connection, and Berth makes many: ${renew}`;
  if (type === "ssh-dss") return `is a DSA key, which servers have not taken since OpenSSH 7.0: ${renew}`;
  if (typeof readKey(type, publicKey.toString("base64")) === "string") return damaged;
  const inner = reader(secret, 0);
  const [one, two] = [inner.number(), inner.number()];
  return one === undefined || one !== two || inner.text() !== type ? damaged : undefined;
}

function reader(blob: Buffer, start: number) {
  let at = start;
  const number = (): number | undefined => {
    if (at + 4 > blob.length) return undefined;
    at += 4;
    return blob.readUInt32BE(at - 4);
  };
  const bytes = (): Buffer | undefined => {
    const length = number();
    if (length === undefined || at + length > blob.length) return undefined;
    at += length;
    return blob.subarray(at - length, at);
  };
  return { number, bytes, text: () => bytes()?.toString("latin1"), atEnd: () => at === blob.length };
}

function pemKey(text: string): KeyObject | undefined {
  try {
    return createPrivateKey({ key: text, format: "pem" });
  } catch {
    return undefined;
  }
}

/**
 * The same key in a form that ssh2 reads: it knows OpenSSH's own format and the older PEM, and not PKCS#8, which the
 * official plugin takes. Text of any other kind comes back as it is.
 */
export function keyForSsh2(text: string): string {
  if (text.includes(BEGIN)) return text;
  const key = text.includes("-----BEGIN PRIVATE KEY-----") ? pemKey(text) : undefined;
  const type = key?.asymmetricKeyType;
  if (key === undefined || (type !== "rsa" && type !== "ec")) return text;
  return key.export({ type: type === "rsa" ? "pkcs1" : "sec1", format: "pem" }) as string;
}

/** One word for a shell, quoted where it has to be. */
function word(path: string): string {
  return /^[A-Za-z0-9_@+=:,./~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
