/** `{ label, value }` pairs, as containers, networks and volumes take them. Pure. */
import type { Props, Value } from "@berth/plugin-base";
import { type Field, object, objects, set, str, string } from "@berth/plugin-base/bridged";

/** The property: a set of pairs. */
export const labels = (options: Partial<Field> = {}): Field =>
  set(object({ label: string({ required: true }), value: string({ required: true }) }), options);

/** `[{ label, value }]` as a map. */
export function labelMap(bag: Props, key: string): Record<string, string> | undefined {
  const pairs = objects(bag, key).map((entry): [string, string] => [
    str(entry, "label") ?? "",
    str(entry, "value") ?? "",
  ]);
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

/** A map as `[{ label, value }]`, sorted by label so that the same labels always read the same. */
export function labelList(all: Readonly<Record<string, string>> | null | undefined): Value[] {
  return Object.entries(all ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => ({ label, value }));
}
