/**
 * GPUs that were declared, or seen, and that the configuration has no more.
 * Proves: berthd forgets them when it starts without them, so that the node grants and updates on; nothing that somebody
 * holds is taken away by the files: their check names the holder before anything is placed. Real files and the real
 * start of the inventory; that the stage asks: test/process/agent-stage.test.ts.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkConfig } from "../../../../agent/src/check";
import { openInventory } from "../../../../agent/src/gpus";
import {
  fakePaths,
  fileMemory,
  InventoryError,
  installFakeNvidiaSmi,
  removeFakeNvidiaSmi,
} from "../../../../agent/src/inventory";
import { makeLog } from "../../../../agent/src/log";
import { agentPaths } from "../../../../agent/src/paths";
import { type DeclaredGpu, declaredInventory, type Grant, type Inventory } from "../../../../core/gpu";
import { H100 } from "../../agent/inventory/cases";
import { root, rootForEachTest } from "../../agent/inventory/helpers";
import { machine, node, uuidAt, xid } from "../../agent/inventory/watch-helpers";

rootForEachTest();

function write(path: string, value: unknown): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(value));
  return path;
}

/** Starts the inventory of a node that declares these, as the stage leaves it, and reads it once. */
async function started(gpus: DeclaredGpu[] | undefined) {
  const paths = agentPaths(root);
  const fake = fakePaths(root);
  if (gpus) {
    write(paths.gpusFile, { node: "gpu-1", gpus });
    installFakeNvidiaSmi(declaredInventory(gpus, "gpu-1"), fake);
  } else {
    rmSync(paths.gpusFile, { force: true });
    removeFakeNvidiaSmi(fake);
  }
  const { PATH } = process.env;
  // What the stand-in needs, and no driver, wherever the test runs.
  const bin = join(root, "bin");
  mkdirSync(bin, { recursive: true });
  for (const name of ["cat", "grep", "sleep"])
    if (!existsSync(join(bin, name))) symlinkSync(`/bin/${name}`, join(bin, name));
  process.env.PATH = bin;
  const opened = openInventory(paths, makeLog("silent"));
  try {
    const { problem, inventory } = (await opened.refresh()) ?? {};
    return { problem, source: inventory?.source, gpus: inventory?.gpus.map(({ uuid }) => uuid) };
  } finally {
    process.env.PATH = PATH;
    await opened.close();
  }
}

describe("a node without a driver", () => {
  it("is well once its declared GPUs are taken out, and when they come back", async () => {
    const gpus = [{ ...H100, count: 2, mig: ["1g.10gb"] }];
    const uuids = declaredInventory(gpus, "gpu-1").gpus.map(({ uuid }) => uuid);
    expect(await started(gpus)).toEqual({ problem: undefined, source: "declared", gpus: uuids });
    expect(await started(undefined)).toEqual({ problem: undefined, source: "none", gpus: [] });
    expect(await started(undefined)).toEqual({ problem: undefined, source: "none", gpus: [] });
    expect(await started(gpus)).toEqual({ problem: undefined, source: "declared", gpus: uuids });
    // Some of them alone.
    expect(await started([{ ...H100, mig: ["1g.10gb"] }])).toMatchObject({ gpus: uuids.slice(0, 1) });
    expect(await started([])).toMatchObject({ problem: undefined, gpus: [] });
  });
});

describe("what is remembered of declared GPUs", () => {
  it.each<[string, Inventory | Error, Inventory["gpus"]]>([
    ["no driver", new InventoryError("missing", "nvidia-smi is not installed", "nvidia-smi"), []],
    [
      "a driver with others",
      { ...declaredInventory([H100], "other"), source: "nvidia-smi" },
      declaredInventory([H100], "other").gpus,
    ],
    ["a driver without GPUs", { source: "nvidia-smi", gpus: [] }, []],
  ])("is forgotten with its quarantines on a node that has %s", async (_, shows, gpus) => {
    const memory = fileMemory(join(root, "seen.json"));
    const first = machine(node(), { memory });
    first.driver.kernel.push({ text: xid(0, 79) });
    await first.watch.start();
    first.watch.quarantine(uuidAt(node(), 1), "by hand");
    const cursors: (string | undefined)[] = [];
    const kernelLog = {
      read: async (cursor?: string) => {
        cursors.push(cursor);
        return { lines: [], cursor: "c1" };
      },
    };
    const second = machine(node(), { memory, kernelLog });
    second.driver.shows = shows;
    second.watch.settle(undefined);
    const state = await second.watch.start();
    expect(state.closed).toBeUndefined();
    expect(state.inventory.gpus).toEqual(gpus);
    // The other log's place says nothing of this one.
    expect(cursors).toEqual([undefined]);
    expect(fileMemory(join(root, "seen.json")).load().remembered).toMatchObject({ quarantine: {} });
  });

  it("is not, of GPUs that a driver showed: a driver that is gone is a fault", async () => {
    const memory = fileMemory(join(root, "seen.json"));
    const real: Inventory = { ...node(), source: "nvidia-smi" };
    await machine(real, { memory }).watch.start();
    const { watch, driver } = machine(real, { memory });
    driver.shows = new InventoryError("missing", "nvidia-smi is not installed", "nvidia-smi");
    watch.settle(undefined);
    const state = await watch.start();
    expect(state.closed).toContain("nvidia-smi cannot be believed (missing)");
    expect(state.inventory.gpus).toHaveLength(3);
  });

  it("makes way for declared ones where a driver showed others before", async () => {
    const memory = fileMemory(join(root, "seen.json"));
    await machine({ ...declaredInventory([H100], "other"), source: "nvidia-smi" }, { memory }).watch.start();
    const { watch } = machine(node(), { memory });
    watch.settle(node().gpus.map(({ uuid }) => uuid));
    expect((await watch.start()).inventory).toEqual(node());
  });
});

