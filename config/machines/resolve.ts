import { inherit } from "../inherit";
import type { BaremetalNodeConfig, StackConfig } from "../schema";
import type { AccessConfig } from "./schema";

/** How to sign in where neither the node nor the stack says. */
export const accessDefaults = { user: "root", port: 22 } as const;

export type Access = AccessConfig & { user: string; port: number };

/**
 * How a bare-metal node is reached: the node's own fields, then `berth:baremetal`, then `accessDefaults`.
 * `keyFile` and `agent` are one choice: a node that makes it does not inherit the other.
 */
export function resolveAccess(config: StackConfig, node: BaremetalNodeConfig): Access {
  const { user, port, keyFile, agent, jump, privateInterface } = node;
  const own = keyFile !== undefined || agent !== undefined;
  const shared = own ? { ...config.baremetal, keyFile: undefined, agent: undefined } : config.baremetal;
  const all = inherit<AccessConfig>(inherit<AccessConfig>({ ...accessDefaults }, shared), {
    user,
    port,
    keyFile,
    agent,
    jump,
    privateInterface,
  });
  return { ...all, user: all.user ?? accessDefaults.user, port: all.port ?? accessDefaults.port };
}

/** `berth:nodes[i].FIELD` or `berth:baremetal.FIELD`, whichever holds the value: where an error points to. */
export function accessPath(node: BaremetalNodeConfig, i: number, field: keyof AccessConfig): string {
  return node[field] !== undefined ? `nodes[${i}].${field}` : `baremetal.${field}`;
}
