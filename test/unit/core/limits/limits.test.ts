/**
 * Limits of users: reading a document, and who decides.
 * Proves: every key of resource-limits.yaml is taken with its meaning, null included; overrides beat groups beat
 * defaults, field by field; of several groups the highest priority decides; bad documents give all their problems with
 * path, value, what is allowed and how to mend it.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  builtInLimits,
  defaultLimitsDocument,
  formatDuration,
  formatSize,
  groupsOf,
  parseDuration,
  parseLimits,
  parseSize,
  resolveGroupTotal,
  resolveLimits,
  resolveUserTotal,
} from "../../../../core/limits";
import { read, whole } from "./helpers";

const GiB = 2 ** 30;

const problems = (value: unknown) => {
  const parsed = parseLimits(value);
  return parsed.ok ? [] : parsed.problems;
};
const paths = (value: unknown) => problems(value).map(({ path }) => path);

describe("durations", () => {
  it.each<[string | number, number]>([
    ["0.25h", 900],
    ["2h", 7200],
    ["30m", 1800],
    ["90s", 90],
    ["1d", 86400],
    ["1w", 604800],
    ["1h30m", 5400],
    ["0", 0],
    [0, 0],
    ["0h", 0],
    ["0.1s", 1],
  ])("%s is %d seconds", (text, seconds) => expect(parseDuration(text)).toBe(seconds));

  it.each([
    "",
    " ",
    "2",
    2,
    "h",
    "-1h",
    "2 h",
    "1m1h",
    "1e3s",
    "2H",
    "0x10s",
    ".5h",
    "1.h",
    "99999d",
    "NaNh",
    "Infinity",
  ])("%j is none", (text) => expect(parseDuration(text)).toBeUndefined());

  it("are written so that they can be read again", () => {
    expect([900, 5400, 0, 86400, 1].map(formatDuration)).toEqual(["15m", "1h30m", "0s", "1d", "1s"]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 * 365 * 86400 }), (seconds) => {
        expect(parseDuration(formatDuration(seconds))).toBe(seconds);
      }),
    );
  });
});

describe("sizes", () => {
  it.each<[string, number]>([
    ["32g", 32 * GiB],
    ["32G", 32 * GiB],
    ["64GiB", 64 * GiB],
    ["512m", 512 * 2 ** 20],
    ["1.5g", 1.5 * GiB],
    ["1 TiB", 2 ** 40],
    ["5GB", 5e9],
    ["1024k", 2 ** 20],
  ])("%s is %d bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(["", "32", "g", "-1g", "32gb", "32Gb", "1e3g", "32 g b", "9999999999t"])("%j is none", (text) =>
    expect(parseSize(text)).toBeUndefined(),
  );

  it("are shown with the largest unit that is whole", () => {
    expect([64 * GiB, 1.5 * GiB, 2 ** 40, 1000].map(formatSize)).toEqual([
      "64GiB",
      "1536MiB",
      "1TiB",
      "1000 bytes",
    ]);
  });
});

describe("a limits document", () => {
  it("takes every key, and can be written out and read again", () => {
    const document = read(whole);
    expect(document).toEqual(whole);
    expect(read(JSON.parse(JSON.stringify(document)))).toEqual(document);
    expect(read({})).toEqual({});
    expect(read(defaultLimitsDocument)).toEqual(defaultLimitsDocument);
  });

  it("gives each limit with the rule that set it", () => {
    expect(resolveLimits(read(whole), "alice")).toEqual({
      user: "alice",
      group: "student",
      max_mig_instances: { value: 1, rule: "defaults" },
      max_gpus_per_container: { value: 1, rule: "defaults" },
      allow_full_gpu: { value: false, rule: "defaults" },
      max_cpus: { value: 8, rule: "defaults" },
      memory: { value: 48 * GiB, rule: "user_overrides.alice" },
      shm_size: { value: 16 * GiB, rule: "defaults" },
      max_containers_per_user: { value: 3, rule: "defaults" },
      idle_timeout: { value: 7200, rule: "defaults" },
      gpu_hold_after_stop: { value: null, rule: "user_overrides.alice" },
      container_hold_after_stop: { value: 1800, rule: "defaults" },
      max_runtime: { value: 86400, rule: "defaults" },
      priority: { value: 100, rule: "user_overrides.alice" },
    });
    const carol = resolveLimits(read(whole), "carol");
    expect(carol.allow_full_gpu).toEqual({ value: true, rule: "groups.researcher" });
    expect(carol.idle_timeout).toEqual({ value: null, rule: "groups.researcher" });
    expect(carol.priority).toEqual({ value: 50, rule: "groups.researcher" });
    expect(resolveLimits(read(whole), "root-of-all").max_mig_instances).toEqual({
      value: null,
      rule: "groups.admin",
    });
    // An override may say its own priority; one of nobody's group has the defaults' 0.
    expect(resolveLimits(read(whole), "dave")).toMatchObject({
      group: "default",
      priority: { value: 70, rule: "user_overrides.dave" },
    });
    expect(resolveLimits(read(whole), "nobody").priority).toEqual({ value: 0, rule: "defaults" });
  });

  it("lets one group decide: the highest priority, then the stack's, then the name", () => {
    const document = read(whole);
    expect(groupsOf(document, "bob")).toEqual(["researcher", "student"]);
    expect(resolveLimits(document, "bob").memory).toEqual({ value: 64 * GiB, rule: "groups.researcher" });
    expect(resolveLimits(document, "nobody", "student").group).toBe("student");
    expect(groupsOf(document, "carol", "student")).toEqual(["researcher", "student"]);
    const equal = read({
      groups: { b: { members: ["x"] }, a: { members: ["x"] }, c: { members: ["x"] } },
    });
    expect(groupsOf(equal, "x")).toEqual(["a", "b", "c"]);
    expect(groupsOf(equal, "x", "c")).toEqual(["c", "a", "b"]);
    // A field that the deciding group leaves out comes from the defaults, never from another group.
    const two = read({
      groups: { high: { members: ["x"], priority: 2 }, low: { members: ["x"], priority: 1, max_cpus: 1 } },
    });
    expect(resolveLimits(two, "x").max_cpus).toEqual({ value: null, rule: "built-in" });
  });

  it("leaves the unwritten to what is built in", () => {
    const limits = resolveLimits({}, "x");
    expect(limits.allow_full_gpu).toEqual({ value: false, rule: "built-in" });
    expect(limits.gpu_hold_after_stop).toEqual({ value: 900, rule: "built-in" });
    expect(limits.max_mig_instances.value).toBe(builtInLimits.max_mig_instances);
    expect(resolveLimits(defaultLimitsDocument, "x", "student").allow_full_gpu.value).toBe(false);
    expect(resolveLimits(defaultLimitsDocument, "x", "researcher").allow_full_gpu.value).toBe(true);
    expect(resolveLimits(defaultLimitsDocument, "x", "admin").max_mig_instances.value).toBeNull();
  });

  it("takes users that are called as JavaScript's own properties", () => {
    for (const name of ["constructor", "toString", "valueOf", "hasOwnProperty"]) {
      expect(resolveLimits(read(whole), name, name)).toMatchObject({
        group: name,
        memory: { value: 32 * GiB, rule: "defaults" },
      });
      expect(resolveLimits(read(whole), name).priority).toEqual({ value: 0, rule: "defaults" });
      expect(resolveUserTotal(read(whole), name).memory.rule).toBe("defaults.user_total");
    }
  });

  it("adds up totals of users and groups, field by field", () => {
    const document = read(whole);
    expect(resolveUserTotal(document, "alice")).toEqual({
      max_cpus: { value: 16, rule: "defaults.user_total" },
      memory: { value: 64 * GiB, rule: "defaults.user_total" },
      max_tasks: { value: 4096, rule: "defaults.user_total" },
    });
    expect(resolveUserTotal(document, "carol").memory).toEqual({
      value: null,
      rule: "groups.researcher.user_total",
    });
    expect(resolveGroupTotal(document, "student")).toEqual({
      max_cpus: { value: 64, rule: "groups.student.total" },
      memory: { value: 256 * GiB, rule: "groups.student.total" },
      max_tasks: { value: null, rule: "built-in" },
    });
    expect(resolveGroupTotal(document, "default").memory.value).toBeNull();
  });
});

describe("a bad limits document", () => {
  it("gives all its problems at once, each with place, value, what is allowed and how to mend it", () => {
    const found = problems({
      defaults: { max_mig_instances: -1, memory: 32, idle_timeout: "soon", allow_full_gpu: "no" },
      groups: { student: { max_cpu: 4, members: "alice" }, "lab a": {}, default: {} },
      user_overrides: { alice: { user_total: { memory: "1" } } },
      gpu_allocation: { mig_profile: "big" },
      policies: { alert_at: 80 },
      extra: 1,
    });
    expect(found.map(({ path }) => path).sort()).toEqual(
      [
        "defaults.allow_full_gpu",
        "defaults.idle_timeout",
        "defaults.max_mig_instances",
        "defaults.memory",
        "extra",
        "gpu_allocation.mig_profile",
        "groups.default",
        "groups.lab a",
        "groups.student.max_cpu",
        "groups.student.members",
        "policies.alert_at",
        "user_overrides.alice.user_total.memory",
      ].sort(),
    );
    for (const one of found) {
      expect(one.problem, one.path).not.toBe("");
      expect(one.allowed, one.path).not.toBe("");
      expect(one.fix, one.path).not.toBe("");
    }
    const of = (path: string) => found.find((one) => one.path === path);
    expect(of("defaults.memory")).toMatchObject({ value: 32, problem: "is not a size" });
    expect(of("defaults.idle_timeout")).toMatchObject({
      value: "soon",
      problem: "is not a duration",
      allowed: expect.stringContaining('"0.25h"'),
    });
    expect(of("groups.student.max_cpu")).toMatchObject({
      value: 4,
      problem: "is an unknown key",
      allowed: expect.stringContaining("max_cpus"),
      fix: "did you mean max_cpus?",
    });
    expect(of("extra")).toMatchObject({ allowed: expect.stringContaining("user_overrides") });
  });

  it.each<[string, unknown, string[]]>([
    ["no object", "defaults", [""]],
    ["a list", [], [""]],
    ["nothing at all", null, [""]],
    ["null where a rule stands", { defaults: null }, ["defaults"]],
    ["null for yes or no", { defaults: { allow_full_gpu: null } }, ["defaults.allow_full_gpu"]],
    ["no limit for everybody", { defaults: { max_mig_instances: null } }, ["defaults.max_mig_instances"]],
    ["half an instance", { defaults: { max_mig_instances: 1.5 } }, ["defaults.max_mig_instances"]],
    ["not a number", { defaults: { max_cpus: Number.NaN } }, ["defaults.max_cpus"]],
    ["numbers as text", { defaults: { max_cpus: "8" } }, ["defaults.max_cpus"]],
    ["memory of a few bytes", { defaults: { memory: "1k" } }, ["defaults.memory"]],
    ["a duration without a unit", { defaults: { max_runtime: 24 } }, ["defaults.max_runtime"]],
    ["members of a default", { defaults: { members: [] } }, ["defaults.members"]],
    ["a total of one user", { user_overrides: { a: { total: {} } } }, ["user_overrides.a.total"]],
    ["names that are none", { user_overrides: { "a.b": {} } }, ["user_overrides.a.b"]],
    ["a member twice", { groups: { g: { members: ["a", "a"] } } }, ["groups.g.members.1"]],
    ["a member's name", { groups: { g: { members: ["A"] } } }, ["groups.g.members.0"]],
    ["two groups of one slice", { groups: { "a-b": {}, a_b: {} } }, ["groups.a_b"]],
    [
      "a profile without MIG",
      { gpu_allocation: { enable_mig: false, mig_profile: "1g.10gb" } },
      ["gpu_allocation.mig_profile"],
    ],
  ])("with %s is refused", (_, value, expected) => expect(paths(value)).toEqual(expected));

  it("never throws, whatever it is", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const parsed = parseLimits(value);
        if (parsed.ok) resolveLimits(parsed.document, "x");
        else expect(parsed.problems.length).toBeGreaterThan(0);
      }),
    );
  });
});
