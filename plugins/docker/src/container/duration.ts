/** Go's durations (`1h30m`, `1.5s`), as healthchecks are written, and nanoseconds, as the API has them. Pure. */

const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** @throws Error if the text is no duration. */
export function nanoseconds(text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) {
    throw new Error(`"${text}" is no duration; write it as "30s", "1m30s" or "500ms"`);
  }
  return Math.round(
    parts.reduce((sum, part) => sum + Number(part[1]) * (UNITS[part[2] as string] as number), 0),
  );
}

/** As Go prints it: `90s` is `1m30s`, `3600s` is `1h0m0s`, `1500000` is `1.5ms`. */
export function goDuration(ns: number): string {
  if (ns === 0) return "0s";
  if (ns < 1e3) return `${ns}ns`;
  if (ns < 1e6) return `${trim(ns / 1e3)}µs`;
  if (ns < 1e9) return `${trim(ns / 1e6)}ms`;
  const hours = Math.floor(ns / 3600e9);
  const minutes = Math.floor((ns % 3600e9) / 60e9);
  const seconds = `${trim((ns % 60e9) / 1e9)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function trim(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, "");
}

/** `90s` and `1m30s` are one. */
export function sameDuration(a: string, b: string): boolean {
  return nanoseconds(a) === nanoseconds(b);
}
