/** Workspaces: one berth per user. */
export type { UserInfo } from "./outputs";
export { Workspace, workspaceHost } from "./workspace";
