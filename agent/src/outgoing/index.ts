/** Where berthd itself connects to for people: hosts of the Internet, and those that the operator allows. */

export { pinned } from "./pinned";
export { isListed, type ResolveOptions, resolvePublic } from "./resolve";