describe("the check of the files", () => {
  const halves: DeclaredGpu[] = [{ ...H100, mig: ["3g.40gb", "3g.40gb"] }, { ...H100 }];
  const now = declaredInventory(halves, "gpu-1");
  const held = (index: number, more: Partial<Grant> = {}): Grant => {
    const gpu = now.gpus[index];
    const uuid = gpu?.instances[0]?.uuid ?? gpu?.uuid ?? "";
    const unit = { uuid, gpu: gpu?.uuid ?? "", name: gpu?.mig ? `${index}:0` : `${index}`, model: "H100" };
    return {
      ...{ id: "g1", token: 1, user: "alice", group: "student", ask: { kind: "mig", count: 1 } },
      units: [{ ...unit, memoryMiB: 1, shared: false }],
      ...{ state: "bound", purpose: "work", createdAt: 1, ...more },
    };
  };
  function checked(gpus: DeclaredGpu[] | undefined, grants: Grant[], inventory = now): string[] {
    const paths = agentPaths(root);
    write(paths.nodeFile, {
      ...{ stack: "dev", node: "gpu-1", strategy: "pack", allocation: "exclusive", users: [] },
      ...{ listen: "loopback", port: 9700 },
    });
    if (gpus) write(paths.gpusFile, { node: "gpu-1", gpus });
    else rmSync(paths.gpusFile, { force: true });
    return checkConfig(paths, write(join(root, "pool.json"), { assignment: {}, inventory, grants }));
  }

  it.each<[string, DeclaredGpu[] | undefined, Grant]>([
    ["all are taken out, and one is held", undefined, held(0)],
    [
      "all are taken out, and a whole one is kept for a stopped container",
      undefined,
      held(1, { state: "held" }),
    ],
    ["the last is taken out, and held", halves.slice(0, 1), held(1)],
    ["none is left", [], held(0, { state: "reserved", key: "workspace/alice" })],
    ["it is another model's", [{ ...H100, model: "NVIDIA H200", mig: [] }, H100], held(0)],
  ])("refuses when %s, and says who holds it", (_, gpus, grant) => {
    const [problem, ...more] = checked(gpus, [grant]);
    expect(problem).toMatch(
      /^GPU [01] \(GPU-.*\) is no longer declared, and alice \((g1|workspace\/alice)\) holds [01]/,
    );
    expect(problem).toContain("declare it as before, take those grants out of the stack");
    expect(problem).toContain("run it, then take the GPU out");
    expect(more).toEqual([]);
  });

  it("refuses when one is divided otherwise, and says who holds it", () => {
    const [problem] = checked([{ ...H100, mig: ["7g.80gb"] }, H100], [held(0)]);
    expect(problem).toContain("is to be divided into 1 × 7g.80gb, and alice (g1) holds 0:0");
  });

  it("takes what nobody holds, what stays, and what is a driver's", () => {
    expect(checked(undefined, [])).toEqual([]);
    expect(checked(undefined, [held(0, { state: "released" })])).toEqual([]);
    expect(checked(halves, [held(0), held(1)])).toEqual([]);
    expect(checked(halves.slice(0, 1), [held(0)])).toEqual([]);
    expect(checked(undefined, [held(0)], { ...now, source: "nvidia-smi" })).toEqual([]);
  });

  it("refuses an answer that does not say who holds what", () => {
    const paths = agentPaths(root);
    checked(halves, []);
    expect(checkConfig(paths, write(join(root, "pool.json"), { error: "x" }))).toEqual([
      expect.stringContaining("pool.json does not say who holds which GPU"),
    ]);
  });
});
