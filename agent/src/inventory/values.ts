import { InventoryError } from "./types";

/** What nvidia-smi prints where it has no value: none of them is an error of the format. */
const NONE = /^(\[?N\/A\]?|\[?Not Supported\]?|None|Requested functionality has been deprecated)$/i;
/** What it prints in place of values of a GPU that no longer answers. */
const BROKEN = /GPU is lost|Unknown Error|\bERR!|fallen off the bus|GPU requires reset/i;

export const isNone = (text: string): boolean => text === "" || NONE.test(text);
export const isBroken = (text: string): boolean => BROKEN.test(text);

export function garbage(where: string, problem: string): InventoryError {
  return new InventoryError("garbage", `${where} ${problem}`, where);
}

/** Two commands disagree: most often something was changed between them, and a second look helps. */
export function moved(where: string, problem: string): InventoryError {
  return new InventoryError("garbage", `${where} ${problem}`, where, undefined, true);
}

/**
 * A figure: `81559 MiB` as 81559, `21 %` as 21; null where the driver has no value. It decides nothing, so anything else
 * is null as well, and told to `note`.
 */
export function figure(
  value: unknown,
  unit: "MiB" | "%" | "C" | "W",
  note: (problem: string) => void = () => {},
): number | null {
  if (value === undefined) return null;
  if (typeof value === "string") {
    if (isNone(value) || isBroken(value) || value === "Insufficient Permissions") return null;
    const match = /^(-?\d+(?:\.\d+)?)\s*(\S+)$/.exec(value);
    if (match?.[2] === unit) return Number(match[1]);
  }
  note(`is ${JSON.stringify(value).slice(0, 80)}; expected a number and ${unit}`);
  return null;
}

/** What is at a place of a parsed document; undefined where there is no such place. */
export function placed(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

/** `0` as 0; null where the driver has no value. */
export function whole(text: string | undefined, where: string): number | null {
  if (text === undefined || isNone(text)) return null;
  if (!/^\d{1,9}$/.test(text)) throw garbage(where, `is ${JSON.stringify(text)}; expected a whole number`);
  return Number(text);
}

/** `00000000:3B:00.0` and `0000:3b:00` as `0000:3b:00`: XML and kernel log write the same address differently. */
export function pciAddress(text: string): string | undefined {
  const match = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.[0-9a-f])?$/i.exec(text.trim());
  if (!match) return undefined;
  const domain = Number.parseInt(match[1] ?? "0", 16)
    .toString(16)
    .padStart(4, "0");
  return `${domain}:${match[2]}:${match[3]}`.toLowerCase();
}

export const GPU_UUID = /^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Drivers before R470 named instances after GPU, GPU instance and compute instance. */
export const MIG_UUID =
  /^MIG-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\/\d+\/\d+)$/;
