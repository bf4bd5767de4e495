/** What somebody may have who asks for a container for themselves. Pure. */
import { containerPolicies } from "../../../core/containers";
import type { EffectiveLimits, Refusal } from "../../../core/gpu";
import type { Inspect } from "../docker";
import type { CreateRequest } from "./request";

/** The most that a person may ask for; operators and programs may ask for all that the schema takes. */
const MOST_OF_A_PERSON = { pids: containerPolicies.created.pids ?? 0, stop_seconds: 60 };

/** What a person asks for that only operators and programs may have; undefined: nothing. */
export function notForPersons(request: CreateRequest): Refusal | undefined {
  if (request.ports !== undefined) {
    return {
      code: "not-allowed",
      message: "ports: only operators and programs publish ports of a container",
      fix: "leave ports out",
    };
  }
  const fields = Object.keys(MOST_OF_A_PERSON) as (keyof typeof MOST_OF_A_PERSON)[];
  const over = fields.filter((field) => (request[field] ?? 0) > MOST_OF_A_PERSON[field]);
  if (over.length === 0) return undefined;
  return {
    code: "over-limit",
    message: `more than a person may ask for: ${over.map((field) => `${field} ${request[field]}`).join(", ")}`,
    allowed: over.map((field) => `${field} up to ${MOST_OF_A_PERSON[field]}`).join(", "),
    fix: "ask for less, or leave it out",
  };
}

/**
 * The person's limits; where they say nothing of CPUs or memory, what the workspace has: another container is no way around
 * the size that the stack gave it.
 */
export function limitsOfPerson(limits: EffectiveLimits, workspace: Inspect): EffectiveLimits {
  const { Memory = 0, NanoCpus = 0 } = workspace.HostConfig;
  const rule = "workspace";
  return {
    ...limits,
    ...(limits.memory.value === null && Memory > 0 && { memory: { value: Memory, rule } }),
    ...(limits.max_cpus.value === null && NanoCpus > 0 && { max_cpus: { value: NanoCpus / 1e9, rule } }),
  };
}
