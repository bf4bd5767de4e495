import type { BaremetalNodeConfig, NodeConfig, StackConfig } from "./schema";
import type { AccessConfig } from "./schema-machines";
import type { StorageConfig } from "./schema-storage";

/**
 * The one rule of inheritance: a field that the nearer part sets wins whole, one that it leaves out comes from the
 * farther part. Fields are never mixed inside: a node's `jump` replaces the stack's `jump`.
 */
export function inherit<T extends object>(far: T, near: Partial<T> | undefined): T {
  const set = Object.entries(near ?? {}).filter(([, value]) => value !== undefined);
  return { ...far, ...Object.fromEntries(set) };
}

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

/** A node's storage: its own parts, then those of `berth:storage`. */
export function resolveStorage(config: StackConfig, node: NodeConfig): StorageConfig {
  return inherit(config.storage, node.storage);
}

/** `berth:nodes[i].FIELD` or `berth:baremetal.FIELD`, whichever holds the value: where an error points to. */
export function accessPath(node: BaremetalNodeConfig, i: number, field: keyof AccessConfig): string {
  return node[field] !== undefined ? `nodes[${i}].${field}` : `baremetal.${field}`;
}

/** The same for a part of the storage. */
export function storagePath(node: NodeConfig, i: number, part: keyof StorageConfig): string {
  return node.storage?.[part] !== undefined ? `nodes[${i}].storage.${part}` : `storage.${part}`;
}
