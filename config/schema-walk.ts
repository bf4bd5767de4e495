import type { z } from "zod";

/** What a schema says of one place in a configuration: its keys and its bounds. Pure. */

type Schema = z.core.$ZodType;

/** The parts of zod's definitions that are read here (zod 4, `_zod.def` of each class). */
interface Def {
  type: string;
  shape?: Record<string, Schema>;
  element?: Schema;
  valueType?: Schema;
  innerType?: Schema;
  in?: Schema;
  options?: readonly Schema[];
  discriminator?: string;
  values?: readonly unknown[];
  checks?: readonly {
    _zod: { def: { check: string; value?: number; minimum?: number; maximum?: number } };
  }[];
}

const defOf = (schema: Schema) => schema._zod.def as unknown as Def;

/** Without what a default, an option or a transformation lays around it. */
function bare(schema: Schema): Schema {
  const { innerType, in: first, type } = defOf(schema);
  const inside = innerType ?? (type === "pipe" ? first : undefined);
  return inside ? bare(inside) : schema;
}

/** The alternatives at one place: of a discriminated union the one that the value names, where it names one. */
function alternatives(schema: Schema, value: unknown): Schema[] {
  const { type, options = [], discriminator } = defOf(bare(schema));
  if (type !== "union") return [bare(schema)];
  const all = options.map(bare);
  if (discriminator === undefined) return all;
  const chosen = (value as Record<string, unknown> | undefined)?.[discriminator];
  const fitting = all.filter((option) => {
    const tag = defOf(option).shape?.[discriminator];
    return tag !== undefined && defOf(bare(tag)).values?.includes(chosen);
  });
  return fitting.length > 0 ? fitting : all;
}

function step(schema: Schema, key: PropertyKey): Schema | undefined {
  const { shape, element, valueType } = defOf(schema);
  return shape && Object.hasOwn(shape, key) ? shape[String(key)] : (element ?? valueType);
}

/** The schemas that may hold at a path of the given values; none where the schema knows no such place. */
function schemasAt(schema: Schema, path: readonly PropertyKey[], values: unknown): Schema[] {
  const [key, ...rest] = path;
  const here = alternatives(schema, values);
  if (key === undefined) return here;
  const value = typeof values === "object" && values !== null ? (values as never)[key] : undefined;
  return here.flatMap((one) => {
    const next = step(one, key);
    return next ? schemasAt(next, rest, value) : [];
  });
}

/** The keys that may stand at a path. */
export function keysAt(schema: Schema, path: readonly PropertyKey[], values: unknown): string[] {
  return [...new Set(schemasAt(schema, path, values).flatMap((one) => Object.keys(defOf(one).shape ?? {})))];
}

/** True where the keys are names that people choose, such as a variable's. */
export function isRecord(schema: Schema, path: readonly PropertyKey[], values: unknown): boolean {
  return schemasAt(schema, path, values).some((one) => defOf(one).type === "record");
}

/** Values of the discriminators under which a union at a path has the key: `local`, `baremetal`. */
export function kindsWith(
  schema: Schema,
  path: readonly PropertyKey[],
  values: unknown,
  key: string,
): string[] {
  const last = path.at(-1);
  const holders =
    last === undefined
      ? [schema]
      : schemasAt(schema, path.slice(0, -1), values).map((one) => step(one, last));
  return holders.flatMap((holder) => {
    const { options = [], discriminator } = holder ? defOf(bare(holder)) : { options: [] };
    if (discriminator === undefined) return [];
    return options.map(bare).flatMap((option) => {
      const { shape = {} } = defOf(option);
      const tag = shape[discriminator];
      return Object.hasOwn(shape, key) && tag ? (defOf(bare(tag)).values ?? []).map(String) : [];
    });
  });
}

/** The least and the most that a number, a text's length or a list's may be. */
export function boundsAt(
  schema: Schema,
  path: readonly PropertyKey[],
  values: unknown,
): { least?: number; most?: number } {
  const [one] = schemasAt(schema, path, values);
  const checks = (one ? defOf(one).checks : undefined)?.map((check) => check._zod.def) ?? [];
  const bound = (kinds: readonly string[]) => {
    const found = checks.find(({ check }) => kinds.includes(check));
    return found?.value ?? found?.minimum ?? found?.maximum;
  };
  return { least: bound(["greater_than", "min_length"]), most: bound(["less_than", "max_length"]) };
}
