/**
 * What the watch remembers over a restart.
 * Proves: the GPUs, what is out of use and how far the kernel log was read are known again, and no GPU is taken out twice
 * for one Xid; a file that is torn or cannot be written is told. Also: the stand-in for nvidia-smi and the watch, together.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  fakePaths,
  fileLog,
  fileMemory,
  InventoryError,
  installFakeNvidiaSmi,
  NvidiaSmi,
  type WatchMemory,
} from "../../../../agent/src/inventory";
import { declaredInventory, type Inventory } from "../../../../core/gpu";
import { setFakeState } from "../../../lib/fake-gpus";
import { H100 } from "./cases";
import { root, rootForEachTest } from "./helpers";
import { machine, node, uuidAt, without, xid } from "./watch-helpers";

rootForEachTest();

describe("after a restart", () => {
  it("the watch knows its GPUs, what is out of use, and how far the kernel log was read", async () => {
    const path = join(root, "lib/inventory.json");
    const first = machine(node(), { memory: fileMemory(path) });
    first.driver.kernel.push({ text: xid(0, 79), at: 900_000 }, { text: xid(1, 79), at: 900_000 });
    await first.watch.start();
    first.watch.unquarantine(uuidAt(node(), 1));
    const second = machine(node(), { memory: fileMemory(path) });
    second.driver.kernel = first.driver.kernel;
    // Before the first reading, and also when that one hangs.
    expect(second.watch.state.inventory.gpus.map(({ quarantined }) => quarantined)).toEqual([
      "Xid 79: it fell off the bus",
      undefined,
      undefined,
    ]);
    second.driver.shows = new InventoryError("hang", "h", "w");
    await second.watch.start();
    expect(second.watch.state.inventory.gpus).toHaveLength(3);
    expect(second.watch.state.closed).toContain("hang");
    second.driver.shows = without(node(), uuidAt(node(), 2));
    await second.watch.refresh();
    expect(second.watch.state.inventory.gpus.map(({ quarantined }) => quarantined !== undefined)).toEqual([
      true,
      false,
      true,
    ]);
  });

  it("a kernel log that begins anew does not take out again what the operator put back", async () => {
    const path = join(root, "inventory.json");
    const first = machine(node(), { memory: fileMemory(path) });
    first.driver.kernel.push({ text: xid(1, 79), at: 900_000 });
    await first.watch.start();
    first.watch.unquarantine(uuidAt(node(), 1));
    const whole = { read: async () => ({ lines: first.driver.kernel, cursor: "new" }) };
    const second = machine(node(), { memory: fileMemory(path), kernelLog: whole });
    await second.watch.start();
    expect(second.watch.state.inventory).toEqual(node());
    first.driver.kernel.push({ text: xid(1, 48), at: 2_000_000 });
    await second.watch.refresh();
    expect(second.watch.state.inventory.gpus[1]?.quarantined).toContain("Xid 48");
  });

  it("declared GPUs are forgotten on a node that has a driver now", async () => {
    const memory = fileMemory(join(root, "inventory.json"));
    const first = machine(node(), { memory });
    await first.watch.start();
    first.watch.quarantine(uuidAt(node(), 0), "x");
    const real: Inventory = { ...declaredInventory([H100], "other"), source: "nvidia-smi" };
    const second = machine(real, { memory });
    await second.watch.start();
    expect(second.watch.state.inventory).toEqual(real);
    expect(second.changes[0]?.quarantined).toEqual([]);
  });

  it("a file that is torn is moved aside, loudly", async () => {
    const path = join(root, "inventory.json");
    writeFileSync(path, '{"version":1,');
    const { watch } = machine(node(), { memory: fileMemory(path) });
    const { warnings, inventory } = await watch.start();
    expect(warnings).toEqual([
      expect.stringMatching(/inventory\.json cannot be read and is now .*\.bad; quarantines are forgotten/),
    ]);
    expect(inventory).toEqual(node());
    expect(readFileSync(`${path}.bad`, "utf8")).toBe('{"version":1,');
    expect(existsSync(path)).toBe(true);
    writeFileSync(path, JSON.stringify({ version: 2 }));
    expect(fileMemory(path).load().problem).toContain("version");
  });

  it("what could not be written is tried again, and said until it is", async () => {
    let full = true;
    const saved: unknown[] = [];
    const memory: WatchMemory = {
      load: () => ({}),
      save: (remembered) => {
        if (full) throw new Error("ENOSPC");
        saved.push(structuredClone(remembered));
      },
    };
    const { watch } = machine(node(), { memory });
    expect((await watch.start()).warnings).toEqual([
      "quarantines cannot be written down, and end with a restart: ENOSPC",
    ]);
    full = false;
    await watch.refresh();
    expect(watch.state.warnings).toEqual([]);
    expect(saved).toHaveLength(1);
  });

  it("works with the stand-in, from declaration to quarantine", async () => {
    const paths = fakePaths(root);
    const inventory = node();
    installFakeNvidiaSmi(inventory, paths);
    const smi = new NvidiaSmi({ command: paths.command, source: "declared", deadlineMs: 15_000 });
    const { watch, changes } = machine(inventory, {
      read: (known) => smi.read(known),
      kernelLog: fileLog(paths.kernelLog),
      memory: fileMemory(join(root, "inventory.json")),
    });
    expect((await watch.start()).inventory).toEqual(inventory);
    setFakeState({ xid: [{ gpu: 0, xid: 79 }], lost: [uuidAt(inventory, 1)] }, paths);
    await watch.refresh();
    expect(watch.state.inventory.gpus.map(({ quarantined }) => quarantined)).toEqual([
      "Xid 79: it fell off the bus",
      expect.stringContaining("GPU is lost"),
      undefined,
    ]);
    setFakeState({ exit: 255 }, paths);
    await watch.refresh();
    expect(watch.state.closed).toContain("ended with 255");
    setFakeState({}, paths);
    await watch.refresh();
    expect(watch.state.closed).toBeUndefined();
    expect(watch.unquarantine(uuidAt(inventory, 0)).ok && watch.unquarantine(uuidAt(inventory, 1)).ok).toBe(
      true,
    );
    expect(watch.state.inventory).toEqual(inventory);
    chmodSync(paths.command, 0o644);
    await watch.refresh();
    expect(watch.state.closed).toContain("could not be started");
    expect(changes.map(({ state }) => state.closed !== undefined)).toEqual([
      false,
      false,
      true,
      false,
      false,
      false,
      true,
    ]);
  });

  it("takes out a GPU that is lost after another was pulled", async () => {
    const inventory = declaredInventory([{ ...H100, count: 4 }], "gpu-1");
    const paths = fakePaths(root);
    installFakeNvidiaSmi(inventory, paths);
    const smi = new NvidiaSmi({ command: paths.command, source: "declared" });
    const { watch, changes } = machine(inventory, { read: (known) => smi.read(known) });
    await watch.start();
    const [a = "", b = "", c = "", d = ""] = inventory.gpus.map(({ uuid }) => uuid);
    setFakeState({ gone: [a] }, paths);
    await watch.refresh();
    setFakeState({ gone: [a], lost: [b] }, paths);
    await watch.refresh();
    const out = () => watch.state.inventory.gpus.map(({ uuid, quarantined }) => [uuid, quarantined]);
    const lost = expect.stringContaining("GPU is lost");
    expect(watch.state.closed).toBeUndefined();
    expect(changes.at(-1)?.quarantined).toEqual([{ uuid: b, reason: lost }]);
    expect(out()).toEqual([
      [a, "it is gone: nvidia-smi shows it no more"],
      [b, lost],
      [c, undefined],
      [d, undefined],
    ]);
    // One that is pulled while another cannot be reached is missed as well.
    setFakeState({ gone: [a, c], lost: [b] }, paths);
    await watch.refresh();
    expect(changes.at(-1)?.quarantined).toEqual([
      { uuid: c, reason: "it is gone: nvidia-smi shows it no more" },
    ]);
    // Put back, one that is not there is forgotten; one that still has its fault is not put back.
    expect(watch.unquarantine(a)).toEqual({ ok: true });
    expect(watch.unquarantine(b)).toMatchObject({ ok: false, reason: expect.stringContaining("still has") });
    expect(out().map(([uuid]) => uuid)).toEqual([b, c, d]);
  });
});
