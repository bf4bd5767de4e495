/** Callbacks: what berthd tells somebody's own server of a container, in order and at least once. */

export { Callbacks, type CallbacksOptions } from "./callbacks";
export { type CallbackMessage, signature } from "./message";
export { type CallbackTarget, CallbackTargets } from "./target";
