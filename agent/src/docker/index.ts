/** dockerd of this node, as berthd calls it. */

export {
  DockerError,
  defaultDeadlines,
  Engine,
  type EngineInfo,
  type EngineOptions,
  type IsolatedNetwork,
  short,
} from "./engine";
export { type EngineEvent, sinceOf } from "./events";
export type { Inspect, PortMap, Summary } from "./shapes";
