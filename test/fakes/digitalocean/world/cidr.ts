/** The little IPv4 arithmetic that VPCs need. */
export interface Range {
  readonly first: number;
  readonly bits: number;
}

const toNumber = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

export const toAddress = (value: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

export const size = ({ bits }: Range) => 2 ** (32 - bits);

/** Reads `10.110.0.0/20`; undefined when it is not a range or has host bits. */
export function parseRange(text: string): Range | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [, address = "", length = ""] = match;
  const range = { first: toNumber(address), bits: Number(length) };
  const valid = address.split(".").every((part) => Number(part) < 256) && range.bits <= 32;
  return valid && range.first % size(range) === 0 ? range : undefined;
}

export const overlap = (one: Range, other: Range) =>
  one.first < other.first + size(other) && other.first < one.first + size(one);

const privateRanges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/** Whether the range lies inside RFC 1918. */
export function isPrivate(range: Range): boolean {
  return privateRanges.some((text) => {
    const outer = parseRange(text) as Range;
    return range.first >= outer.first && range.first + size(range) <= outer.first + size(outer);
  });
}

export const netmask = (range: Range) => toAddress(2 ** 32 - size(range));
