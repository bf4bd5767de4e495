/** A limits document with every key there is, for the tests of limits. */
import { type LimitsDocument, parseLimits } from "../../../../core/limits";

/** Every key there is, as resource-limits.yaml would have it. */
export const whole = {
  defaults: {
    max_mig_instances: 1,
    max_gpus_per_container: 1,
    allow_full_gpu: false,
    max_cpus: 8,
    memory: "32g",
    shm_size: "16g",
    max_containers_per_user: 3,
    idle_timeout: "2h",
    gpu_hold_after_stop: "0.25h",
    container_hold_after_stop: "0.5h",
    max_runtime: "24h",
    user_total: { max_cpus: 16, memory: "64GiB", max_tasks: 4096 },
  },
  groups: {
    student: { members: ["alice", "bob"], priority: 10, total: { max_cpus: 64, memory: "256GiB" } },
    researcher: {
      members: ["carol", "bob"],
      priority: 50,
      allow_full_gpu: true,
      max_mig_instances: 4,
      memory: "64GiB",
      idle_timeout: null,
      user_total: { memory: null },
    },
    admin: { members: ["root-of-all"], priority: 90, max_mig_instances: null, max_runtime: null },
  },
  user_overrides: { alice: { memory: "48g", gpu_hold_after_stop: null }, dave: { priority: 70 } },
  gpu_allocation: { enable_mig: true, mig_profile: "2g.20gb" },
  policies: { idle_warning_at: 0.5 },
};

export function read(value: unknown): LimitsDocument {
  const parsed = parseLimits(value);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.document;
}
