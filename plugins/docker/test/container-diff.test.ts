/** The verdict on every edit is the official plugin's, but where that one promises what the engine cannot do. */
import type { Props } from "@berth/plugin-base";
import { UNKNOWN } from "@berth/plugin-base";
import { checkResource } from "@berth/plugin-base/bridged";
import { describe, expect, it } from "vitest";
import { containerDiff } from "../src/container";
import { containerFields } from "../src/container/schema";
import { bag, context, diffRequest, recorded, type Verdict } from "./support";

/** Official says `update` and then does nothing; here these replace. See src/container/schema.ts. */
const STRICTER = ["healthcheck", "tmpfs", "init", "rm", "mounts"];
/** Taking a limit away: the engine reads 0 as "leave it". */
const TAKEN_AWAY = ["memory", "memorySwap", "cpuShares"];

function check(program: Props, olds: Props = {}): Props {
  const { inputs, failures } = checkResource(
    containerFields,
    { olds: bag(olds), news: bag(program) },
    context(),
  );
  expect(failures).toEqual([]);
  return inputs;
}

function verdict(olds: Props, program: Props): { verdict: Verdict; deleteFirst: boolean } {
  const result = containerDiff(diffRequest(olds, check(program)));
  const out: Verdict = {};
  for (const { path, replace } of result.changes) {
    const key = String(path[0]);
    out[key] = replace || out[key] === "replace" ? "replace" : "update";
  }
  return { verdict: out, deleteFirst: result.deleteBeforeReplace ?? false };
}

/** The program with an edit; null takes a property out. */
function edited(program: Props, set: Props): Props {
  return Object.fromEntries(Object.entries({ ...program, ...set }).filter(([, value]) => value !== null));
}

for (const [name, container] of Object.entries(recorded)) {
  describe(`the ${name} container, in a state that the official plugin wrote`, () => {
    it("gives the same inputs as the official check", () => {
      expect(check(container.program)).toEqual(container.checked);
    });

    it.each(Object.keys(container.edits))("edit %s", (edit) => {
      const { set, official } = container.edits[edit] as (typeof container.edits)[string];
      const expected: Verdict = { ...official };
      for (const key of Object.keys(expected)) if (STRICTER.includes(key)) expected[key] = "replace";
      if (edit === "nolimits") for (const key of TAKEN_AWAY) if (key in expected) expected[key] = "replace";
      const found = verdict(container.outputs, edited(container.program, set));
      expect(found.verdict).toEqual(expected);
      expect(found.deleteFirst).toBe(Object.values(expected).includes("replace"));
    });
  });
}

describe("beyond the recording", () => {
  const full = recorded.full as (typeof recorded)[string];

  it("takes other spellings of one value for no change", () => {
    const same: Props = {
      cpus: "0.50",
      healthcheck: {
        tests: ["CMD", "true"],
        interval: "1000ms",
        timeout: "2s",
        retries: 3,
        startPeriod: "90s",
      },
      capabilities: { adds: ["CHOWN"], drops: ["all"] },
      envs: ["B=2", "A=1", "A=1"],
      ports: [...(full.program.ports as Props[])].reverse(),
      labels: [...(full.program.labels as Props[])].reverse(),
    };
    expect(verdict(full.outputs, { ...full.program, ...same }).verdict).toEqual({});
  });

  it.each<[string, Props, string]>([
    ["envs", { envs: [] }, "replace"],
    ["command", { command: [] }, "replace"],
    ["entrypoints", { entrypoints: [] }, "replace"],
    ["securityOpts", { securityOpts: [] }, "replace"],
    ["stopTimeout", { stopTimeout: 0 }, "replace"],
    ["init", { init: false }, "replace"],
  ])(
    "takes an empty %s for a change where it is written down, and for none where it is left out",
    (key, set, found) => {
      const had: Props = {
        envs: ["A=1"],
        command: ["a"],
        entrypoints: ["b"],
        securityOpts: ["c"],
        stopTimeout: 9,
        init: true,
      };
      const outputs = { ...full.outputs, ...had };
      const { [key]: _, ...without } = { ...full.program, ...had };
      expect(verdict(outputs, without).verdict).toEqual({});
      expect(verdict(outputs, { ...without, ...set }).verdict).toEqual({ [key]: found });
    },
  );

  it("takes an empty text or block of a computed property for one that is left out", () => {
    const set: Props = { hostname: "", user: "", labels: [] };
    expect(verdict(full.outputs, { ...full.program, ...set }).verdict).toEqual({});
  });

  it("leaves the swap alone that the engine chose for a memory without memorySwap, and no other", () => {
    const { memorySwap: _, ...program } = full.program;
    const outputs = (memorySwap: number): Props => ({ ...full.outputs, memorySwap });
    expect(verdict(outputs(128), program).verdict).toEqual({});
    expect(verdict(outputs(64), program).verdict).toEqual({ memorySwap: "replace" });
  });

  it("shows what a refresh found: a stopped container, a limit changed by hand", () => {
    expect(verdict({ ...full.outputs, mustRun: false }, full.program).verdict).toEqual({ mustRun: "update" });
    expect(verdict({ ...full.outputs, memory: 999 }, full.program).verdict).toEqual({ memory: "update" });
  });

  it("takes an unknown value for a change", () => {
    const changes = containerDiff(
      diffRequest(full.outputs, { ...check(full.program), image: UNKNOWN, envs: [UNKNOWN, "A=1"] }),
    );
    expect(changes.changes.map(({ path, replace }) => [path.join("."), replace])).toEqual([
      ["image", true],
      ["envs.0", true],
    ]);
  });

  it("heeds ignoreChanges, whole properties and single entries", () => {
    const news = { ...check(full.program), mustRun: false, labels: [{ label: "a", value: "other" }] };
    const left = (ignore: string[]) =>
      containerDiff(diffRequest(full.outputs, news, ignore)).changes.map(({ path }) => path[0]);
    expect(new Set(left([]))).toEqual(new Set(["mustRun", "labels"]));
    expect(left(["mustRun", "labels"])).toEqual([]);
    expect(new Set(left(["mustRun"]))).toEqual(new Set(["labels"]));
  });

  it("names the entry that changed", () => {
    const labels = (full.program.labels as Props[]).map((entry, i) =>
      i === 1 ? { ...entry, value: "new" } : entry,
    );
    const { changes } = containerDiff(
      diffRequest(
        { ...full.outputs, labels: full.program.labels as Props[] },
        check({ ...full.program, labels }),
      ),
    );
    expect(changes).toEqual([{ path: ["labels", 1, "value"], kind: "update", replace: true }]);
  });
});
