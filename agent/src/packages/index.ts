/** Packages that a back-end's project depends on: kept when they are installed, and put below those of later containers. */
export { PackageCaches } from "./caches";
export { throughSystemd } from "./tools";
export type { Kept, PackageCachesOptions, PackagesMount, PackagesUsage } from "./types";
