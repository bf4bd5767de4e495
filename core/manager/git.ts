/**
 * Who git is on a node, where it fetches repositories for back-ends: no one else's processes, no sign-in, no rights. The host
 * stage makes the account, and berthd runs git as it. The next number after Ray's, and far below those of people.
 */
export const GIT_ACCOUNT = { name: "berth-git", uid: 10_002, gid: 10_002 } as const;

/** The first git that dials the addresses that it is told (`http.curloptResolve`). */
export const GIT_FLOOR = "2.38";

/** Those of the systems of nodes that have such a git. Ubuntu 22.04, the only one that has not, has 2.34. */
export const SYSTEMS_WITH_GIT = "Debian 12, Ubuntu 24.04 or newer";
