/**
 * Following the GPUs, with a driver, a kernel log and a clock that the test turns.
 * Proves: only changes are told; what takes a GPU out of use and what does not; that only the operator puts it back; that
 * a driver which cannot be believed closes the node for new grants and opens it again by itself; what outlives a restart.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Inventory } from "../../../agent/src/core/model";
import {
  type DeclaredGpu,
  declaredInventory,
  fakePaths,
  fatalReason,
  fatalXids,
  fileLog,
  fileMemory,
  type InventoryChange,
  InventoryError,
  InventoryWatch,
  type InventoryWatchOptions,
  installFakeNvidiaSmi,
  type KernelLine,
  NvidiaSmi,
  parseXid,
  type Reading,
  setFakeState,
  type WatchClock,
  type WatchMemory,
} from "../../../agent/src/inventory";

const H100 = { model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559 };
const node = (
  specs: DeclaredGpu[] = [
    { ...H100, count: 2 },
    { ...H100, mig: ["1g.10gb", "3g.40gb"] },
  ],
) => declaredInventory(specs, "gpu-1");

/** Time stands until the test moves it; what is due then is called. */
class Clock implements WatchClock {
  time = 1_000_000;
  timers = new Set<{ at: number; callback: () => void }>();
  now = () => this.time;
  after = (ms: number, callback: () => void) => {
    const timer = { at: this.time + ms, callback };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  };
  get next(): number {
    return Math.min(...[...this.timers].map(({ at }) => at - this.time));
  }
  pass(ms: number): void {
    this.time += ms;
    for (const timer of [...this.timers])
      if (timer.at <= this.time) {
        this.timers.delete(timer);
        timer.callback();
      }
  }
}

/** A driver that shows this inventory, or fails so; the test changes it. */
function machine(start: Inventory, options: Partial<InventoryWatchOptions> = {}) {
  const clock = new Clock();
  const changes: InventoryChange[] = [];
  const errors: unknown[] = [];
  const driver = {
    shows: start as Inventory | Error,
    lost: [] as Reading["lost"],
    faults: {} as Record<string, string>,
    kernel: [] as KernelLine[],
    use: 0,
  };
  const watch = new InventoryWatch({
    read: async () => {
      if (driver.shows instanceof Error) throw driver.shows;
      const { shows } = driver;
      return { inventory: shows, lost: driver.lost, readings: shows.gpus.map((gpu) => reading(gpu, driver)) };
    },
    onChange: (change) => changes.push(change),
    onError: (error) => errors.push(error),
    kernelLog: {
      read: async (cursor) => ({
        lines: driver.kernel.slice(Number(cursor ?? 0)),
        cursor: String(driver.kernel.length),
      }),
    },
    clock,
    ...options,
  });
  return { clock, changes, errors, driver, watch };
}
const pci = (index: number) => `0000:1${index}:00`;
function reading(
  gpu: Inventory["gpus"][number],
  driver: { faults: Record<string, string>; use: number },
): Reading["readings"][number] {
  const fault = driver.faults[gpu.uuid];
  return {
    uuid: gpu.uuid,
    index: gpu.index,
    pci: pci(gpu.index),
    minor: gpu.index,
    migMode: "disabled",
    migModePending: "disabled",
    memoryUsedMiB: driver.use,
    utilisation: driver.use,
    temperatureC: 30,
    powerW: 70,
    processes: [],
    instances: [],
    ...(fault !== undefined && { fault }),
  };
}
const without = (inventory: Inventory, uuid: string): Inventory => ({
  ...inventory,
  gpus: inventory.gpus.filter((gpu) => gpu.uuid !== uuid),
});
const uuidAt = (inventory: Inventory, index: number) => inventory.gpus[index]?.uuid ?? "";
const xid = (index: number, number: number, text = "pid=1") =>
  `NVRM: Xid (PCI:${pci(index)}): ${number}, ${text}`;

