import type { NodeConfig, StackConfig } from "../schema";

/** What Ray gets of a node where the stack does not say. Pure. */

const MiB = 2 ** 20;

/** Share of a node's memory that Ray gets when `berth:ray.memory` is left out. */
export const RAY_MEMORY_SHARE = 0.4;

export function rayMemory(config: StackConfig, node: NodeConfig): number {
  return config.ray.memory ?? Math.floor((node.memory * RAY_MEMORY_SHARE) / MiB) * MiB;
}
