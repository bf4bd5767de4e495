/** What containers print: kept in files, followed by number. */

export type { LogItem } from "./container-log";
export { ContainerLogs, type ContainerLogsOptions, type LogRange } from "./container-logs";
export type { LogLine, LogSource } from "./line";
