import type { EffectiveLimits, Gpu, Inventory, MigInstance } from "../../core/gpu";

export const h100 = "NVIDIA H100 80GB HBM3";
export const h100MiB = 81_559;
export const sizes: Record<string, number> = { "1g.10gb": 9_984, "2g.20gb": 20_096, "3g.40gb": 40_320 };

/** A GPU as the driver would show it. `mig`: profiles of its instances, from the first. */
export function gpu(
  index: number,
  options: Partial<Omit<Gpu, "instances" | "mig">> & { mig?: string[] } = {},
): Gpu {
  const { mig, ...rest } = options;
  const uuid = rest.uuid ?? `GPU-${index}`;
  const instances = (mig ?? []).map(
    (profile, at): MigInstance => ({
      uuid: `MIG-${index}-${at}`,
      profile,
      memoryMiB: sizes[profile] ?? 1,
      gi: at + 1,
      ci: 0,
    }),
  );
  return {
    uuid,
    index,
    model: h100,
    memoryMiB: h100MiB,
    nvlink: [],
    ...rest,
    mig: mig !== undefined,
    instances,
  };
}

export function node(...gpus: Gpu[]): Inventory {
  return { source: gpus.length > 0 ? "declared" : "none", gpus };
}

export interface LimitValues {
  group?: string;
  max_mig_instances?: number | null;
  max_gpus_per_container?: number | null;
  max_containers_per_user?: number | null;
  allow_full_gpu?: boolean;
  gpu_hold_after_stop?: number | null;
  priority?: number;
}

/** No limit but those named; they are set by the rule of the group. */
export function limits(user: string, values: LimitValues = {}): EffectiveLimits {
  const group = values.group ?? "student";
  const rule = `groups.${group}`;
  const number = (value: number | null = null) => ({ value, rule });
  return {
    user,
    group,
    max_mig_instances: number(values.max_mig_instances),
    max_gpus_per_container: number(values.max_gpus_per_container),
    allow_full_gpu: { value: values.allow_full_gpu ?? true, rule },
    max_cpus: number(),
    memory: number(),
    shm_size: number(),
    max_containers_per_user: number(values.max_containers_per_user),
    idle_timeout: number(),
    gpu_hold_after_stop: number(values.gpu_hold_after_stop === undefined ? 900 : values.gpu_hold_after_stop),
    container_hold_after_stop: number(),
    max_runtime: number(),
    priority: { value: values.priority ?? 0, rule },
  };
}
