/**
 * Resources in the manner of plugins made with the Pulumi-Terraform bridge, which the official docker and digitalocean
 * plugins share: property tables, `__defaults`, diffs against the outputs in state, previews, imports. Pure.
 */
export { bool, int, map, objects, str, strings, sub, text } from "./access";
export { plainProps } from "./defaults";
export { diffFields, sameValue } from "./diff";
export {
  boolean,
  type Field,
  type Fields,
  integer,
  list,
  object,
  set,
  string,
  stringMap,
  zero,
} from "./field";
export { importInputsOf } from "./imports";
export {
  asKnown,
  checkResource,
  type DeleteFirst,
  diffResource,
  driftedInputs,
  inputSchema,
  previewState,
  readResult,
  secretTops,
} from "./resource";
