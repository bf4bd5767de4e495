/**
 * The MIME document that cloud-init reads, byte for byte as the official plugin writes it. Pure.
 *
 * A change of one byte is a change of user data, and replaces machines. So the oddities stay: a bare line feed after
 * the first line, sorted headers, `Mime-Version` in the parts' spelling, names in quotes as they are, "7bit" for every
 * content. MIME libraries write correct documents, and none of them these; hence this writer.
 */
import { crc32 } from "node:zlib";
import type { Props } from "@berth/plugin-base";
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
  const text = documentOf(String(config.boundary), (config.parts ?? []) as Props[]);
  const rendered = config.base64Encode === true ? Buffer.from(text).toString("base64") : text;
  return { rendered, id: String(crc32(rendered)) };
}

function documentOf(boundary: string, parts: readonly Props[]): string {
  const written = parts.map((part, i) => {
    const lines = [
      ...(i === 0 ? [] : [""]),
      `--${boundary}`,
      ...header("Content-Disposition", part.filename && `attachment; filename="${part.filename}"`),
      "Content-Transfer-Encoding: 7bit",
      `Content-Type: ${part.contentType}`,
      "Mime-Version: 1.0",
      ...header("X-Merge-Type", part.mergeType),
      "",
      String(part.content),
    ];
    return lines.join("\r\n");
  });
  return [
    `Content-Type: multipart/mixed; boundary="${boundary}"\n`,
    "MIME-Version: 1.0\r\n\r\n",
    ...written,
    `\r\n--${boundary}--\r\n`,
  ].join("");
}

/** Nothing for an empty value. */
function header(name: string, value: Props[string] | undefined): string[] {
  return value ? [`${name}: ${value}`] : [];
}
