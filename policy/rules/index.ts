/** The rules of the policy pack. Pure; nothing here knows Pulumi. */
import { containers } from "./containers";
import { digests } from "./digests";
import { droplets, ports } from "./ports";
import type { Rule, StackRule } from "./rule";
import { volumes } from "./volumes";
import { workspaces } from "./workspaces";

export { containers } from "./containers";
export { digests } from "./digests";
export { droplets, isWorld, ports } from "./ports";
export {
  type Facts,
  Hidden,
  type OpenRange,
  type PeoplesFolders,
  type Rule,
  type Seen,
  type StackRule,
  UNKNOWN,
  type Value,
} from "./rule";
export { plainSecrets, secrets } from "./secrets";
export { plainSecretsInStackFile } from "./stack-file";
export { volumes } from "./volumes";
export { workspaces } from "./workspaces";

/** Rules that do not ask which inputs are secret. */
export const resourceRules: readonly Rule[] = [ports, containers, workspaces, digests, volumes];
export const stackRules: readonly StackRule[] = [droplets];
