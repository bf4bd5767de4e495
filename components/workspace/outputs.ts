import type { NodePlan, UserPlan } from "../../config";

/** A workspace as the stack's outputs show it: nothing secret. */
export interface UserInfo {
  name: string;
  node: string;
  desiredState: UserPlan["state"];
  container: string;
  ssh: { host: string; port: number };
  urls: { code: string; jupyter: string; tensorboard: string };
}

export function userInfo(user: UserPlan, node: NodePlan, container: string): UserInfo {
  const url = (port: number) => `http://${node.address}:${port}`;
  return {
    name: user.name,
    node: user.node,
    desiredState: user.state,
    container,
    ssh: { host: node.address, port: user.ports.ssh },
    urls: {
      code: url(user.ports.code),
      jupyter: url(user.ports.jupyter),
      tensorboard: url(user.ports.tensorboard),
    },
  };
}
