/**
 * Declared GPUs: what the stack's words become, and the stand-in for nvidia-smi that speaks for them, run for real.
 * Proves: UUIDs that stay; layouts that cannot be are refused; declared -> stand-in -> our parser gives the same inventory,
 * for layouts at random; a container sees what it was given; CDI files and what is missing from them.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  cdiDevice,
  cdiSpec,
  computeInstanceCap,
  type DeclaredGpu,
  declaredInventory,
  type FakePaths,
  fakePaths,
  gpuInstanceCap,
  installFakeNvidiaSmi,
  migModelOf,
  missingFromCdi,
  NvidiaSmi,
  parseGpuInstances,
  parseInstanceProfiles,
  placeInstances,
  readCdiDevices,
  readDeclared,
  removeFakeNvidiaSmi,
  setFakeState,
  writeCdiSpec,
} from "../../../agent/src/inventory";
import { fitsModel, MIG_MODELS } from "../../../config/mig-profiles";

const H100 = { model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559 };
/** A GPU of each model of the table, as the driver names it. */
const CARDS: Record<string, { model: string; memoryMiB: number }> = {
  "A100 40GB": { model: "NVIDIA A100-SXM4-40GB", memoryMiB: 40960 },
  "A100 80GB": { model: "NVIDIA A100 80GB PCIe", memoryMiB: 81920 },
  A30: { model: "NVIDIA A30", memoryMiB: 24576 },
  "H100 80GB": H100,
  "H100 94GB": { model: "NVIDIA H100 NVL", memoryMiB: 95830 },
  "H100 96GB": { model: "NVIDIA GH200 480GB", memoryMiB: 97871 },
  "H200 141GB": { model: "NVIDIA H200", memoryMiB: 143771 },
  B200: { model: "NVIDIA B200", memoryMiB: 183359 },
  GB200: { model: "NVIDIA GB200", memoryMiB: 189471 },
  "GH200 144GB": { model: "NVIDIA GH200 144G HBM3e", memoryMiB: 146831 },
  B300: { model: "NVIDIA B300 SXM6 AC", memoryMiB: 275040 },
  GB300: { model: "NVIDIA GB300", memoryMiB: 284208 },
};

