/**
 * The rules of the Pulumi-Terraform bridge, which the official docker and digitalocean plugins share: property
 * tables, `__defaults`, diffs against the outputs in state, previews, imports.
 */

export { importInputsOf } from "@berth/plugin-docker/src/resource/imports";
export {
  checkResource,
  type DeleteFirst,
  diffResource,
  driftedInputs,
  inputSchema,
  previewState,
  secretTops,
} from "@berth/plugin-docker/src/resource/resource";
export { bool, int, objects, str, strings, sub, text } from "@berth/plugin-docker/src/schema/access";
export { DEFAULTS, plainProps } from "@berth/plugin-docker/src/schema/defaults";
export { sameValue } from "@berth/plugin-docker/src/schema/diff";
export {
  boolean,
  type Field,
  type Fields,
  integer,
  list,
  object,
  set,
  string,
} from "@berth/plugin-docker/src/schema/field";
