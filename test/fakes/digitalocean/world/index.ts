/** The account behind the API. */
export type { Delay } from "./actions";
export * from "./catalog";
export { isPrivate, netmask, parseRange } from "./cidr";
export type * from "./types";
export { World } from "./world";