let root = "";
let paths: FakePaths;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "berth-inventory-"));
  paths = fakePaths(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const smi = (...args: string[]) => {
  const { status, stdout } = spawnSync(paths.command, args, { encoding: "utf8" });
  return { status, stdout };
};
const reader = () => new NvidiaSmi({ command: paths.command, source: "declared" });

describe("the model of a GPU", () => {
  it.each(Object.entries(CARDS))("is %s for its card's name and memory", (name, { model, memoryMiB }) => {
    expect(migModelOf(model, memoryMiB)?.name).toBe(name);
  });
  it("covers the whole table, and no GPU without MIG", () => {
    expect(Object.keys(CARDS)).toEqual(MIG_MODELS.map(({ name }) => name));
    expect(migModelOf("NVIDIA L40S", 46068)).toBeUndefined();
    expect(migModelOf("NVIDIA GeForce RTX 4090", 24564)).toBeUndefined();
    expect(migModelOf("NVIDIA A3000", 6144)).toBeUndefined();
  });
});

describe("declared GPUs", () => {
  it("become an inventory as the driver would show it", () => {
    const inventory = declaredInventory(
      [
        { ...H100, count: 2, nvlink: true },
        { ...H100, mig: { "1g.10gb": 2, "3g.40gb": 1 } },
      ],
      "gpu-1",
    );
    expect(inventory).toMatchObject({ source: "declared", driver: "580.159.04" });
    const [a, b, c] = inventory.gpus;
    expect(inventory.gpus.map(({ index, mig, memoryMiB }) => [index, mig, memoryMiB])).toEqual([
      [0, false, 81559],
      [1, false, 81559],
      [2, true, 81559],
    ]);
    expect([a?.nvlink, b?.nvlink, c?.nvlink]).toEqual([[b?.uuid], [a?.uuid], []]);
    for (const { uuid } of inventory.gpus)
      expect(uuid).toMatch(/^GPU-[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    // A half is instance 1, eighths are 7 and up: as the driver numbers them.
    expect(c?.instances.map(({ profile, gi, ci }) => [profile, gi, ci])).toEqual([
      ["3g.40gb", 1, 0],
      ["1g.10gb", 7, 0],
      ["1g.10gb", 8, 0],
    ]);
    expect(c?.instances.map(({ memoryMiB }) => memoryMiB)).toEqual([40576, 9984, 9984]);
  });

  it("keep their UUIDs when something else changes, and no two are alike", () => {
    const uuids = (specs: DeclaredGpu[], node = "gpu-1") =>
      declaredInventory(specs, node).gpus.flatMap((gpu) => [
        gpu.uuid,
        ...gpu.instances.map(({ uuid }) => uuid),
      ]);
    const mixed: DeclaredGpu[] = [{ ...H100, mig: ["1g.10gb", "3g.40gb", "1g.10gb"] }];
    const before = uuids(mixed);
    expect(uuids([{ ...H100, mig: ["3g.40gb", "1g.10gb", "1g.10gb"] }])).toEqual(before);
    expect(uuids([...mixed, { ...H100, count: 3 }]).slice(0, before.length)).toEqual(before);
    // One more slice: those that were there stay.
    expect(uuids([{ ...H100, mig: { "3g.40gb": 1, "1g.10gb": 3 } }])).toEqual(expect.arrayContaining(before));
    const all = [...before, ...uuids(mixed, "gpu-2"), ...uuids([{ ...H100, count: 8 }], "gpu-3")];
    expect(new Set(all).size).toBe(all.length);
  });

  it.each<[string, DeclaredGpu[], string]>([
    [
      "a profile of another GPU",
      [{ ...H100, mig: ["1g.5gb"] }],
      "gpus[0].mig has 1g.5gb, which H100 80GB does not offer; it offers 1g.10gb, ",
    ],
    ["too many instances", [{ ...H100, mig: { "1g.10gb": 8 } }], "at most 7 × 1g.10gb"],
    ["halves and more", [{ ...H100, mig: ["4g.40gb", "4g.40gb"] }], "at most 1 × 4g.40gb"],
    [
      "MIG on a GPU without it",
      [{ model: "NVIDIA L40S", memoryMiB: 46068, mig: [] }],
      "no GPU that can be divided",
    ],
    ["no memory", [{ model: "X", memoryMiB: 0 }], "gpus[0].memoryMiB"],
    [
      "more than a machine has",
      [
        { ...H100, count: 40 },
        { ...H100, count: 40 },
      ],
      "80 GPUs; allowed are 64",
    ],
  ])("refuse %s", (_, specs, message) => {
    expect(() => declaredInventory(specs, "gpu-1")).toThrow(message);
  });

  it("tell all problems at once", () => {
    const bad = () =>
      declaredInventory(
        [
          { ...H100, mig: ["1g.5gb"] },
          { ...H100, mig: { "7g.80gb": 2 } },
        ],
        "n",
      );
    expect(bad).toThrow(/gpus\[0\]\.mig has[\s\S]*gpus\[1\]\.mig does not fit/);
  });

  it("are read from the node's file", () => {
    const file = join(root, "gpus.json");
    expect(readDeclared(file)).toBeUndefined();
    writeFileSync(file, JSON.stringify({ node: "gpu-1", gpus: [{ ...H100, count: 2 }] }));
    expect(readDeclared(file)).toEqual(declaredInventory([{ ...H100, count: 2 }], "gpu-1"));
    writeFileSync(file, JSON.stringify({ node: "gpu-1", gpus: [{ ...H100, memory: 5 }] }));
    expect(() => readDeclared(file)).toThrow(/gpus\.json:\n- gpus\.0: .*memory/);
    writeFileSync(file, "{");
    expect(() => readDeclared(file)).toThrow(/gpus\.json is no JSON/);
  });
});

describe("places of instances", () => {
  it("agree with the table on what fits, overlap nowhere, and do not depend on the order", () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom(...MIG_MODELS)
          .chain((model) =>
            fc.tuple(
              fc.constant(model),
              fc.array(fc.constantFrom(...Object.keys(model.profiles)), { maxLength: 9 }),
            ),
          ),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        ([model, profiles], random) => {
          const counts: Record<string, number> = {};
          for (const profile of profiles) counts[profile] = (counts[profile] ?? 0) + 1;
          const places = placeInstances(model, profiles);
          expect(places !== undefined).toBe(fitsModel(model, counts));
          const shuffled = profiles
            .map((profile) => ({ profile, key: random.next().value }))
            .sort((a, b) => a.key - b.key)
            .map(({ profile }) => profile);
          expect(placeInstances(model, shuffled)).toEqual(places);
          if (!places) return;
          const slices = places.flatMap(({ start, size }) =>
            Array.from({ length: size }, (_, i) => start + i),
          );
          expect(new Set(slices).size).toBe(slices.length);
          expect(new Set(places.map(({ gi }) => gi)).size).toBe(places.length);
          expect(places.map(({ profile }) => profile).sort()).toEqual([...profiles].sort());
          for (const { profile, start } of places) expect(model.profiles[profile]?.starts).toContain(start);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

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
        const rows = parseGpuInstances(smi("mig", "-lgi").stdout);
        const shown = rows.map(({ gpu, profile, gi }) => [gpu, profile, gi]);
        const wanted = inventory.gpus.flatMap((gpu) =>
          gpu.instances.map(({ profile, gi }) => [gpu.index, profile, gi]),
        );
        expect(shown).toEqual(wanted);
      }),
      { numRuns: 12 },
    );
  }, 60_000);

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
      readFileSync(join(__dirname, "../../fixtures/nvidia-smi", name), "utf8").trimEnd();
    expect(widths(smi("mig", "-lgip").stdout)).toEqual(widths(captured("h100/lgip.txt")));
    expect(widths(smi("mig", "-lgi").stdout)).toEqual(widths(captured("mig/lgi.txt")));
  });

  const shellcheck = spawnSync("shellcheck", ["--version"]).status === 0;
  it(shellcheck ? "is a script that passes shellcheck" : "NOT CHECKED by shellcheck", (context) => {
    installFakeNvidiaSmi(pair(), paths);
    execFileSync("bash", ["-n", paths.command]);
    if (!shellcheck) {
      console.warn("shellcheck is not installed: the stand-in for nvidia-smi was NOT checked by it");
      context.skip("shellcheck is not installed");
    }
    expect(spawnSync("shellcheck", ["-f", "gcc", paths.command], { encoding: "utf8" }).stdout).toBe("");
  });
});

