/**
 * The stand-in for nvidia-smi that speaks for declared GPUs, run for real.
 * Proves: declared -> stand-in -> our parser gives the same inventory, for layouts at random; use, faults and loss are
 * shown as told; a container sees what it was given; a real nvidia-smi is never replaced.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type FakePaths,
  fakePaths,
  gpuInstanceCap,
  installFakeNvidiaSmi,
  NvidiaSmi,
  parseInstanceProfiles,
  removeFakeNvidiaSmi,
} from "../../../../agent/src/inventory";
import { declaredInventory, MIG_MODELS, placeInstances } from "../../../../core/gpu";
import { setFakeState } from "../../../lib/fake-gpus";
import { missing, shellcheck } from "../../../lib/programs";
import { CARDS, H100 } from "./cases";
import { root, rootForEachTest } from "./helpers";

rootForEachTest();

let paths: FakePaths;
beforeEach(() => {
  paths = fakePaths(root);
});

const smi = (...args: string[]) => {
  const { status, stdout } = spawnSync(paths.command, args, { encoding: "utf8" });
  return { status, stdout };
};
const reader = () => new NvidiaSmi({ command: paths.command, source: "declared" });

/** Layouts that fit, on cards of any model. */
const card = fc.constantFrom(...Object.keys(CARDS)).chain((name) => {
  const model = MIG_MODELS.find((row) => row.name === name);
  const base = CARDS[name];
  if (!model || !base) throw new Error(`${name} is not in the table`);
  const layout = fc.array(fc.constantFrom(...Object.keys(model.profiles)), { maxLength: 7 }).map((wanted) => {
    // As many of them as fit, in the order drawn.
    const kept: string[] = [];
    for (const profile of wanted) if (placeInstances(model, kept.concat(profile))) kept.push(profile);
    return kept;
  });
  return fc.record({
    model: fc.constant(base.model),
    memoryMiB: fc.constant(base.memoryMiB),
    count: fc.integer({ min: 1, max: 3 }),
    mig: fc.option(layout, { nil: undefined }),
    nvlink: fc.boolean(),
  });
});