describe("the watch", () => {
  it("tells what it found at first, then only changes; figures are no change", async () => {
    const { watch, changes, driver, clock } = machine(node());
    expect(watch.state.closed).toBe("the GPUs have not been read yet");
    const state = await watch.start();
    expect(state).toMatchObject({ inventory: node(), readAt: clock.time, warnings: [] });
    expect(state.closed).toBeUndefined();
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatchObject({ quarantined: [], restored: [], vanished: [] });
    driver.use = 50;
    await watch.refresh();
    expect(changes).toHaveLength(1);
    expect(watch.state.readings[0]?.utilisation).toBe(50);
    // Re-sliced: one instance less.
    const sliced = node([
      { ...H100, count: 2 },
      { ...H100, mig: ["3g.40gb"] },
    ]);
    driver.shows = sliced;
    await watch.refresh();
    expect(changes).toHaveLength(2);
    const gone = node().gpus[2]?.instances.filter(
      ({ uuid }) => !sliced.gpus[2]?.instances.some((i) => i.uuid === uuid),
    );
    expect(changes[1]?.vanished).toEqual(gone?.map(({ uuid }) => uuid));
    expect(changes[1]?.vanished).toHaveLength(1);
    expect(changes[1]?.quarantined).toEqual([]);
  });

  it("reads every 15 s, every 2 s for a minute after a change, and not once it is stopped", async () => {
    const { watch, driver, clock, changes } = machine(node());
    const settled = () => vi.waitFor(() => expect(clock.timers.size).toBe(1));
    await watch.start();
    expect(clock.next).toBe(15_000);
    driver.shows = without(node(), uuidAt(node(), 0));
    clock.pass(15_000);
    await settled();
    expect(changes).toHaveLength(2);
    expect(clock.next).toBe(2000);
    clock.pass(60_000);
    await settled();
    expect(clock.next).toBe(15_000);
    watch.stop();
    expect(clock.timers.size).toBe(0);
    await watch.refresh();
    expect(clock.timers.size).toBe(0);
    expect(changes).toHaveLength(2);
  });

  it("shares a reading between calls that overlap", async () => {
    let reads = 0;
    const { watch } = machine(node(), {
      read: async () => {
        reads++;
        return {
          inventory: node(),
          readings: node().gpus.map((gpu) => reading(gpu, { faults: {}, use: 0 })),
          lost: [],
        };
      },
    });
    await Promise.all([watch.start(), watch.refresh(), watch.refresh()]);
    expect(reads).toBe(1);
  });

  it("goes on when a listener throws, and says so", async () => {
    const boom = new Error("boom");
    const { watch, errors, clock } = machine(node(), {
      onChange: () => {
        throw boom;
      },
    });
    await watch.start();
    expect(errors).toEqual([boom]);
    expect(clock.next).toBe(15_000);
  });
});

