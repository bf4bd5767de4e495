/**
 * What each user may have: the limits document, read, checked, resolved and explained.
 * Pure, and light: the Pulumi program loads it in every preview. Needs zod alone.
 */
export { checkAsk } from "./ask";
export { type ExplainedLimit, explainLimits } from "./explain";
export { sliceWord } from "./names";
export { nearest } from "./near";
export { parseLimits } from "./parse";
export {
  builtInLimits,
  DEFAULT_GROUP,
  defaultLimitsDocument,
  type EffectiveTotal,
  groupsOf,
  resolveGroupTotal,
  resolveLimits,
  resolveUserTotal,
} from "./resolve";
export {
  type LimitField,
  type LimitsDocument,
  type LimitsRule,
  type LimitsTotal,
  limitFields,
  limitsSchema,
  type TotalField,
  totalFields,
} from "./schema";
export { type CgroupDriver, cgroupParent, groupSlice, ROOT_SLICE, slicePath, userSlice } from "./slices";
export { formatDuration, formatSize, parseDuration, parseSize } from "./units";
