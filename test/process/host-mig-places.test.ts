/** Whether instances find places on one GPU is judged twice: before an update by a table, on the node as its driver tells. */
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import { MIG_PROGRAM } from "../../components/host/runtime/mig";
import { fitsModel, hasMedia, MIG_MODELS, type MigCounts } from "../../core/gpu";

/** The node's program with a driver that offers what each case says; one answer for each case. */
const ASK = `
import json, sys, types
mig = types.ModuleType("mig")
exec(sys.argv[1], mig.__dict__)
answers = []
for case in json.load(sys.stdin):
    names = list(case["profiles"])
    told = "\\n".join("GPU  0 Profile ID %2d Placements: {%s}:%d" % (names.index(name), ",".join(map(str, one["starts"])), one["size"])
                     for name, one in case["profiles"].items())
    mig.rows = lambda gpu: [(name, str(names.index(name)), "7") for name in names]
    mig.run = lambda *command, **more: types.SimpleNamespace(stdout=told)
    answers.append(mig.placed({"index": 0}, case["counts"]))
print(json.dumps(answers))
`;

it("the same instances fit for the table and for the node's program", () => {
  const cases = MIG_MODELS.flatMap((model) => {
    const names = Object.keys(model.profiles).filter((name) => !hasMedia(name));
    const counts = fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 1, max: 4 }), {
      minKeys: 1,
      maxKeys: 3,
    });
    return fc.sample(counts, { numRuns: 60, seed: 7 }).map((one) => ({ model, counts: one as MigCounts }));
  });
  const input = JSON.stringify(cases.map(({ model, counts }) => ({ profiles: model.profiles, counts })));
  const asked = spawnSync("python3", ["-c", ASK, MIG_PROGRAM], { input, encoding: "utf8" });
  expect(asked.stderr).toBe("");
  const answers = JSON.parse(asked.stdout) as boolean[];
  expect(answers.filter(Boolean).length).toBeGreaterThan(100);
  expect(answers.filter((fits) => !fits).length).toBeGreaterThan(100);
  for (const [i, { model, counts }] of cases.entries()) {
    expect(fitsModel(model, counts), `${model.name}: ${JSON.stringify(counts)}`).toBe(answers[i]);
  }
});
