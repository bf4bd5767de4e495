/** dockerd of this node, as berthd calls it. */

export type { Command, TerminalSize } from "./command";
export { Engine, type EngineInfo, type IsolatedNetwork } from "./engine";
export { DockerError, short } from "./errors";
export { type EngineEvent, sinceOf } from "./events";
export type { ExecLine, ExecOptions, ExecResult } from "./exec";
export type { CommitOptions, ImageSummary } from "./images";
export type { Mark } from "./left";
export { type Line, LONGEST_LINE } from "./lines";
export type { LogLine, LogsOptions } from "./logs";
export type { Inspect, PortMap, Summary } from "./shapes";
export type { Stats } from "./stats";
export type { Terminal, TerminalOptions } from "./terminal";
export { defaultDeadlines, type EngineOptions } from "./transport";
export { registryWords, wordsFor } from "./words";
