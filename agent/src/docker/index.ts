/** The containers of a node: seen, and made with a grant. */

export { Creator, type CreatorOptions } from "./create";
export { DockerError, defaultDeadlines, Engine, type EngineInfo, type EngineOptions } from "./engine";
export { Containers, type Log, type ObserveOptions } from "./observe";
export { type OpenOptions, openContainers } from "./open";
export { type Processes, procProcesses } from "./processes";
export { type CreateRequest, createSchema } from "./request";
export { containerSpec } from "./spec";
