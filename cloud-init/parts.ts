import { createHash } from "node:crypto";

/** One part of a multipart user data document, as `cloudinit.getConfig` takes it. */
export interface UserDataPart {
  content: string;
  contentType: "text/cloud-config" | "text/x-shellscript";
  filename: string;
}

/** DigitalOcean's limit on a droplet's user data: 64 KiB. */
export const userDataLimit = 64 * 1024;

/** Room that MIME takes around the parts: the headers, and per part a boundary and five header lines. */
const ENVELOPE = 512;

/** Upper bound of the document's size in bytes, neither compressed nor in base64. */
export function userDataSize(parts: readonly UserDataPart[]): number {
  return parts.reduce(
    (sum, { content, filename }) => sum + Buffer.byteLength(content) + Buffer.byteLength(filename) + ENVELOPE,
    ENVELOPE,
  );
}

/** SHA-256 of the parts, in hex: the same for the same parts in the same order. */
export function hashParts(parts: readonly UserDataPart[]): string {
  const text = JSON.stringify(
    parts.map(({ content, contentType, filename }) => [filename, contentType, content]),
  );
  return createHash("sha256").update(text).digest("hex");
}
