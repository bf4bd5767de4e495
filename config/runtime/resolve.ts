import { inherit } from "../inherit";
import type { RuntimeConfig } from "./schema";

/** What runs a node's containers, with the stack's parts filled in. Pure. */

/** The stack's parts, each replaced whole by the node's. */
export function resolveRuntime(
  stack: RuntimeConfig | undefined,
  node: RuntimeConfig | undefined,
): RuntimeConfig {
  return inherit(stack ?? {}, node);
}

/** Where a part of a node's runtime is written: at the node or in the stack's. */
export function runtimePath(
  node: { runtime?: RuntimeConfig | undefined },
  index: number,
  part: keyof RuntimeConfig,
): string {
  return node.runtime?.[part] === undefined ? `runtime.${part}` : `nodes[${index}].runtime.${part}`;
}
