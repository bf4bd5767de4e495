/** Short ways to write the property tables, on top of {@link Property}. Pure. */
import type { Property, Value } from "../types";

/**
 * A property of a resource.
 *
 * The three flags that the official plugin's rules rest on: `default` (absent means this value), `replace`
 * (a change makes a new object), and `computed`: optional, and filled in by what the plugin talks to when absent, so
 * absent in the program is never a change.
 */
export interface Field extends Property {
  readonly computed?: boolean;
  /** Only ever an output; giving it is refused as unknown. */
  readonly output?: boolean;
  /** A string must match. */
  readonly pattern?: RegExp;
  /** Two spellings that mean the same are no change. */
  readonly same?: (a: string, b: string) => boolean;
  /** An empty string in the program means the value that is filled in, too. */
  readonly emptyIsAbsent?: boolean;
  /**
   * A map that whatever the plugin talks to completes with entries of its own: those that the program neither names
   * nor named before are no change.
   */
  readonly completed?: boolean;
  /** Order and duplicates of a list do not count in a diff. Default false. */
  readonly set?: boolean;
  readonly items?: Field;
  readonly properties?: Fields;
}

export type Fields = Readonly<Record<string, Field>>;

type Options = Omit<Field, "type" | "items" | "properties">;

export const string = (options: Options = {}): Field => ({ type: "string", ...options });
export const integer = (options: Options = {}): Field => ({ type: "integer", ...options });
export const boolean = (options: Options = {}): Field => ({ type: "boolean", ...options });
/** Any keys, string values. */
export const stringMap = (options: Options = {}): Field => ({ type: "map", items: string(), ...options });
export const list = (items: Field, options: Options = {}): Field => ({ type: "array", items, ...options });
/** A list whose order does not count. */
export const set = (items: Field, options: Options = {}): Field => ({
  type: "array",
  items,
  set: true,
  ...options,
});
export const object = (properties: Fields, options: Options = {}): Field => ({
  type: "object",
  properties,
  ...options,
});

/** What an absent value of this type reads as in answers; the official rules take both for one. */
export function zero(field: Field): Value {
  switch (field.type) {
    case "string":
      return "";
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    default:
      return null;
  }
}
