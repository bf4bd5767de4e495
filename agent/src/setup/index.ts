/** The set-up of managed containers: a repository, what it depends on, and a start command that is kept running. */

export type { SetupPackages, SetupView } from "./ports";
export { type SetupRequest, setupSchema } from "./request";
export { Setups, type SetupsOptions } from "./setups";
