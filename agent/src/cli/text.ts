/**
 * Text for terminals: tables as `npm run status` prints them, times, sizes; and nothing that a terminal would obey.
 */

/**
 * What a terminal may take for an order (C0, DEL, C1), what ends a line in some of them, and what turns the direction
 * of text. A purpose or a GPU's model is text of somebody else.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const orders = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" };

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Text of somebody else, as it may be shown: `\e[31m` for what would turn the screen red. */
export function clean(text: string): string {
  return text.replace(orders, (character) => named[character] ?? escaped(character));
}

/**
 * A value as one JSON document, for programs and for terminals: what a terminal would obey is written as `\uXXXX`, which
 * means the same to a parser.
 */
export function asJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2) ?? "null";
  // The line ends that are left are those between fields: JSON.stringify has escaped all others.
  return text.replace(orders, (character) => (character === "\n" ? character : escaped(character)));
}

/**
 * A table with aligned columns, two spaces apart, without trailing blanks. Cells are cleaned here, so that no caller
 * forgets it.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map((row) => row.map(clean))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ""))));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - width(cell)))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((one) => "-".repeat(one)).join("  "), ...all.slice(1).map(line)].join("\n");
}

/** Columns on a screen, near enough: characters, not UTF-16 halves of them. */
function width(text: string): number {
  return [...text].length;
}

const durations: readonly [string, number][] = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** Seconds for people, to two units: `45 s`, `3 min 5 s`, `2 h`, `1 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const at = durations.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0 s";
  const [unit, size] = durations[at] ?? ["s", 1];
  const [smaller, smallerSize] = durations[at + 1] ?? ["", 0];
  const rest = smallerSize > 0 ? Math.floor((whole % size) / smallerSize) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest > 0 ? ` ${rest} ${smaller}` : ""}`;
}

/** A moment for people, in the time zone of whoever reads it: `2026-11-21 14:05:09`. */
export function moment(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** How long ago, or in how long: `3 min ago`, `in 2 h`. */
export function away(at: number, now: number): string {
  return at <= now ? `${duration((now - at) / 1000)} ago` : `in ${duration((at - now) / 1000)}`;
}

/** MiB of a GPU for people: `512 MiB`, `10 GiB`, `79.6 GiB`, and `unknown` where its driver does not say. */
export const gpuMemory = (mebibytes: number): string => (mebibytes > 0 ? memory(mebibytes) : "unknown");

/** MiB for people: `512 MiB`, `10 GiB`, `79.6 GiB`. */
export function memory(mebibytes: number): string {
  if (mebibytes < 1024) return `${Math.round(mebibytes)} MiB`;
  return `${Number((mebibytes / 1024).toFixed(1))} GiB`;
}

/** Bytes for people, in powers of two. */
export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 ** 2) return `${Number((count / 1024).toFixed(1))} KiB`;
  return memory(count / 1024 ** 2);
}