describe("the stand-in for nvidia-smi", () => {
  it("gives back what was declared, for any layout", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(card, { minLength: 1, maxLength: 3 }), async (specs) => {
        const inventory = declaredInventory(specs, "gpu-1");
        installFakeNvidiaSmi(inventory, paths);
        const read = await reader().read();
        expect(read.inventory).toEqual(inventory);
        expect(read.lost).toEqual([]);
        // What is placed is what mig -lgi shows, GPU by GPU.
        const rows = smi("mig", "-lgi").stdout.matchAll(
          /^\|\s+(\d+)\s+MIG (\S+)\s+\d+\s+(\d+)\s+\d+:\d+\s*\|$/gm,
        );
        const shown = [...rows].map(([, gpu, profile, gi]) => [Number(gpu), profile, Number(gi)]);
        const wanted = inventory.gpus.flatMap((gpu) =>
          gpu.instances.map(({ profile, gi }) => [gpu.index, profile, gi]),
        );
        expect(shown).toEqual(wanted);
      }),
      { numRuns: 12 },
    );
  });

  const pair = () =>
    declaredInventory(
      [
        { ...H100, count: 1 },
        { ...H100, mig: ["3g.40gb", "1g.10gb"] },
      ],
      "gpu-1",
    );

  it("answers the questions that are asked on a node", () => {
    const { gpus } = pair();
    installFakeNvidiaSmi(pair(), paths);
    const [a, b] = gpus;
    expect(smi("--query-gpu=index,uuid,mig.mode.current", "--format=csv,noheader").stdout).toBe(
      `0, ${a?.uuid}, Disabled\n1, ${b?.uuid}, Enabled\n`,
    );
    const fields = "index, uuid, name, driver_version, memory.total [MiB], utilization.gpu [%]";
    expect(
      smi("--query-gpu=index,uuid,name,driver_version,memory.total,utilization.gpu", "--format=csv").stdout,
    ).toBe(
      `${fields}\n0, ${a?.uuid}, ${H100.model}, 580.159.04, 81559 MiB, 0 %\n1, ${b?.uuid}, ${H100.model}, 580.159.04, 81559 MiB, [N/A]\n`,
    );
    expect(
      smi("--query-gpu=memory.total,pci.bus_id", "--format=csv,noheader,nounits", "-i", "1").stdout,
    ).toBe("81559, 00000000:11:00.0\n");
    expect(smi("--query-gpu=index,colour", "--format=csv")).toEqual({
      status: 2,
      stdout: 'Field "colour" is not a valid field to query.\n',
    });
    expect(smi("--query-compute-apps=pid,used_memory", "--format=csv,noheader").stdout).toBe("");
    expect(smi("--polish").status).toBe(2);
    expect(smi("-q", "-x", "-i", "7")).toEqual({ status: 6, stdout: "No devices were found\n" });
    const offered = parseInstanceProfiles(smi("mig", "-lgip", "-i", "1").stdout);
    expect(offered.find(({ profile }) => profile === "1g.10gb")).toMatchObject({ free: 2, total: 7, gpu: 1 });
    expect(offered.map(({ profileId }) => profileId)).toEqual([19, 20, 15, 14, 9, 5, 0]);
    expect(smi("mig", "-lgi", "-i", "0").stdout).toBe("No MIG-enabled devices found.\n");
  });

  it("shows use, faults and loss as it is told", async () => {
    const inventory = pair();
    const [a, b] = inventory.gpus;
    installFakeNvidiaSmi(inventory, paths);
    const slice = b?.instances[1]?.uuid ?? "";
    setFakeState(
      {
        use: { [a?.uuid ?? ""]: { memoryMiB: 847, utilisation: 21 }, [slice]: { memoryMiB: 99 } },
        recovery: { [b?.uuid ?? ""]: "GPU Reset" },
      },
      paths,
    );
    const read = await reader().read();
    expect(read.readings[0]).toMatchObject({ memoryUsedMiB: 847, utilisation: 21 });
    expect(read.readings[1]?.instances.map(({ memoryUsedMiB }) => memoryUsedMiB)).toEqual([0, 99]);
    expect(read.readings.map(({ fault }) => fault)).toEqual([undefined, "the driver asks for: GPU Reset"]);
    setFakeState({ gone: [a?.uuid ?? ""] }, paths);
    const rest = await reader().read();
    expect(rest.inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([[b?.uuid, 1]]);
  });

  it("shows a container its own devices alone", () => {
    const inventory = pair();
    const [a, b] = inventory.gpus;
    installFakeNvidiaSmi(inventory, paths);
    const give = (...names: string[]) => {
      rmSync(paths.dev, { recursive: true, force: true });
      for (const name of ["nvidiactl", ...names]) {
        mkdirSync(join(paths.dev, name, ".."), { recursive: true });
        writeFileSync(join(paths.dev, name), "");
      }
    };
    const listed = () => [...smi("-L").stdout.matchAll(/UUID: (\S+)\)/g)].map(([, uuid]) => uuid);
    give("nvidia0");
    expect(listed()).toEqual([a?.uuid]);
    give("nvidia1", `nvidia-caps/nvidia-cap${gpuInstanceCap(1, 7)}`);
    expect(listed()).toEqual([b?.uuid, b?.instances[1]?.uuid]);
    expect(smi("-q", "-x").stdout).toContain("<attached_gpus>1</attached_gpus>");
    give();
    expect(smi("-L")).toEqual({ status: 6, stdout: "No devices were found\n" });
  });

  it("is installed once, replaced when the declaration changes, and never over a real one", () => {
    expect(installFakeNvidiaSmi(pair(), paths)).toBe(true);
    expect(installFakeNvidiaSmi(pair(), paths)).toBe(false);
    setFakeState({ exit: 255 }, paths);
    expect(installFakeNvidiaSmi(declaredInventory([H100], "gpu-1"), paths)).toBe(true);
    expect(existsSync(join(paths.data, "1"))).toBe(false);
    expect(smi("-L").status).toBe(255);
    removeFakeNvidiaSmi(paths);
    expect(existsSync(paths.command)).toBe(false);
    expect(existsSync(paths.data)).toBe(false);
    writeFileSync(paths.command, "#!/bin/sh\n");
    expect(() => installFakeNvidiaSmi(pair(), paths)).toThrow("is not Berth's");
    removeFakeNvidiaSmi(paths);
    expect(readFileSync(paths.command, "utf8")).toBe("#!/bin/sh\n");
  });

  it("prints tables whose lines are of one length, as the captured ones", () => {
    installFakeNvidiaSmi(
      declaredInventory([{ ...H100, mig: { "1g.10gb": 6, "1g.10gb+me": 1 } }], "gpu-1"),
      paths,
    );
    const widths = (text: string) => [
      ...new Set(
        text
          .trimEnd()
          .split("\n")
          .map((line) => line.length),
      ),
    ];
    const captured = (name: string) =>
      readFileSync(join(__dirname, "../../../fixtures/nvidia-smi", name), "utf8").trimEnd();
    expect(widths(smi("mig", "-lgip").stdout)).toEqual(widths(captured("h100/lgip.txt")));
    expect(widths(smi("mig", "-lgi").stdout)).toEqual(widths(captured("mig/lgi.txt")));
  });

  it("is a script that bash can read", () => {
    installFakeNvidiaSmi(pair(), paths);
    execFileSync("bash", ["-n", paths.command]);
  });

  it.skipIf(missing("shellcheck"))("passes shellcheck", () => {
    installFakeNvidiaSmi(pair(), paths);
    expect(shellcheck(readFileSync(paths.command, "utf8"))).toBe("");
  });
});
