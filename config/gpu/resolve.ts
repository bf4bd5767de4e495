import { SYSTEM } from "../../core/containers";
import { type Ask, countsOf, type MigCounts, migModelOf, mostOf } from "../../core/gpu";
import type { LimitsDocument } from "../../core/limits";
import { resolveRuntime } from "../runtime/resolve";
import type { RuntimeConfig } from "../runtime/schema";
import type { NodeGpuConfig, UserGpuConfig } from "./schema";

/** GPUs and what is asked of them, with defaults filled in. Pure. */

const MiB = 2 ** 20;

/** A kind of GPU that a node declares. */
export interface DeclaredGpuPlan {
  model: string;
  memoryMiB: number;
  count: number;
  /** Instances of each GPU by profile; left out: it is not divided. */
  mig?: MigCounts;
  /** The GPUs of this entry reach each other over NVLink. */
  nvlink: boolean;
}

export function migCounts(mig: Exclude<NodeGpuConfig["mig"], false | undefined>): MigCounts {
  return Array.isArray(mig) ? countsOf(mig) : mig;
}

/** The profile that GPUs are divided into where their node does not say. */
export function defaultProfile({ gpu_allocation: allocation }: LimitsDocument): string | undefined {
  return allocation?.enable_mig === false ? undefined : allocation?.mig_profile;
}

/**
 * A node's declared GPUs. One whose `mig` is left out is filled with instances of `gpu_allocation.mig_profile`, where
 * its model offers the profile.
 */
export function declaredGpus(
  limits: LimitsDocument,
  gpus: readonly NodeGpuConfig[] | undefined,
): DeclaredGpuPlan[] | undefined {
  return gpus?.map(({ model, memory, count, mig, nvlink }) => {
    const memoryMiB = Math.floor(memory / MiB);
    const counts = mig === undefined ? byDefault(limits, model, memoryMiB) : mig && migCounts(mig);
    return { model, memoryMiB, count, ...(counts ? { mig: counts } : {}), nvlink };
  });
}

function byDefault(limits: LimitsDocument, model: string, memoryMiB: number): MigCounts | undefined {
  const profile = defaultProfile(limits);
  const row = migModelOf(model, memoryMiB);
  return profile !== undefined && row?.profiles[profile] ? { [profile]: mostOf(row, profile) } : undefined;
}

/** A node whose GPUs are its driver's to tell of, if it has any. */
export function hasDriver(
  node: { kind: string; gpus?: readonly NodeGpuConfig[] | undefined },
  runtime: RuntimeConfig,
): boolean {
  return node.kind !== "local" && node.gpus === undefined && runtime.gpu !== "off";
}

/** The runtime of a node; its real GPUs are divided by `gpu_allocation.mig_profile` where nothing says how. */
export function nodeRuntime(
  config: { runtime?: RuntimeConfig | undefined; limits: LimitsDocument },
  node: {
    kind: string;
    runtime?: RuntimeConfig | undefined;
    gpus?: readonly NodeGpuConfig[] | undefined;
  },
): RuntimeConfig {
  const runtime = resolveRuntime(config.runtime, node.runtime);
  const profile = defaultProfile(config.limits);
  const real = hasDriver(node, runtime);
  if (profile === undefined || !real || runtime.nvidia?.mig !== undefined) return runtime;
  // Nobody said that these GPUs have the profile: those without it stay as they are.
  const entry = { gpu: "all", layout: `all-${profile}`, optional: true };
  return { ...runtime, nvidia: { ...runtime.nvidia, mig: [entry] } };
}

/** Whose Ray's grants are: the stack's own, as its containers are. */
export const RAY_USER = SYSTEM;

/**
 * The limits as the nodes get them. What Ray gets is bounded by what the stack asks for it, and by no rule about people,
 * unless one is written for its own name.
 */
export function nodeLimits(config: {
  limits: LimitsDocument;
  ray: { enabled: boolean };
  nodes: readonly { ray?: { gpu?: unknown } | undefined }[];
}): LimitsDocument {
  const { limits, ray, nodes } = config;
  if (!ray.enabled || nodes.every((node) => node.ray?.gpu === undefined)) return limits;
  const free = {
    max_mig_instances: null,
    max_gpus_per_container: null,
    allow_full_gpu: true,
    max_containers_per_user: null,
  };
  return {
    ...limits,
    user_overrides: {
      ...limits.user_overrides,
      [RAY_USER]: { ...free, ...limits.user_overrides?.[RAY_USER] },
    },
  };
}

export function userAsk(gpu: UserGpuConfig): Ask {
  const { memory, kind, count, profile, model, strategy, pins } = gpu;
  return {
    kind,
    count,
    ...(profile !== undefined ? { profile } : {}),
    ...(model !== undefined ? { model } : {}),
    ...(memory !== undefined ? { memoryMiB: Math.floor(memory / MiB) } : {}),
    ...(strategy !== undefined ? { strategy } : {}),
    ...(pins !== undefined ? { pins } : {}),
  };
}
