/**
 * The MIME document that cloud-init reads, byte for byte as the official plugin writes it. Pure.
 *
 * A change of one byte is a change of user data, and replaces machines. So the oddities stay: a bare line feed after
 * the first line, sorted headers, `Mime-Version` in the parts' spelling, names in quotes as they are, "7bit" for every
 * content. MIME libraries write correct documents, and none of them these; hence this writer.
 */
import { crc32 } from "node:zlib";
import type { Props } from "@berth/plugin-base";
import { gzip } from "./gzip";
import { withDefaults } from "./schema";

export interface Rendered {
  /** The document: base64 unless that is turned off. */
  readonly rendered: string;
  /** CRC-32 of `rendered`, in decimal. */
  readonly id: string;
}

/** @param inputs checked, all of them known */
export function render(inputs: Props): Rendered {
  const config = withDefaults(inputs);
  const writes = documentOf(String(config.boundary), (config.parts ?? []) as Props[]).map((text) =>
    Buffer.from(text),
  );
  const bytes = config.gzip === true ? gzip(writes) : Buffer.concat(writes);
  const rendered = bytes.toString(config.base64Encode === true ? "base64" : "utf8");
  return { rendered, id: String(crc32(rendered)) };
}

/** One entry per write of the official plugin, which its compressor sees one by one. */
function documentOf(boundary: string, parts: readonly Props[]): string[] {
  const writes = [`Content-Type: multipart/mixed; boundary="${boundary}"\n`, "MIME-Version: 1.0\r\n\r\n"];
  for (const [i, part] of parts.entries()) {
    const lines = [
      ...(i === 0 ? [] : [""]),
      `--${boundary}`,
      ...header("Content-Disposition", part.filename && `attachment; filename="${part.filename}"`),
      "Content-Transfer-Encoding: 7bit",
      `Content-Type: ${part.contentType}`,
      "Mime-Version: 1.0",
      ...header("X-Merge-Type", part.mergeType),
      "",
      "",
    ];
    writes.push(lines.join("\r\n"), String(part.content));
  }
  writes.push(`\r\n--${boundary}--\r\n`);
  return writes;
}

/** Nothing for an empty value. */
function header(name: string, value: Props[string] | undefined): string[] {
  return value ? [`${name}: ${value}`] : [];
}
