import { bracketed, type UserPlan } from "../../config";

/** A workspace as the stack's outputs show it: nothing secret. */
export interface UserInfo {
  name: string;
  node: string;
  desiredState: UserPlan["state"];
  container: string;
  ssh: { host: string; port: number };
  urls: { code: string; jupyter: string; tensorboard: string };
}

/** @param host the node's address that the workspace's ports are published on. */
export function userInfo(user: UserPlan, host: string, container: string): UserInfo {
  const url = (port: number) => `http://${bracketed(host)}:${port}`;
  return {
    name: user.name,
    node: user.node,
    desiredState: user.state,
    container,
    ssh: { host, port: user.ports.ssh },
    urls: {
      code: url(user.ports.code),
      jupyter: url(user.ports.jupyter),
      tensorboard: url(user.ports.tensorboard),
    },
  };
}
