/** The set-up of managed containers: a repository, what it depends on, and a start command that is kept running. */

export type {
  MainImage,
  ManagedContainer,
  ManagedContainers,
  SetupPackages,
  SetupPackagesOf,
  SetupsOfContainers,
  SetupView,
} from "./ports";
export { type SetupRequest, setupSchema } from "./request";
export type { SetupTimes } from "./run";
export { type SetupPlaces, Setups, type SetupsOptions } from "./setups";
