/**
 * What berthd grants, and to whom. Types, and what stands in them: shared by the daemon, the `berth` command and the Pulumi program.
 *
 * Units: memory in MiB, times in milliseconds since the epoch, durations in seconds. A GPU and a MIG instance are known
 * by the UUID that the driver gives them; indexes and `0:1` names are for people, and change with a reboot.
 */

/** How a place is chosen: the GPU with the least granted (default), the fullest that fits, or one GPU each. */
export const strategies = ["least-allocated", "pack", "spread"] as const;
export type Strategy = (typeof strategies)[number];

/** A MIG instance, as the driver shows it. */
export interface MigInstance {
  /** `MIG-…`. */
  uuid: string;
  /** `1g.10gb`. */
  profile: string;
  /** 0: the driver does not say, as of a GPU that has the machine's own memory. */
  memoryMiB: number;
  /** GPU instance and compute instance ids of the driver. */
  gi: number;
  ci: number;
}

export interface Gpu {
  /** `GPU-…`. */
  uuid: string;
  /** As nvidia-smi counts them: for display alone. */
  index: number;
  /** `NVIDIA H100 80GB HBM3`. */
  model: string;
  /** 0: the driver does not say. Granted whole then, and to nobody who asks for a share or for some memory at least. */
  memoryMiB: number;
  /** True: granted by its instances alone, also when it has none. */
  mig: boolean;
  instances: MigInstance[];
  /**
   * What its driver can divide it into: MIG profiles, with how many of each fit alone. Empty: it cannot be divided. Left
   * out: the driver was not asked or did not say, as of declared GPUs.
   */
  profiles?: Record<string, number>;
  /** UUIDs of the GPUs that it reaches over NVLink. */
  nvlink: string[];
  /** Set: nothing new is granted on it, and its holders are told. */
  quarantined?: string;
}

export interface Inventory {
  /** Where it comes from; `none`: the node has no GPU. */
  source: "nvidia-smi" | "declared" | "none";
  driver?: string;
  gpus: Gpu[];
}

/** What somebody asks for. */
export interface Ask {
  /** Whole GPUs, MIG instances, or a share of a GPU's memory beside others. */
  kind: "gpu" | "mig" | "share";
  /** Of them. At least 1; a share is of one GPU. */
  count: number;
  /** MIG profile; any when left out. */
  profile?: string;
  /** Part of the model's name, in any case; any when left out. */
  model?: string;
  /** `share`: what is granted, required. `gpu` and `mig`: the least that each must have. */
  memoryMiB?: number;
  /** The node's own when left out. */
  strategy?: Strategy;
  /** Exactly these: UUIDs. As many as `count`. */
  pins?: string[];
}

/** One GPU, instance or share in a grant. */
export interface GrantedUnit {
  /** Of the instance; of the GPU for `gpu` and `share`. */
  uuid: string;
  /** UUID of the GPU that it is (on). */
  gpu: string;
  /** `0`, or `0:1` for the second instance of GPU 0: for display alone. */
  name: string;
  model: string;
  /** What of it is granted: all of it, or the share. */
  memoryMiB: number;
  profile?: string;
  /** True: others may hold the rest of the GPU's memory. */
  shared: boolean;
}

/**
 * reserved: written down, no container yet; ends by itself at `reservedUntil`, unless it is declared.
 * bound: a container has it. held: its container stopped; kept until `heldUntil` (null: until somebody releases it).
 * released: over. Every state but the last occupies its units.
 */
export type GrantState = "reserved" | "bound" | "held" | "released";

export interface Grant {
  id: string;
  /** Fencing token: larger for every later grant of the node, never used twice. */
  token: number;
  user: string;
  group: string;
  ask: Ask;
  units: GrantedUnit[];
  state: GrantState;
  /** Why it was asked for: a container's name, a person's words. */
  purpose: string;
  /** Declared by the stack under this key, such as `workspace/alice`; no hold and no expiry then. */
  key?: string;
  /** The stack dropped the key while a container still has the units: over when the container is gone. */
  dropped?: boolean;
  /** Docker's container id. */
  container?: string;
  createdAt: number;
  /** Of one that is bound before its container was seen: the end that it has again if that never runs. */
  reservedUntil?: number;
  boundAt?: number;
  /** Bound before its container was seen, which counts as there until then. */
  awaitedUntil?: number;
  stoppedAt?: number;
  heldUntil?: number | null;
  releasedAt?: number;
  /** Why it is over, or what is wrong with it: `gpu lost`. */
  reason?: string;
}

/** Why something was not granted. */
export interface Refusal {
  code:
    | "bad-request"
    | "unknown-user"
    | "unknown-profile"
    | "over-limit"
    | "not-allowed"
    /** Nothing is free now; it may be later. */
    | "busy"
    /** The node has no room for another container now; it may have later. */
    | "full"
    /** This node could never do it. */
    | "impossible"
    /** Inventory, ledger or Docker cannot be trusted at the moment: nothing new is granted. */
    | "closed"
    | "conflict"
    | "not-found";
  /** What happened, and how much of what is used by what. */
  message: string;
  /** What there is instead. */
  allowed?: string;
  /** How to mend it. */
  fix?: string;
  /** The rule that decided: `groups.student.max_mig_instances`. */
  rule?: string;
}

export type Result<T> = { ok: true; value: T } | { ok: false; refusal: Refusal };

/** The result of what was refused. */
export const refuse = (refusal: Refusal): { ok: false; refusal: Refusal } => ({ ok: false, refusal });

/** A limit with the rule that set it, such as `defaults`, `groups.student`, `user_overrides.alice`. */
export interface Limit<T> {
  value: T;
  rule: string;
}

/**
 * What holds for one user, after defaults, groups and overrides. `null`: no limit, or no time-out.
 * Names and meaning are those of resource-limits.yaml; sizes in bytes, durations in seconds.
 */
export interface EffectiveLimits {
  user: string;
  /** The group that decides; `default` for a user of none. */
  group: string;
  /** GPUs and MIG instances of the user's, all together. */
  max_mig_instances: Limit<number | null>;
  max_gpus_per_container: Limit<number | null>;
  allow_full_gpu: Limit<boolean>;
  max_cpus: Limit<number | null>;
  memory: Limit<number | null>;
  shm_size: Limit<number | null>;
  max_containers_per_user: Limit<number | null>;
  idle_timeout: Limit<number | null>;
  gpu_hold_after_stop: Limit<number | null>;
  container_hold_after_stop: Limit<number | null>;
  max_runtime: Limit<number | null>;
  /** Order in the queue among equals: the larger goes first. */
  priority: Limit<number>;
}

/** One grant that the stack declares for a node. */
export interface DeclaredGrant {
  /** `workspace/alice`, `ray`: stable, whatever the order. */
  key: string;
  user: string;
  ask: Ask;
}

/** Who holds what, by key; the value of a GpuPool's outputs. */
export type Assignment = Record<string, GrantedUnit[]>;
