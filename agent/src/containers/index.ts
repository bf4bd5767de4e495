/** The containers of a node: what is known of them, and what berthd makes and removes. */

export { Creator } from "./create";
export type { Log } from "./log";
export { Containers, type ObserveOptions } from "./observe";
export { type OpenOptions, openContainers } from "./open";
export type { CreatorOptions, Making } from "./options";
export { type Processes, procProcesses } from "./processes";
export type { ContainerKind, ContainerRecord, ContainerState } from "./record";
export { type CreateRequest, createSchema } from "./request";
export { containerSpec } from "./spec";
