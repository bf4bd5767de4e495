/** Inputs for a resource that is imported: what its state says, without what is empty, computed or default. Pure. */
import type { Props, Value } from "../types";
import { DEFAULTS, plainProps } from "./defaults";
import { type Field, type Fields, zero } from "./field";

export function importInputsOf(fields: Fields, state: Props): Props {
  const inputs: Props = { [DEFAULTS]: [] };
  for (const [key, value] of Object.entries(plainProps(state))) {
    const field = fields[key];
    if (field === undefined || field.output === true || value === zero(field) || isEmpty(value)) continue;
    if (!isFilledIn(field, value)) inputs[key] = given(field, value);
  }
  return inputs;
}

/** Without what may not be given inside it, and was not. */
function given(field: Field, value: Value): Value {
  const { items, properties } = field;
  if (Array.isArray(value)) return items === undefined ? value : value.map((item) => given(items, item));
  if (properties === undefined || typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key, item]) => {
    const inner = properties[key];
    return inner === undefined || !isFilledIn(inner, item);
  });
  return Object.fromEntries(kept);
}

/** Of an input that may not be given: whether the value is one that it has where nobody gave it. */
function isFilledIn(field: Field, value: Value): boolean {
  if (field.unsupported === undefined) return false;
  return field.computed === true || value === field.default || value === zero(field) || isEmpty(value);
}

function isEmpty(value: Value): boolean {
  return typeof value === "object" && (value === null || Object.keys(value).length === 0);
}
