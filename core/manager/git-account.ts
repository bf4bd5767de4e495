/**
 * Who git is on a node, where it fetches repositories for back-ends: no one else's processes, no sign-in, no rights. The host
 * stage makes the account, and berthd runs git as it. The next number after Ray's, and far below those of people.
 */
export const GIT_ACCOUNT = { name: "berth-git", uid: 10_002, gid: 10_002 } as const;