describe("a GPU is put out of use", () => {
  it("when it disappears, and stays so when it comes back, until the operator says", async () => {
    const { watch, driver, changes } = machine(node());
    const lost = uuidAt(node(), 1);
    await watch.start();
    driver.shows = without(node(), lost);
    await watch.refresh();
    expect(changes[1]?.quarantined).toEqual([
      { uuid: lost, reason: "it is gone: nvidia-smi shows it no more" },
    ]);
    // It is still shown, with why; the others are as they were, and the node is open.
    const { inventory, closed } = watch.state;
    expect(closed).toBeUndefined();
    expect(inventory.gpus.map(({ index, quarantined }) => [index, quarantined !== undefined])).toEqual([
      [0, false],
      [1, true],
      [2, false],
    ]);
    driver.shows = node();
    await watch.refresh();
    expect(watch.state.inventory.gpus[1]?.quarantined).toContain("it is gone");
    expect(changes).toHaveLength(2);
    expect(watch.unquarantine(lost)).toEqual({ ok: true });
    expect(changes[2]).toMatchObject({ restored: [lost], quarantined: [] });
    expect(watch.state.inventory).toEqual(node());
    await watch.refresh();
    expect(changes).toHaveLength(3);
  });

  it("when the driver cannot reach it, by UUID or by address", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    const [a, b] = [uuidAt(node(), 0), uuidAt(node(), 1)];
    driver.shows = without(without(node(), a), b);
    driver.lost = [
      { pci: pci(0), reason: "GPU is lost" },
      { pci: "0000:77:00", uuid: b, reason: "Unknown Error" },
      { pci: "0000:78:00", reason: "GPU is lost" },
    ];
    await watch.refresh();
    expect(watch.state.inventory.gpus.map(({ quarantined }) => quarantined)).toEqual([
      "the driver cannot reach it: GPU is lost",
      "the driver cannot reach it: Unknown Error",
      undefined,
    ]);
    expect(watch.state.warnings).toEqual([
      "the GPU at 0000:78:00 cannot be reached, and was never read: GPU is lost",
    ]);
    expect(watch.unquarantine(a)).toEqual({
      ok: false,
      reason: `${a} still has the fault: the driver cannot reach it: GPU is lost. Reset or replace it first`,
    });
  });

  it("when the driver calls it unusable, for as long as it does", async () => {
    const { watch, driver } = machine(node());
    const bad = uuidAt(node(), 0);
    driver.faults = { [bad]: "the driver asks for: GPU Reset" };
    await watch.start();
    expect(watch.state.inventory.gpus[0]?.quarantined).toBe("the driver asks for: GPU Reset");
    expect(watch.unquarantine(bad).ok).toBe(false);
    driver.faults = {};
    await watch.refresh();
    expect(watch.state.inventory.gpus[0]?.quarantined).toBeDefined();
    expect(watch.unquarantine(bad).ok).toBe(true);
    expect(watch.unquarantine(bad)).toEqual({ ok: false, reason: `${bad} is not out of use` });
  });

  it("when the kernel log has a fatal Xid for its address, once", async () => {
    const { watch, driver, changes } = machine(node());
    await watch.start();
    driver.kernel.push({ text: xid(1, 79, "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.") });
    driver.kernel.push({ text: xid(1, 119) });
    await watch.refresh();
    // The first is the cause.
    expect(changes[1]?.quarantined).toEqual([
      { uuid: uuidAt(node(), 1), reason: "Xid 79: it fell off the bus" },
    ]);
    expect(watch.unquarantine(uuidAt(node(), 1)).ok).toBe(true);
    await watch.refresh();
    expect(watch.state.inventory).toEqual(node());
    driver.kernel.push({ text: xid(7, 95) });
    await watch.refresh();
    expect(watch.state.warnings[0]).toContain("Xid 95");
    expect(watch.state.warnings[0]).toContain("0000:17:00 that is not known");
    expect(watch.state.inventory).toEqual(node());
  });

  it("and not for what one program did, nor for what the driver repaired", async () => {
    const { watch, driver, changes } = machine(node());
    for (const number of [13, 31, 43, 45, 63, 69, 92, 94, 109, 155])
      driver.kernel.push({ text: xid(0, number) });
    driver.kernel.push({
      text: xid(0, 154, "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"),
    });
    driver.kernel.push({ text: "usb 1-1: new device" });
    await watch.start();
    expect(watch.state.inventory).toEqual(node());
    expect(changes).toHaveLength(1);
  });

  it("by hand, too", async () => {
    const { watch, changes } = machine(node());
    await watch.start();
    expect(watch.quarantine("GPU-none", "x")).toBe(false);
    expect(watch.quarantine(uuidAt(node(), 0), "strange noises")).toBe(true);
    expect(changes[1]?.quarantined).toEqual([{ uuid: uuidAt(node(), 0), reason: "strange noises" }]);
  });

  it("and forgotten when the operator puts back one that is not there, or declares another set", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    const [a, b] = [uuidAt(node(), 0), uuidAt(node(), 1)];
    driver.shows = without(node(), a);
    await watch.refresh();
    expect(watch.unquarantine(a)).toEqual({ ok: true });
    expect(watch.state.inventory.gpus.map(({ uuid }) => uuid)).not.toContain(a);
    const declared = without(without(node(), a), b);
    driver.shows = declared;
    watch.retain(declared.gpus.map(({ uuid }) => uuid));
    await watch.refresh();
    expect(watch.state.inventory).toEqual(declared);
  });
});

