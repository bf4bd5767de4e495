/** Small rules on text that several kinds share. Pure. */
import { isUnknown, type Value } from "@berth/plugin-base";

/** Slugs of regions and sizes are lower case to the API. */
export const sameSlug = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

export const lower = (value: Value | undefined): Value =>
  typeof value === "string" && !isUnknown(value) ? value.toLowerCase() : (value ?? null);

/** Not empty. */
export const SOME = /^[\s\S]+$/;

export const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

export const CIDR = /^[0-9a-fA-F:.]+\/\d{1,3}$/;

/** Numbers in text (`"123"`), as ids of droplets and keys are; undefined for anything else. */
export function numeric(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}
