/** The ledger's decisions in memory, without a disk and without a socket: how long they take on 1,000 GPUs. */
import {
  apply,
  type Ctx,
  createState,
  type DeclaredGrant,
  type EffectiveLimits,
  type Gpu,
  type Inventory,
  planDeclared,
  release,
  reserve,
} from "../../core/gpu";

const GPUS = 1000;
const REQUESTS = 10_000;
/** Grants that live at any time: the node is busy, and not full. */
const LIVE = 3000;
const USERS = 200;

/** Every second one is cut into seven. */
function inventoryOf(count: number): Inventory {
  const gpus: Gpu[] = Array.from({ length: count }, (_, index) => ({
    uuid: `GPU-${index}`,
    index,
    model: "NVIDIA H100 80GB HBM3",
    memoryMiB: 81_559,
    mig: index % 2 === 0,
    nvlink: [],
    instances:
      index % 2 === 0
        ? Array.from({ length: 7 }, (_, at) => ({
            uuid: `MIG-${index}-${at}`,
            profile: "1g.10gb",
            memoryMiB: 9984,
            gi: 7 + at,
            ci: 0,
          }))
        : [],
  }));
  return { source: "declared", gpus };
}

function limitsOf(user: string): EffectiveLimits {
  const none = { value: null, rule: "defaults" };
  return {
    user,
    group: "default",
    max_mig_instances: { value: 100, rule: "defaults" },
    max_gpus_per_container: { value: 4, rule: "defaults" },
    allow_full_gpu: { value: true, rule: "defaults" },
    max_cpus: none,
    memory: none,
    shm_size: none,
    max_containers_per_user: none,
    idle_timeout: none,
    gpu_hold_after_stop: none,
    container_hold_after_stop: none,
    max_runtime: none,
    priority: { value: 0, rule: "defaults" },
  };
}

const userOf = (index: number) => `u${index % USERS}`;
/** One in ten wants a whole GPU. */
const askOf = (index: number) =>
  index % 10 === 0
    ? { kind: "gpu" as const, count: 1 }
    : { kind: "mig" as const, count: 1, profile: "1g.10gb" };

export interface Measured {
  gpus: number;
  requests: number;
  granted: number;
  seconds: number;
}

/** Requests one after the other, each decided with limits and place; the oldest grant goes when there are many. */
export function decisions(): Measured {
  const state = createState(inventoryOf(GPUS));
  let ids = 0;
  const ctx: Ctx = {
    now: 0,
    newId: () => `g${ids++}`,
    limitsOf,
    strategy: "least-allocated",
    allowShared: false,
    reserveSeconds: 600,
  };
  const live: string[] = [];
  let granted = 0;
  const began = performance.now();
  for (let index = 0; index < REQUESTS; index++) {
    ctx.now = index;
    const made = reserve(state, ctx, { user: userOf(index), ask: askOf(index), purpose: "bench" });
    if (made.ok) {
      apply(state, made.changes);
      live.push(made.value.id);
      granted++;
    }
    if (live.length <= LIVE) continue;
    const over = release(state, ctx, live.shift() ?? "");
    if (!over.ok) throw new Error(over.refusal.message);
    apply(state, over.changes);
  }
  return { gpus: GPUS, requests: REQUESTS, granted, seconds: (performance.now() - began) / 1000 };
}

/** What a preview does: all declared grants at once, and again with one user more, who moves nobody. */
export function pool(): Measured & { moved: number } {
  const inventory = inventoryOf(GPUS);
  const all: DeclaredGrant[] = Array.from({ length: LIVE }, (_, index) => ({
    key: `workspace/${index}`,
    user: userOf(index),
    ask: askOf(index),
  }));
  const plan = (declared: DeclaredGrant[], previous?: Parameters<typeof planDeclared>[0]["previous"]) =>
    planDeclared({
      inventory,
      grants: [],
      declared,
      limitsOf,
      strategy: "least-allocated",
      allowShared: false,
      previous,
    });
  const began = performance.now();
  const first = plan(all);
  const second = plan([{ key: "workspace/new", user: "new", ask: askOf(1) }, ...all], first.assignment);
  const seconds = (performance.now() - began) / 1000;
  const granted = Object.keys(second.assignment).length;
  return { gpus: GPUS, requests: 2 * LIVE + 1, granted, seconds, moved: second.moved.length };
}
