/** dockerd of this node, as berthd calls it. */

export { Engine, type EngineInfo, type IsolatedNetwork } from "./engine";
export { DockerError, short } from "./errors";
export { type EngineEvent, sinceOf } from "./events";
export type { Inspect, PortMap, Summary } from "./shapes";
export { defaultDeadlines, type EngineOptions } from "./transport";
