/** The API of berthd: over Unix sockets for who is on the node, over TCP for bearers of tokens. */
export { type App, type AppOptions, makeApp } from "./app";
export type { Identity } from "./identity";
export type { StreamLimits } from "./open-streams";
export { Servers, type ServersOptions } from "./servers";
export { Tokens } from "./tokens";
export type { ApiLedger, GpuFigures, RouteContext } from "./types";
