/** Values YAML can carry without a tag. */
export type YamlValue =
  | string
  | number
  | boolean
  | null
  | readonly YamlValue[]
  | { readonly [key: string]: YamlValue };

/**
 * A `#cloud-config` document that reads back as exactly `value`, whatever its strings hold.
 *
 * It is JSON, which is YAML: every string is in double quotes, so that none is taken for a number, a date, a
 * boolean or a key. It is ASCII, because the part travels as 7-bit MIME. JSON's pairs of `\u` escapes become
 * one `\U` (YAML 1.2, 5.7): cloud-init's parser would take a pair for two broken characters.
 *
 * @throws RangeError for text with half of a surrogate pair, and for numbers that are not finite: no YAML holds them.
 */
export function cloudConfig(value: { readonly [key: string]: YamlValue }): string {
  check(value);
  const json = JSON.stringify(value, null, 2).replace(/[^\n\x20-\x7e]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return code > 0xffff ? `\\U${hex.padStart(8, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });
  return `#cloud-config\n${json}\n`;
}

function check(value: YamlValue): void {
  if (typeof value === "string" && /\p{Surrogate}/u.test(value))
    throw new RangeError("cloud-config: a text holds half of a surrogate pair");
  if (typeof value === "number" && !Number.isFinite(value))
    throw new RangeError(`cloud-config: ${value} is no number that YAML can hold`);
  if (value === null || typeof value !== "object") return;
  for (const [key, item] of Object.entries(value)) {
    check(key);
    check(item as YamlValue);
  }
}
