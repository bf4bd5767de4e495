/** Inputs for a resource that is imported: what its state says, without what is empty, computed or default. Pure. */
import type { Props } from "../types";
import { DEFAULTS, plainProps } from "./defaults";
import { type Fields, zero } from "./field";

export function importInputsOf(fields: Fields, state: Props): Props {
  const inputs: Props = { [DEFAULTS]: [] };
  for (const [key, value] of Object.entries(plainProps(state))) {
    const field = fields[key];
    if (field === undefined || field.output === true || value === zero(field)) continue;
    const empty = Array.isArray(value)
      ? value.length === 0
      : typeof value === "object" && Object.keys(value as Props).length === 0;
    if (!empty) inputs[key] = value;
  }
  return inputs;
}
