import { type AskProblem, refusalOf } from "./asks";
import type { Ask, EffectiveLimits, Grant, GrantedUnit, Limit, Refusal } from "./model";

/** What a user has already. */
export interface Usage {
  units: number;
  /** By what: `workspace/alice (0:1)`. */
  by: string[];
  /** Containers, and grants that wait for theirs. */
  containers: number;
}

/** @param containers the containers that the user has now; left out: those that hold one of the grants. */
export function usageOf(grants: Iterable<Grant>, containers?: number): Usage {
  const usage: Usage = { units: 0, by: [], containers: 0 };
  const bound = new Set<string>();
  for (const grant of grants) {
    usage.units += grant.units.length;
    usage.by.push(heldWords(grant.key ?? (grant.purpose || grant.id), grant.units));
    if (grant.container === undefined) usage.containers += 1;
    else bound.add(grant.container);
  }
  usage.containers += containers ?? bound.size;
  return usage;
}

export function heldWords(who: string, units: readonly GrantedUnit[]): string {
  return `${who} (${units.map(({ name }) => name).join(", ")})`;
}

/** Of somebody who has nothing yet. */
export const noUsage: Usage = { units: 0, by: [], containers: 0 };

/** Whether the user may have it on top of what they have. All that speaks against it; the first rule decides the code. */
export function overRules(limits: EffectiveLimits, ask: Ask, usage: Usage): Refusal | undefined {
  return refusalOf(brokenRules(limits, ask, usage));
}

type RuleName = "allow_full_gpu" | "max_gpus_per_container" | "max_mig_instances" | "max_containers_per_user";

/** Each of the user's limits that the ask goes beyond. */
export function brokenRules(limits: EffectiveLimits, ask: Ask, usage: Usage): AskProblem[] {
  const found: AskProblem[] = [];
  const { user } = limits;
  const say = (field: keyof Ask, limit: RuleName, refusal: Omit<Refusal, "rule">) =>
    found.push({ field, refusal: { ...refusal, rule: ruleName(limits[limit], limit) } });
  if (ask.kind === "gpu" && !limits.allow_full_gpu.value) {
    say("kind", "allow_full_gpu", {
      code: "not-allowed",
      message: `${user} may not have whole GPUs`,
      allowed: "MIG instances, and shares where the node grants them",
      fix: "ask for a MIG instance, or have that rule changed",
    });
  }
  const perContainer = limits.max_gpus_per_container;
  if (perContainer.value !== null && ask.count > perContainer.value) {
    say("count", "max_gpus_per_container", {
      code: "over-limit",
      message: `${ask.count} for one container, and ${user} may have ${perContainer.value}`,
      allowed: `up to ${perContainer.value} per container`,
      fix: "ask for fewer, or have that limit raised",
    });
  }
  const total = limits.max_mig_instances;
  if (total.value !== null && usage.units + ask.count > total.value) {
    const by = usage.by.length > 0 ? ` by ${usage.by.join(", ")}` : "";
    const asked = `${ask.count} more ${ask.count === 1 ? "was" : "were"} asked for`;
    say("count", "max_mig_instances", {
      code: "over-limit",
      message: `${user} uses ${usage.units} of ${total.value} GPUs and MIG instances${by}, and ${asked}`,
      allowed: `${Math.max(0, total.value - usage.units)} more`,
      fix:
        usage.units > 0
          ? "release what is not needed, or ask for fewer"
          : "ask for fewer, or have that limit raised",
    });
  }
  const containers = limits.max_containers_per_user;
  if (containers.value !== null && usage.containers + 1 > containers.value) {
    say("kind", "max_containers_per_user", {
      code: "over-limit",
      message: `${user} has ${usage.containers} of ${containers.value} containers, those to come included`,
      allowed: `${containers.value} containers`,
      fix:
        usage.containers > 0
          ? "remove a container, or release a reservation"
          : "ask for nothing, or have that limit raised",
    });
  }
  return found;
}

/** What a node says of shares of a GPU's memory. */
export interface ShareRules {
  /** Whether they are granted. @default false */
  allowShared?: boolean;
  /** The most that one share may have, in MiB. @default 0, no limit */
  shareLimitMiB?: number;
}

/** Each rule of the node that the ask goes against. */
export function brokenShareRules(
  ask: Ask,
  { allowShared = false, shareLimitMiB = 0 }: ShareRules,
): AskProblem[] {
  if (ask.kind !== "share") return [];
  const found: AskProblem[] = [];
  const say = (field: keyof Ask, refusal: Refusal) => found.push({ field, refusal });
  if (!allowShared) {
    say("kind", {
      code: "not-allowed",
      message: "a share of a GPU was asked for, and GPUs are granted to one container each here",
      allowed: "kind gpu or mig",
      fix: "ask for a MIG instance, or have berth:gpu.allocation set to shared",
      rule: "gpu.allocation",
    });
  }
  const more = (ask.memoryMiB ?? 0) - shareLimitMiB;
  if (shareLimitMiB > 0 && more > 0) {
    say("memoryMiB", {
      code: "over-limit",
      message: `a share of ${ask.memoryMiB} MiB was asked for, ${more} MiB more than one may have here`,
      allowed: `up to ${shareLimitMiB} MiB`,
      fix: "ask for less memory, or have berth:gpu.memoryLimit raised",
      rule: "gpu.memoryLimit",
    });
  }
  return found;
}

/** What of it is more than the limits say now: for grants that were made before a limit was lowered. */
export function keptOver(
  limits: EffectiveLimits | undefined,
  user: string,
  ask: Ask,
  usage: Usage,
): string[] {
  if (!limits) return [`${user} is not a user of this node`];
  const over: string[] = [];
  const say = (value: number, limit: Limit<number | null>, field: string, what: string) => {
    if (limit.value === null || value <= limit.value) return;
    over.push(`${what}, and ${ruleName(limit, field)} allows ${limit.value}`);
  };
  if (ask.kind === "gpu" && !limits.allow_full_gpu.value) {
    over.push(`a whole GPU, and ${ruleName(limits.allow_full_gpu, "allow_full_gpu")} is false`);
  }
  say(ask.count, limits.max_gpus_per_container, "max_gpus_per_container", `${ask.count} for one container`);
  say(usage.units, limits.max_mig_instances, "max_mig_instances", `${user} has ${usage.units} units`);
  const containers = `${user} has ${usage.containers} containers`;
  say(usage.containers, limits.max_containers_per_user, "max_containers_per_user", containers);
  return over;
}

export function unknownUser(user: string): Refusal {
  return {
    code: "unknown-user",
    message: `${user} is not a user of this node`,
    allowed: "the users that the stack declares for it",
    fix: "declare the user in berth:users, then run up",
  };
}

function ruleName(limit: Limit<unknown>, field: string): string {
  return `${limit.rule}.${field}`;
}
