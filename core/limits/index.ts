/**
 * What each user may have: the limits document, read, checked, resolved and explained.
 * Pure, and light: the Pulumi program loads it in every preview. Needs zod alone.
 */
export { checkAsk } from "./ask";
export { type ExplainedLimit, type ExplainedValue, explainLimits } from "./explain";
export { sliceWord } from "./names";
export { nearest } from "./near";
export { type LimitsProblem, type ParsedLimits, parseLimits } from "./parse";
export {
  builtInLimits,
  DEFAULT_GROUP,
  defaultLimitsDocument,
  type EffectivePolicies,
  type EffectiveTotal,
  groupsOf,
  resolveGroupTotal,
  resolveLimits,
  resolvePolicies,
  resolveUserTotal,
} from "./resolve";
export {
  type LimitField,
  type LimitsDocument,
  type LimitsGroup,
  type LimitsRule,
  type LimitsTotal,
  limitFields,
  limitsSchema,
  type TotalField,
  totalFields,
} from "./schema";
export {
  type CgroupDriver,
  cgroupParent,
  groupSlice,
  ROOT_SLICE,
  type SliceUser,
  slicePath,
  userSlice,
} from "./slices";
export { formatDuration, formatSize, parseDuration, parseSize } from "./units";
