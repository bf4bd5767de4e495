/**
 * Why a user has the limits that he has.
 * Proves: explain names every rule that spoke, which won and why the others did not, and agrees with what holds for any
 * document; nobody else's rule ever decides; of several groups the true reason is told.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { explainLimits, limitFields, resolveLimits } from "../../../../core/limits";
import { read, whole } from "./helpers";

const GiB = 2 ** 30;

describe("explaining", () => {
  it("names every rule that spoke, and which won", () => {
    const found = explainLimits(read(whole), "bob");
    expect(found.map(({ field }) => field)).toEqual([
      ...limitFields,
      "user_total.max_cpus",
      "user_total.memory",
      "user_total.max_tasks",
    ]);
    const of = (field: string) => found.find((one) => one.field === field);
    expect(of("memory")).toMatchObject({
      value: 64 * GiB,
      text: "64GiB",
      rule: "groups.researcher",
      overrides: [
        { rule: "defaults", value: 32 * GiB, text: "32GiB" },
        { rule: "built-in", value: null },
      ],
    });
    expect(of("priority")).toMatchObject({
      value: 50,
      rule: "groups.researcher",
      overrides: [
        { rule: "defaults", value: 0 },
        { rule: "built-in", value: 0 },
        { rule: "groups.student", value: 10, why: expect.stringContaining("groups.researcher decides") },
      ],
    });
    expect(of("idle_timeout")).toMatchObject({ value: null, text: "never" });
    expect(of("user_total.memory")).toMatchObject({
      value: null,
      text: "no limit",
      rule: "groups.researcher",
      overrides: [{ rule: "defaults", value: 64 * GiB }],
    });
  });

  it("says why one group decides: its priority, the stack, or its name", () => {
    const why = (groups: object, groupOf?: string) =>
      explainLimits(read({ groups }), "x", groupOf)
        .find(({ field }) => field === "max_cpus")
        ?.overrides.filter(({ rule }) => rule.startsWith("groups."))
        .map((one) => one.why);
    const group = (priority?: number) => ({ members: ["x"], max_cpus: 1, ...(priority && { priority }) });
    expect(why({ a: group(5), b: group(6) }, "a")).toEqual([
      "groups.b decides for x: of several groups the highest priority does",
    ]);
    // Unwritten, the priority of a group is 10.
    expect(why({ a: group(10), b: group(), c: group(9) }, "b")).toEqual([
      "groups.b decides for x: of several groups of priority 10 the one that the stack gives does",
      "groups.b decides for x: of several groups the highest priority does",
    ]);
    expect(why({ b: group(), a: group() })).toEqual([
      "groups.a decides for x: of several groups of priority 10 the first by name does",
    ]);
  });

  it("agrees with what holds, for any document", () => {
    const rule = fc.record(
      {
        max_mig_instances: fc.option(fc.integer({ min: 0, max: 9 })),
        memory: fc.constantFrom("8g", "16GiB", null),
        max_runtime: fc.constantFrom("1h", "0", null),
        priority: fc.integer({ min: 0, max: 100 }),
      },
      { requiredKeys: [] },
    );
    const people = fc.constantFrom("alice", "bob", "carol");
    const group = fc.tuple(rule, fc.uniqueArray(people)).map(([fields, members]) => ({ ...fields, members }));
    const document = fc.record(
      {
        defaults: rule.map(({ max_mig_instances, ...rest }) => ({
          ...rest,
          ...(typeof max_mig_instances === "number" ? { max_mig_instances } : {}),
        })),
        groups: fc.dictionary(fc.constantFrom("a", "b", "c"), group),
        user_overrides: fc.dictionary(people, rule),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(document, people, fc.option(fc.constantFrom("a", "b", "c")), (value, user, given) => {
        const parsed = read(value);
        const groupOf = given ?? undefined;
        const limits = resolveLimits(parsed, user, groupOf);
        const explained = explainLimits(parsed, user, groupOf);
        for (const field of limitFields) {
          const one = explained.find((entry) => entry.field === field);
          expect({ value: one?.value, rule: one?.rule }).toEqual(limits[field]);
        }
        // Nobody else's rule ever decides.
        for (const field of limitFields) {
          expect(["built-in", "defaults", `groups.${limits.group}`, `user_overrides.${user}`]).toContain(
            limits[field].rule,
          );
        }
        const own = parsed.user_overrides?.[user];
        for (const field of ["memory", "max_runtime", "max_mig_instances"] as const)
          if (own && own[field] !== undefined) expect(limits[field].rule).toBe(`user_overrides.${user}`);
      }),
    );
  });
});
