/** A watch over a driver, a kernel log and a clock that the test turns. */

import {
  type InventoryChange,
  InventoryWatch,
  type InventoryWatchOptions,
  type KernelLine,
  type Reading,
  type WatchClock,
} from "../../../../agent/src/inventory";
import { type DeclaredGpu, declaredInventory, type Inventory } from "../../../../core/gpu";
import { H100 } from "./cases";

/** The GPUs of a node: two whole ones and one divided in two, unless the test says others. */
export const node = (
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
export function machine(start: Inventory, options: Partial<InventoryWatchOptions> = {}) {
  const clock = new Clock();
  const changes: InventoryChange[] = [];
  const errors: unknown[] = [];
  const driver = {
    shows: start as Inventory | Error,
    lost: [] as Reading["lost"],
    warnings: [] as string[],
    faults: {} as Record<string, string>,
    kernel: [] as KernelLine[],
    use: 0,
  };
  const watch = new InventoryWatch({
    read: async () => {
      if (driver.shows instanceof Error) throw driver.shows;
      const { shows, lost, warnings } = driver;
      return { inventory: shows, lost, warnings, readings: shows.gpus.map((gpu) => reading(gpu, driver)) };
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

/** The address of the GPU of this index, as the kernel log has it. */
export const pci = (index: number) => `0000:1${index}:00`;

/** What a healthy GPU says of itself, with the faults and the use that the driver shows. */
export function reading(
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

export const without = (inventory: Inventory, uuid: string): Inventory => ({
  ...inventory,
  gpus: inventory.gpus.filter((gpu) => gpu.uuid !== uuid),
});
export const uuidAt = (inventory: Inventory, index: number) => inventory.gpus[index]?.uuid ?? "";
/** A line of the kernel log: this Xid, of the GPU of this index. */
export const xid = (index: number, number: number, text = "pid=1") =>
  `NVRM: Xid (PCI:${pci(index)}): ${number}, ${text}`;
