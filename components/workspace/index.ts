/** Workspaces: one berth per user. */
export type { UserInfo } from "./outputs";
export { Workspace, type WorkspaceArgs, workspaceHost } from "./workspace";
