/** The containers of a node: seen, and made with a grant. */
export { DockerError, defaultDeadlines, Engine, type EngineInfo, type EngineOptions } from "./engine";
export { type FaultPoint, fault, faultPoints } from "./faults";
export { FOREIGN, LABEL } from "./labels";
export { Launcher, type LauncherOptions } from "./launch";
export { Containers, type Log, type ObserveOptions } from "./observe";
export { type OpenOptions, openContainers } from "./open";
export { type Processes, procProcesses } from "./processes";
export { askSchema, type LaunchRequest, launchSchema, parseLaunch } from "./request";
export { containerSpec, deviceRequests } from "./spec";
