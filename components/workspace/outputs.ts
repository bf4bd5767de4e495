import type { Plan, UserPlan } from "../../config";
import { reach, type WebUrls } from "./reach";

/** A workspace as the stack's outputs show it: nothing secret. */
export interface UserInfo {
  name: string;
  node: string;
  desiredState: UserPlan["state"];
  container: string;
  ssh: { host: string; port: number };
  urls: WebUrls;
  /** The command that `urls` need on the person's own computer; left out where the node publishes the services. */
  tunnel?: string;
}

/** @param host the node's address that the workspace's ports are published on. */
export function userInfo(
  plan: Pick<Plan, "workspaceServices">,
  user: UserPlan,
  host: string,
  container: string,
): UserInfo {
  const { urls, tunnel } = reach(plan, user, host);
  return {
    name: user.name,
    node: user.node,
    desiredState: user.state,
    container,
    ssh: { host, port: user.ports.ssh },
    urls,
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}
