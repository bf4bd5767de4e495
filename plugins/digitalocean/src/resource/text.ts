/** Small rules on text that several kinds share. Pure. */
import { isUnknown, type Value } from "@berth/plugin-base";

/** Slugs of regions and sizes are lower case to the API. */
export const sameSlug = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

export const lower = (value: Value | undefined): Value =>
  typeof value === "string" && !isUnknown(value) ? value.toLowerCase() : (value ?? null);

/** Not empty. */
export const SOME = /^[\s\S]+$/;

/** At most 255 characters. */
export const UP_TO_255 = /^[\s\S]{0,255}$/u;

export const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

export const CIDR = /^[0-9a-fA-F:.]+\/\d{1,3}$/;

/** Numbers in text (`"123"`), as ids of droplets and keys are; undefined for anything else. */
export function numeric(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * A time as Go prints it, `2026-03-13 19:20:47.44 +0000 UTC`: so the official plugin keeps it of a VPC.
 *
 * @param iso as the API says it, `2026-03-13T19:20:47.440Z`.
 */
export function goTime(iso: string): string {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?Z$/.exec(iso);
  if (parts === null) return iso;
  const fraction = (parts[3] ?? "").replace(/0+$/, "");
  return `${parts[1]} ${parts[2]}${fraction === "" ? "" : `.${fraction}`} +0000 UTC`;
}
