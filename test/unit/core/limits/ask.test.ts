/**
 * What can be said of an ask before anybody knows what is free.
 * Proves: each rule refuses what is one past it and takes what is on it, names itself, and several speak at once.
 */
import { describe, expect, it } from "vitest";
import type { Ask } from "../../../../core/gpu";
import { checkAsk, type LimitsDocument, resolveLimits } from "../../../../core/limits";

const document: LimitsDocument = {
  defaults: { max_mig_instances: 4, max_gpus_per_container: 2, allow_full_gpu: false },
  groups: { admin: { allow_full_gpu: true, max_mig_instances: null, max_gpus_per_container: null } },
};
const student = resolveLimits(document, "alice");
const admin = resolveLimits(document, "carol", "admin");
const exclusive = { allowShared: false };
const shared = { allowShared: true, shareLimitMiB: 1024 };

describe("an ask", () => {
  it.each<[string, Ask]>([
    ["as many as allowed", { kind: "mig", count: 2 }],
    ["one of a profile", { kind: "mig", count: 1, profile: "1g.10gb", strategy: "pack" }],
    ["pins", { kind: "mig", count: 2, pins: ["MIG-1", "MIG-2"] }],
  ])("for %s is taken", (_, ask) => expect(checkAsk(student, ask, exclusive)).toEqual([]));

  it("is not limited where the limits are null", () => {
    expect(checkAsk(admin, { kind: "gpu", count: 64 }, exclusive)).toEqual([]);
  });

  it("beyond a limit is refused with the rule, what there is and how to mend it", () => {
    expect(checkAsk(student, { kind: "mig", count: 3 }, exclusive)).toEqual([
      {
        field: "count",
        refusal: {
          code: "over-limit",
          message: "3 for one container, and alice may have 2",
          allowed: "up to 2 per container",
          fix: "ask for fewer, or have that limit raised",
          rule: "defaults.max_gpus_per_container",
        },
      },
    ]);
    expect(
      checkAsk(student, { kind: "gpu", count: 5 }, exclusive).map(({ refusal }) => refusal.rule),
    ).toEqual(["defaults.allow_full_gpu", "defaults.max_gpus_per_container", "defaults.max_mig_instances"]);
    expect(checkAsk(student, { kind: "gpu", count: 1 }, exclusive)[0]?.refusal).toMatchObject({
      code: "not-allowed",
      message: "alice may not have whole GPUs",
      rule: "defaults.allow_full_gpu",
    });
  });

  it("is refused where the user may have no container at all", () => {
    const none = resolveLimits({ defaults: { max_containers_per_user: 0 } }, "alice");
    expect(checkAsk(none, { kind: "mig", count: 1 }, exclusive)).toMatchObject([
      { field: "kind", refusal: { code: "over-limit", rule: "defaults.max_containers_per_user" } },
    ]);
  });

  it("for a share needs allocation shared, and memory within its limit", () => {
    const share = (memoryMiB?: number): Ask => ({
      kind: "share",
      count: 1,
      ...(memoryMiB ? { memoryMiB } : {}),
    });
    expect(checkAsk(student, share(1024), shared)).toEqual([]);
    expect(checkAsk(student, share(99999), { allowShared: true })).toEqual([]);
    expect(checkAsk(student, share(99999), { allowShared: true, shareLimitMiB: 0 })).toEqual([]);
    expect(checkAsk(student, share(1025), shared)).toMatchObject([
      {
        field: "memoryMiB",
        refusal: { rule: "gpu.memoryLimit", message: expect.stringContaining("1 MiB more") },
      },
    ]);
    expect(checkAsk(student, share(512), exclusive)).toMatchObject([
      { field: "kind", refusal: { code: "not-allowed", rule: "gpu.allocation" } },
    ]);
    expect(checkAsk(student, share(), shared)).toMatchObject([
      { field: "memoryMiB", refusal: { code: "bad-request" } },
    ]);
  });

  it.each<[string, Ask, string]>([
    ["of none", { kind: "mig", count: 0 }, "count"],
    ["of a half", { kind: "mig", count: 0.5 }, "count"],
    ["of NaN", { kind: "mig", count: Number.NaN }, "count"],
    ["of two shares", { kind: "share", count: 2, memoryMiB: 1 }, "count"],
    ["of a GPU by profile", { kind: "gpu", count: 1, profile: "1g.10gb" }, "profile"],
    ["with too few pins", { kind: "mig", count: 2, pins: ["MIG-1"] }, "pins"],
    ["with a pin twice", { kind: "mig", count: 2, pins: ["MIG-1", "MIG-1"] }, "pins"],
    ["with less than no memory", { kind: "gpu", count: 1, memoryMiB: 0 }, "memoryMiB"],
    ["of an unknown kind", { kind: "cpu" as "gpu", count: 1 }, "kind"],
    ["of an unknown strategy", { kind: "mig", count: 1, strategy: "best" as "pack" }, "strategy"],
  ])("%s is a bad request", (_, ask, field) => {
    const found = checkAsk(admin, ask, shared);
    expect(found).toMatchObject([{ field, refusal: { code: "bad-request" } }]);
    for (const { refusal } of found) expect([refusal.allowed, refusal.fix]).not.toContain(undefined);
  });
});