describe("a driver that cannot be believed", () => {
  it.each(["hang", "exit", "garbage", "missing"] as const)(
    "(%s) closes the node; the next good reading opens it",
    async (code) => {
      const { watch, driver, changes, clock } = machine(node());
      await watch.start();
      const { readAt } = watch.state;
      clock.time += 5000;
      driver.shows = new InventoryError(code, "nvidia-smi -q -x did not end", "nvidia-smi -q -x");
      await watch.refresh();
      expect(watch.state).toMatchObject({
        inventory: node(),
        readAt,
        closed: `nvidia-smi cannot be believed (${code}): nvidia-smi -q -x did not end`,
      });
      expect(changes).toHaveLength(2);
      expect(clock.next).toBe(2000);
      await watch.refresh();
      expect(changes).toHaveLength(2);
      expect(watch.unquarantine(uuidAt(node(), 0)).ok).toBe(false);
      driver.shows = node();
      await watch.refresh();
      expect(watch.state.closed).toBeUndefined();
      expect(changes).toHaveLength(3);
      expect(changes[2]?.quarantined).toEqual([]);
    },
  );

  it("does not put a GPU back while its state is not known", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    watch.quarantine(uuidAt(node(), 0), "x");
    driver.shows = new InventoryError("hang", "h", "w");
    await watch.refresh();
    expect(watch.unquarantine(uuidAt(node(), 0))).toEqual({
      ok: false,
      reason: expect.stringContaining("not known"),
    });
  });

  it("is no trouble on a machine that never had a GPU", async () => {
    const { watch, driver } = machine(node());
    driver.shows = new InventoryError("missing", "nvidia-smi is not installed", "nvidia-smi");
    const state = await watch.start();
    expect(state.inventory).toEqual({ source: "none", gpus: [] });
    expect(state.closed).toBeUndefined();
  });

  it("closes at the first reading, and for an error of another kind, loudly", async () => {
    const { watch, driver, errors } = machine(node());
    driver.shows = new TypeError("bug");
    expect((await watch.start()).closed).toBe("the GPUs cannot be read: bug");
    expect(errors).toEqual([driver.shows]);
  });

  it("closes when all GPUs are away at once, and takes them for gone after a minute", async () => {
    const { watch, driver, clock, changes } = machine(node());
    await watch.start();
    const empty: Inventory = { source: "declared", gpus: [] };
    driver.shows = empty;
    await watch.refresh();
    expect(watch.state).toMatchObject({
      inventory: node(),
      closed: expect.stringContaining("no GPU at all"),
    });
    clock.time += 30_000;
    driver.shows = node();
    await watch.refresh();
    expect(watch.state.closed).toBeUndefined();
    expect(watch.state.inventory).toEqual(node());
    driver.shows = empty;
    await watch.refresh();
    clock.time += 59_999;
    await watch.refresh();
    expect(changes.flatMap(({ quarantined }) => quarantined)).toEqual([]);
    clock.time += 1;
    await watch.refresh();
    expect(watch.state.closed).toBeUndefined();
    expect(changes.at(-1)?.quarantined.map(({ uuid }) => uuid)).toEqual(node().gpus.map(({ uuid }) => uuid));
  });

  it("does not keep a fatal Xid from being seen, and a kernel log that fails closes nothing", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    driver.shows = new InventoryError("hang", "h", "w");
    driver.kernel.push({ text: xid(2, 79) });
    await watch.refresh();
    expect(watch.state.inventory.gpus[2]?.quarantined).toContain("Xid 79");
    const deaf = machine(node(), {
      kernelLog: {
        read: async () => {
          throw new Error("no journal");
        },
      },
    });
    const state = await deaf.watch.start();
    expect(state.closed).toBeUndefined();
    expect(state.warnings).toEqual([
      "the kernel log cannot be read, so a fatal Xid may be missed: no journal",
    ]);
  });
});

describe("after a restart", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-inventory-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

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
});

describe("Xid lines", () => {
  it.each([
    [
      "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
      "0000:3b:00",
      79,
    ],
    ["[ 12.5] NVRM: Xid (PCI:0000:86:00 GPU-I:05): 94, pid=12, Contained", "0000:86:00", 94],
    ["NVRM: Xid (PCI:0008:01:00.0): 119, Timeout", "0008:01:00", 119],
    ["NVRM: Xid (0000:03:00): 13, 0001", "0000:03:00", 13],
    ["NVRM: Xid (PCI:0000:0A:00): 48", "0000:0a:00", 48],
  ])("%s", (line, pci, number) => {
    expect(parseXid(line)).toMatchObject({ pci, xid: number });
  });

  it("are no others", () => {
    for (const line of [
      "NVRM: GPU 0000:01:00.0: RmInitAdapter failed!",
      "NVRM: Xid (PCI:zz): 79",
      "Xid 79",
      "",
    ])
      expect(parseXid(line)).toBeUndefined();
  });

  it("are fatal by NVIDIA's catalogue, and by what the driver asks for", () => {
    const reason = (xid: number, detail = "") => fatalReason({ pci: pci(0), xid, detail });
    expect([...fatalXids.keys()]).toEqual([
      46, 48, 54, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 151, 156, 158,
    ]);
    for (const number of fatalXids.keys()) expect(reason(number)).toContain(`Xid ${number}: `);
    const asks = (action: string) =>
      reason(154, `GPU recovery action changed from 0x0 (None) to 0x2 (${action})`);
    expect(asks("Node Reboot Required")).toBe("Xid 154: the driver asks for: Node Reboot Required");
    expect(asks("Drain and Reset")).toBeDefined();
    expect(asks("None")).toBeUndefined();
    expect(asks("Drain P2P")).toBeUndefined();
    expect(reason(154, "words")).toBeUndefined();
  });
});
