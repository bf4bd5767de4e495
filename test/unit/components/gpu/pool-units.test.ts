/**
 * The text of a grant, what a container and Ray get of it, and the code that the state keeps.
 */
import { describe, expect, it } from "vitest";
import { rayGpus, shortModel } from "../../../../components/gpu/devices";
import { UNKNOWN } from "../../../../components/gpu/inputs";
import { assignmentOf } from "../../../../components/gpu/state";
import { STUB } from "../../../../components/gpu/stub";
import { granted, unitLine, withFaults } from "../../../../components/gpu/units";
import type { GrantedUnit, Inventory } from "../../../../core/gpu";
import { must } from "../../../lib/run";

const mig: GrantedUnit = {
  uuid: "MIG-11111111-2222-5333-8444-555555555555",
  gpu: "GPU-8f1a0000-0000-4000-8000-000000000000",
  name: "0:1",
  model: "NVIDIA H100 80GB HBM3",
  memoryMiB: 9984,
  profile: "1g.10gb",
  shared: false,
};
const whole: GrantedUnit = { ...mig, uuid: mig.gpu, name: "0", memoryMiB: 81559, profile: undefined };
const share: GrantedUnit = { ...whole, memoryMiB: 20480, shared: true };

describe("a unit's line", () => {
  it("says what people ask: which, of what size, of which GPU", () => {
    expect(unitLine(mig)).toBe(
      "0:1 1g.10gb, 9984 MiB: MIG-11111111-2222-5333-8444-555555555555 on " +
        "GPU-8f1a0000-0000-4000-8000-000000000000 (NVIDIA H100 80GB HBM3)",
    );
    expect(unitLine(whole)).toBe(
      "0, 81559 MiB: GPU-8f1a0000-0000-4000-8000-000000000000 (NVIDIA H100 80GB HBM3)",
    );
    expect(unitLine(share)).toMatch(/^0 shared, 20480 MiB: GPU-8f1a/);
  });
});

describe("what a pool keeps", () => {
  it("is by key, in the order of the keys: units, and a line for each", () => {
    const kept = granted({ "workspace/bob": [whole], ray: [mig, share] });
    expect(Object.keys(kept.assignment)).toEqual(["ray", "workspace/bob"]);
    expect(kept.grants).toEqual({
      ray: [unitLine(mig), unitLine(share)],
      "workspace/bob": [unitLine(whole)],
    });
  });

  it("is read from the units, and not from the lines", () => {
    const kept = { ...granted({ ray: [mig] }), grants: { ray: [unitLine(whole)] } };
    expect(assignmentOf(kept)).toEqual({ ray: [mig] });
  });

  it.each([undefined, null, "text", 7, UNKNOWN])("is not known where it is %s", (value) => {
    expect(assignmentOf({ assignment: value, grants: value })).toBeUndefined();
  });
});

describe("a declared inventory", () => {
  const gpu = { index: 0, model: "H100", memoryMiB: 1, mig: false, instances: [], nvlink: [] };
  const declared: Inventory = {
    source: "declared",
    gpus: [
      { ...gpu, uuid: "GPU-a" },
      { ...gpu, uuid: "GPU-b" },
    ],
  };

  it("takes over which GPU the node has put aside, and nothing else", () => {
    const seen: Inventory = {
      source: "declared",
      gpus: [
        { ...gpu, uuid: "GPU-b", model: "A100", quarantined: "Xid 79" },
        { ...gpu, uuid: "GPU-c" },
      ],
    };
    const merged = withFaults(declared, seen);
    expect(merged.gpus.map(({ uuid, model, quarantined }) => [uuid, model, quarantined])).toEqual([
      ["GPU-a", "H100", undefined],
      ["GPU-b", "H100", "Xid 79"],
    ]);
    expect(withFaults(declared, undefined)).toEqual(declared);
  });
});

describe("Ray's resources", () => {
  it("count devices, models and profiles", () => {
    expect(rayGpus([])).toEqual({ gpus: 0, resources: {} });
    expect(rayGpus([mig, { ...mig, uuid: "MIG-2" }, whole])).toEqual({
      gpus: 3,
      resources: { "gpu:H100": 3, "mig:1g.10gb": 2 },
    });
  });

  it.each([
    ["NVIDIA H100 80GB HBM3", "H100"],
    ["NVIDIA A100-SXM4-40GB", "A100"],
    ["NVIDIA H200", "H200"],
    ["NVIDIA GH200 480GB", "GH200"],
    ["Tesla T4", "T4"],
    ["NVIDIA GeForce RTX 4090", "4090"],
    ["Quadro", "Quadro"],
  ])("name %s as %s", (model, short) => expect(shortModel(model)).toBe(short));
});

describe("the code in the state", () => {
  it("is small, and has neither a path nor a value of this computer", () => {
    expect(Buffer.byteLength(STUB)).toBeLessThan(1024);
    expect(STUB).not.toContain(process.cwd());
    expect(STUB).not.toMatch(/\/(root|home|tmp|work|usr)\b/);
  });

  it("runs the provider of the project that it is called in", async () => {
    const script = `
      const handler = (() => { const exports = {}; new Function("exports", "require", process.argv[1])(exports, require); return exports.handler(); })();
      handler.diff("node-0", { target: "a" }, { target: "b" }).then((found) => console.log(JSON.stringify([Object.keys(handler), found])));`;
    const { stdout } = await must(process.execPath, ["-e", script, STUB]);
    expect(JSON.parse(stdout)).toEqual([
      ["check", "diff", "create", "read", "update", "delete"],
      { changes: true, replaces: [] },
    ]);
  });
});
