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

/** Whether the user may have it on top of what they have. All that speaks against it; the first rule decides the code. */
export function overRules(limits: EffectiveLimits, ask: Ask, usage: Usage): Refusal | undefined {
  const found: Refusal[] = [];
  const { user } = limits;
  if (ask.kind === "gpu" && !limits.allow_full_gpu.value) {
    found.push({
      code: "not-allowed",
      message: `${user} may not have whole GPUs`,
      allowed: "MIG instances, and shares where the node grants them",
      fix: "ask for a MIG instance",
      rule: ruleName(limits.allow_full_gpu, "allow_full_gpu"),
    });
  }
  const perContainer = limits.max_gpus_per_container;
  if (perContainer.value !== null && ask.count > perContainer.value) {
    found.push({
      code: "over-limit",
      message: `${ask.count} for one container, and ${user} may have ${perContainer.value}`,
      allowed: `up to ${perContainer.value} per container`,
      fix: "ask for fewer",
      rule: ruleName(perContainer, "max_gpus_per_container"),
    });
  }
  const total = limits.max_mig_instances;
  if (total.value !== null && usage.units + ask.count > total.value) {
    const by = usage.by.length > 0 ? ` by ${usage.by.join(", ")}` : "";
    found.push({
      code: "over-limit",
      message: `${user} uses ${usage.units} of ${total.value} GPUs and MIG instances${by}, and ${ask.count} more ${ask.count === 1 ? "was" : "were"} asked for`,
      allowed: `${Math.max(0, total.value - usage.units)} more`,
      fix: usage.units > 0 ? "release what is not needed, or ask for fewer" : "ask for fewer",
      rule: ruleName(total, "max_mig_instances"),
    });
  }
  const containers = limits.max_containers_per_user;
  if (containers.value !== null && usage.containers + 1 > containers.value) {
    found.push({
      code: "over-limit",
      message: `${user} has ${usage.containers} of ${containers.value} containers, those to come included`,
      allowed: `${containers.value} containers`,
      fix: "remove a container, or release a reservation",
      rule: ruleName(containers, "max_containers_per_user"),
    });
  }
  const [first] = found;
  if (!first || found.length === 1) return first;
  return { ...first, message: found.map(({ message, rule }) => `${message} (${rule})`).join("; ") };
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
