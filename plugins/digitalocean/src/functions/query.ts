/** `filters` and `sorts` of the list functions, by the official plugin's rules. Pure. */
import type { CheckFailure, Props, Schema, Value } from "@berth/plugin-base";
import { objects, str, strings } from "@berth/plugin-base/bridged";

/** How a field of a record is compared. A list is matched if one of its entries is. */
export type Kind = "text" | "number" | "flag" | "list";

/** The names that `key` takes, in snake case as the official plugin has them, and the property each one means. */
export type Keys = Readonly<Record<string, { readonly property: string; readonly kind: Kind }>>;

/** None of it can be a secret, so what is wrong with it is said with it. */
export function querySchema(keys: Keys): Schema {
  const sortable = Object.keys(keys).filter((key) => keys[key]?.kind !== "list");
  return {
    filters: {
      type: "array",
      public: true,
      items: {
        type: "object",
        properties: {
          key: { type: "string", required: true, enum: Object.keys(keys) },
          values: { type: "array", required: true, items: { type: "string" } },
          all: { type: "boolean" },
          matchBy: { type: "string", enum: ["exact", "re", "substring"] },
        },
      },
    },
    sorts: {
      type: "array",
      public: true,
      items: {
        type: "object",
        properties: {
          key: { type: "string", required: true, enum: sortable },
          direction: { type: "string", enum: ["asc", "desc"] },
        },
      },
    },
  };
}

/** Values that cannot be read as what their field holds. */
export function checkQuery(keys: Keys, args: Props): CheckFailure[] {
  const failures: CheckFailure[] = [];
  for (const [i, filter] of objects(args, "filters").entries()) {
    const kind = keys[str(filter, "key") ?? ""]?.kind ?? "text";
    for (const [j, value] of (strings(filter, "values") ?? []).entries()) {
      const reason = faultOf(kind, str(filter, "matchBy"), value);
      if (reason !== undefined) failures.push({ property: `filters[${i}].values[${j}]`, reason });
    }
  }
  return failures;
}

function faultOf(kind: Kind, matchBy: string | undefined, value: string): string | undefined {
  if (kind === "number" && !Number.isFinite(Number(value))) return `is "${value}"; give it as a number`;
  if (kind === "flag" && value !== "true" && value !== "false")
    return `is "${value}"; give it as true or false`;
  if (matchBy !== "re" || kind === "number" || kind === "flag") return undefined;
  try {
    new RegExp(value);
    return undefined;
  } catch (error) {
    return `is no regular expression: ${(error as Error).message}`;
  }
}

/** The records that pass every filter, sorted. */
export function applyQuery(keys: Keys, args: Props, records: readonly Props[]): Props[] {
  const kept = records.filter((record) =>
    objects(args, "filters").every((filter) => passes(keys, filter, record)),
  );
  const sorts = objects(args, "sorts");
  return kept.sort((a, b) => {
    for (const sort of sorts) {
      const property = keys[str(sort, "key") ?? ""]?.property ?? "";
      const order = compare(a[property] ?? null, b[property] ?? null);
      if (order !== 0) return str(sort, "direction") === "desc" ? -order : order;
    }
    return 0;
  });
}

/** Prices nearer than this are the same; official. */
const SAME = 0.000001;

function passes(keys: Keys, filter: Props, record: Props): boolean {
  const key = keys[str(filter, "key") ?? ""];
  const value = record[key?.property ?? ""] ?? null;
  const entries = Array.isArray(value) ? value : [value];
  const match = (wanted: string): boolean =>
    entries.some((entry) => matches(entry, wanted, str(filter, "matchBy") ?? "exact"));
  const wanted = strings(filter, "values") ?? [];
  return filter.all === true ? wanted.every(match) : wanted.some(match);
}

function matches(entry: Value, wanted: string, by: string): boolean {
  if (typeof entry === "number") return Math.abs(entry - Number(wanted)) < SAME;
  if (typeof entry === "boolean") return String(entry) === wanted;
  if (typeof entry !== "string") return false;
  if (by === "substring") return entry.includes(wanted);
  return by === "re" ? new RegExp(wanted).test(entry) : entry.toLowerCase() === wanted.toLowerCase();
}

function compare(a: Value, b: Value): number {
  if (typeof a === "string" && typeof b === "string") return a === b ? 0 : a < b ? -1 : 1;
  return Number(a) - Number(b);
}
