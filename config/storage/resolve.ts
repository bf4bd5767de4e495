import { isHost } from "../../core/net";
import { inherit } from "../inherit";
import type { NodeConfig, StackConfig } from "../schema";
import type { StorageConfig } from "./schema";

/** What a node stores where, with the stack's parts filled in. Pure. */

/** A node's storage: its own parts, then those of `berth:storage`. */
export function resolveStorage(config: StackConfig, node: NodeConfig): StorageConfig {
  return inherit(config.storage, node.storage);
}

/** `nodes[i].storage.PART` or `storage.PART`, whichever holds the value: where an error points to. */
export function storagePath(node: NodeConfig, i: number, part: keyof StorageConfig): string {
  return node.storage?.[part] !== undefined ? `nodes[${i}].storage.${part}` : `storage.${part}`;
}

/**
 * `HOST:/path` of an NFS export in its two parts, an IPv6 address in brackets; undefined for anything else. The path is
 * in its shortest form, as `tidyExport` makes it: fstab holds it, and the mount that is there is found by it. Of
 * characters it has none that fstab(5) or a shell's words give a meaning to.
 */
export function nfsExport(from: string): { host: string; path: string } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:/[\]]+)):(\/|(?:\/[A-Za-z0-9._+@~#%=()-]+)+)$/.exec(from);
  const [, six, plain, path = ""] = match ?? [];
  const host = six ?? plain ?? "";
  if (!isHost(host) || host.includes(":") !== (six !== undefined)) return undefined;
  return path.split("/").some((part) => part === "." || part === "..") ? undefined : { host, path };
}

/** The node that an NFS mount names in front of its path, if it names one. */
export function nfsNode(names: readonly string[], from: string): string | undefined {
  const host = from.slice(0, Math.max(0, from.lastIndexOf(":/")));
  return names.find((name) => name === host);
}