describe("CDI", () => {
  const inventory = declaredInventory(
    [
      { ...H100, count: 1 },
      { ...H100, mig: { "1g.10gb": 7 } },
    ],
    "gpu-1",
  );

  it("offers each unit by its UUID, with device nodes of its own", () => {
    const spec = cdiSpec(inventory, {
      command: "/usr/local/bin/nvidia-smi",
      data: "/usr/local/lib/berth/declared-gpus",
    });
    const [whole, divided] = inventory.gpus;
    expect(spec).toMatchObject({ cdiVersion: "0.6.0", kind: "nvidia.com/gpu" });
    // A GPU in MIG mode is no unit, and nothing is called `all`.
    expect(spec.devices.map(({ name }) => name)).toEqual([
      whole?.uuid,
      ...(divided?.instances.map(({ uuid }) => uuid) ?? []),
    ]);
    const nodes = spec.devices.map(
      ({ containerEdits }) => containerEdits.deviceNodes?.map(({ path }) => path) ?? [],
    );
    expect(nodes[0]).toEqual(["/dev/nvidia0"]);
    expect(nodes[1]).toEqual([
      "/dev/nvidia1",
      "/dev/nvidia-caps/nvidia-cap201",
      "/dev/nvidia-caps/nvidia-cap202",
    ]);
    const caps = nodes.slice(1).flatMap((paths) => paths.slice(1));
    expect(new Set(caps).size).toBe(14);
    for (const device of spec.devices)
      for (const { hostPath } of device.containerEdits.deviceNodes ?? []) expect(hostPath).toBe("/dev/null");
    expect(spec.containerEdits.env).toEqual(["NVIDIA_VISIBLE_DEVICES=void"]);
    expect(spec.containerEdits.mounts?.map(({ containerPath }) => containerPath)).toContain(
      "/usr/bin/nvidia-smi",
    );
    expect(() => cdiSpec({ ...inventory, source: "nvidia-smi" })).toThrow("nvidia-ctk");
  });

  it("numbers capability devices as the driver does", () => {
    // From /proc/driver/nvidia-caps/mig-minors: gpu0/gi0/access 3, gi0/ci0 4, gi1 12, gpu1/gi0 138.
    expect([
      gpuInstanceCap(0, 0),
      computeInstanceCap(0, 0, 0),
      gpuInstanceCap(0, 1),
      gpuInstanceCap(1, 0),
    ]).toEqual([3, 4, 12, 138]);
  });

  it("is written whole, once, and taken away", () => {
    const file = join(root, "etc/cdi/berth-declared.json");
    expect(writeCdiSpec(cdiSpec(inventory), root)).toBe(true);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(cdiSpec(inventory));
    expect(writeCdiSpec(cdiSpec(inventory), root)).toBe(false);
    expect(readdirSync(join(root, "etc/cdi"))).toEqual(["berth-declared.json"]);
    expect(writeCdiSpec(undefined, root)).toBe(true);
    expect(writeCdiSpec(undefined, root)).toBe(false);
    // The format wants a device at least: a MIG GPU without instances has none.
    expect(writeCdiSpec(cdiSpec(declaredInventory([{ ...H100, mig: [] }], "n")), root)).toBe(false);
    expect(existsSync(file)).toBe(false);
  });

  it("says which granted units no specification offers", () => {
    writeCdiSpec(cdiSpec(inventory), root);
    mkdirSync(join(root, "var/run/cdi"), { recursive: true });
    const real = "GPU-11111111-2222-3333-4444-555555555555";
    writeFileSync(
      join(root, "var/run/cdi/nvidia.yaml"),
      `cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: "0"\n  containerEdits: {}\n- name: 1\n- name: ${real}\n`,
    );
    writeFileSync(join(root, "etc/cdi/torn.json"), "{");
    writeFileSync(join(root, "etc/cdi/README"), "no specification");
    const { devices, problems } = readCdiDevices(root);
    expect(problems).toEqual([expect.stringContaining("/etc/cdi/torn.json: SyntaxError")]);
    expect(devices.has("nvidia.com/gpu=0")).toBe(true);
    expect(devices.has("nvidia.com/gpu=1")).toBe(true);
    const [whole] = inventory.gpus;
    const units = [{ uuid: whole?.uuid ?? "" }, { uuid: real }, { uuid: "MIG-gone" }];
    expect(missingFromCdi(units, devices)).toEqual(["nvidia.com/gpu=MIG-gone"]);
    expect(cdiDevice({ uuid: "MIG-gone" })).toBe("nvidia.com/gpu=MIG-gone");
    expect(readCdiDevices(join(root, "nowhere"))).toEqual({ devices: new Set(), problems: [] });
  });
});
