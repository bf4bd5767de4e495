/** Commands and terminals in containers, for whoever the containers are of. */

export { Commands, type CommandsOptions, type Owner } from "./commands";
export type { ManagedContainer } from "./ports";
