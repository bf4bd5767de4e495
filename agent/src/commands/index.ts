/** Commands and terminals in containers, for whoever the containers are of. */

export { type CommandLimits, Commands, type CommandsOptions, type Owner } from "./commands";
export type { ManagedContainer, ManagedContainers, PeoplesContainers } from "./ports";
export { noContainer } from "./refusals";
