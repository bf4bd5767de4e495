/**
 * CDI files of declared GPUs.
 * Proves: each unit is offered by its UUID, with device nodes numbered as the driver does; the file is written whole and
 * once.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cdiSpec, computeInstanceCap, gpuInstanceCap, writeCdiSpec } from "../../../../agent/src/inventory";
import { declaredInventory } from "../../../../core/gpu";
import { H100 } from "./cases";
import { root, rootForEachTest } from "./helpers";

rootForEachTest();

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
});
