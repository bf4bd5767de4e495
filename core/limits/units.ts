/** Durations and sizes as a limits document writes them. Pure. */

const SECONDS = { w: 604800, d: 86400, h: 3600, m: 60, s: 1 } as const;
const DURATION =
  /^(?:(\d+(?:\.\d+)?)w)?(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/;

/** Ten years: what is longer is a slip of the pen; `null` says "never". */
export const LONGEST_SECONDS = 10 * 365 * SECONDS.d;

/**
 * `0.25h`, `2h`, `30m`, `90s`, `1d`, `1h30m`, `0` to whole seconds; undefined when it is no duration.
 * More than nothing is never rounded to nothing: a hold of 0 means "at once".
 */
export function parseDuration(text: string | number): number | undefined {
  if (text === 0) return 0;
  if (typeof text !== "string") return undefined;
  const trimmed = text.trim();
  if (trimmed === "0") return 0;
  const match = trimmed === "" ? null : DURATION.exec(trimmed);
  if (!match) return undefined;
  const exact = Object.values(SECONDS).reduce((sum, unit, i) => sum + Number(match[i + 1] ?? 0) * unit, 0);
  return exact > LONGEST_SECONDS ? undefined : exact === 0 ? 0 : Math.max(1, Math.round(exact));
}

/** Whole seconds for people: `900` is `15m`, `5400` is `1h30m`, `0` is `0s`. `parseDuration` reads it back. */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds);
  if (rest === 0) return "0s";
  return Object.entries(SECONDS)
    .filter(([unit]) => unit !== "w")
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count > 0 ? `${count}${unit}` : "";
    })
    .join("");
}

/** Docker's letters are powers of two; the long units are those of the stack's configuration. */
const BYTES: Record<string, number> = {
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
const SIZE = /^(\d+(?:\.\d+)?)\s?([kmgtKMGT]|[KMGT]iB|[MGT]B)$/;

/** `32g`, `64GiB`, `512MB` to bytes; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  const unit = match?.[2] ?? "";
  const factor = BYTES[unit.length === 1 ? unit.toLowerCase() : unit];
  if (!match || factor === undefined) return undefined;
  const bytes = Math.floor(Number(match[1]) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes for people: `68719476736` is `64GiB`, what is no whole number of MiB is said in bytes. */
export function formatSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB"] as const) {
    const count = bytes / (BYTES[unit] as number);
    if (count >= 1 && Number.isInteger(Math.round(count * 1000) / 1000) && Number.isInteger(count))
      return `${count}${unit}`;
  }
  return `${bytes} bytes`;
}
