/** Inputs of the official plugin that Berth's program gives nowhere. Pure. */
import type { Field } from "@berth/plugin-base/bridged";

/**
 * The property, refused as an input. What the engine says of it is read and compared all the same, so that an
 * object that has it is not taken for the program's.
 */
export const unused = (field: Field): Field => ({
  ...field,
  unsupported: "Berth's own docker plugin does not set it; leave it out, or install the official plugin",
});
