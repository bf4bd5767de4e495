/**
 * A GPU whose memory the driver does not say: a GB10, whose memory is the machine's.
 * Proves: it is read, and those beside it; it is granted whole, never as a share or by its memory; queue, previews and
 * `berth` go on with it; a size that is missing once is the one from before.
 */
import { describe, expect, it } from "vitest";
import { gpuMemory } from "../../../../agent/src/cli/text";
import { NvidiaSmi, parseNvidiaSmi } from "../../../../agent/src/inventory";
import { unitLine } from "../../../../components/gpu/units";
import {
  type Ask,
  type Grant,
  type Inventory,
  Occupancy,
  queueOrder,
  type Refusal,
  type Waiting,
} from "../../../../core/gpu";
import { gpu, h100MiB, node } from "../../../lib/core-node";
import { answers, fixture } from "../../agent/inventory/helpers";
import { node as declared, machine } from "../../agent/inventory/watch-helpers";

const H100 = fixture("h100/q.xml");
const ONE = "GPU-11111111-2222-3333-4444-555555555555";
const GB10 = "GPU-2dee1e25-b3b5-007e-2b55-79f2d0f2ebe5";
const MEMORY = /<fb_memory_usage>[\s\S]*?<\/fb_memory_usage>/;
const none = ["total", "reserved", "used", "free"].map((name) => `<${name}>N/A</${name}>`).join("");
/** As a DGX Spark shows it, in words of drivers 580 (`N/A`) and in others that say as little. */
const forms: [string, string][] = [
  ["each N/A", `<fb_memory_usage>${none}</fb_memory_usage>`],
  ["each in brackets", `<fb_memory_usage>${none.replaceAll("N/A", "[N/A]")}</fb_memory_usage>`],
  ["Not Supported", `<fb_memory_usage>${none.replaceAll("N/A", "Not Supported")}</fb_memory_usage>`],
  ["N/A for all", "<fb_memory_usage>N/A</fb_memory_usage>"],
  ["nothing", ""],
  ["0", `<fb_memory_usage>${none.replaceAll("N/A", "0 MiB")}</fb_memory_usage>`],
];
const spark = (memory: string) =>
  H100.replace(MEMORY, memory)
    .replace("NVIDIA H100 80GB HBM3", "NVIDIA GB10")
    .replace("00000000:00:06.0", "0000000F:01:00.0")
    .replace(ONE, GB10);

describe("nvidia-smi that says no memory", () => {
  it.each(forms)("shows a whole GPU: %s", async (_, memory) => {
    const xml = spark(memory);
    expect(parseNvidiaSmi(xml)).toMatchObject({
      inventory: { gpus: [{ uuid: GB10, model: "NVIDIA GB10", memoryMiB: 0, mig: false }] },
      readings: [{ pci: "000f:01:00", utilisation: 0, powerW: 74.12 }],
      lost: [],
      warnings: [],
    });
    const [before = "", rest = ""] = xml.split("</nvidia_smi_log>");
    const other = /\t<gpu id[\s\S]*<\/gpu>\n/.exec(H100)?.[0] ?? "";
    const both = `${before}${other}</nvidia_smi_log>${rest}`.replace("<attached_gpus>1", "<attached_gpus>2");
    const list = `GPU 0: NVIDIA GB10 (UUID: ${GB10})\nGPU 1: NVIDIA L40S (UUID: ${ONE})\n`;
    const { exec } = answers({
      "-q -x": both,
      "-L": list,
      "topo -m": "\tGPU0\tGPU1\nGPU0\tX\tSYS\nGPU1\tSYS\tX\n",
    });
    const reading = await new NvidiaSmi({ exec }).read();
    expect(reading.inventory.gpus.map(({ uuid, memoryMiB }) => [uuid, memoryMiB])).toEqual([
      [GB10, 0],
      [ONE, 81559],
    ]);
    expect(reading.warnings).toEqual([]);
  });

  it.each(["81559", "79 GiB", "lots"])("or none that can be read, tells of it: %s", (total) => {
    const { inventory, warnings } = parseNvidiaSmi(H100.replace("81559 MiB", total));
    expect(inventory.gpus[0]?.memoryMiB).toBe(0);
    expect(warnings).toEqual([expect.stringContaining(`${ONE}: fb_memory_usage.total is "${total}"`)]);
  });

  it("shows instances of unknown memory too", () => {
    const xml = fixture("mig/q.xml").replaceAll("40448 MiB", "N/A");
    const { inventory, warnings } = parseNvidiaSmi(xml, fixture("mig/L.txt"));
    expect(inventory.gpus[0]?.instances.map(({ memoryMiB }) => memoryMiB)).toEqual([0, 0, 0]);
    expect(warnings).toEqual([]);
  });
});

const alone = node(gpu(0, { model: "NVIDIA GB10", memoryMiB: 0 }));
const beside = node(gpu(0, { model: "NVIDIA GB10", memoryMiB: 0 }), gpu(1));

function placed(inventory: Inventory, ask: Partial<Ask>): string | Refusal {
  const result = new Occupancy(inventory).place({ kind: "gpu", count: 1, ...ask }, { allowShared: true });
  return result.ok ? result.value.map(({ name }) => name).join(" ") : result.refusal;
}

describe("a GPU of unknown memory", () => {
  it("is granted whole, by its model and by its UUID", () => {
    expect(placed(alone, {})).toBe("0");
    expect(placed(alone, { model: "gb10" })).toBe("0");
    expect(placed(alone, { pins: ["GPU-0"] })).toBe("0");
    expect(placed(beside, { count: 2 })).toBe("0 1");
  });

  it("is granted to one", () => {
    const occupancy = new Occupancy(alone);
    const first = occupancy.place({ kind: "gpu", count: 1 });
    occupancy.add(first.ok ? first.value : []);
    expect(occupancy.place({ kind: "gpu", count: 1 })).toMatchObject({ refusal: { code: "busy" } });
  });

  it.each<[string, Partial<Ask>]>([
    ["some memory at least", { memoryMiB: 1 }],
    ["a share", { kind: "share", memoryMiB: 1 }],
  ])("is refused to who asks for %s, and says why", (_, ask) => {
    const refusal = placed(alone, ask);
    expect(refusal).toMatchObject({
      code: "impossible",
      message: expect.stringContaining("of GPU 0 the driver does not say the memory: granted whole"),
      allowed: "1 whole GPU (NVIDIA GB10, memory unknown)",
    });
    expect(placed(alone, { ...ask, pins: ["GPU-0"] })).toMatchObject({
      message: expect.stringContaining("is a NVIDIA GB10, memory unknown: not what is asked for"),
    });
    expect(placed(beside, ask)).toBe("1");
  });

  it("counts in the queue as the node's largest", () => {
    const wait = (group: string): Waiting => ({
      ...{
        id: group,
        user: group,
        group,
        priority: 0,
        ask: { kind: "gpu", count: 1 },
        purpose: "x",
        since: 1,
      },
    });
    const live = (group: string, memoryMiB: number) =>
      ({ group, units: [{ uuid: "u", gpu: "u", name: "0", model: "m", memoryMiB, shared: false }] }) as Grant;
    const order = (inventory: Inventory, ...grants: Grant[]) =>
      queueOrder([wait("a"), wait("b")], grants, { now: 2, inventory }).map(({ group }) => group);
    // Without a weight, a group could have all of them and still be next.
    expect(order(alone, live("a", 0))).toEqual(["b", "a"]);
    expect(order(beside, live("a", 0), live("b", 1000))).toEqual(["b", "a"]);
    expect(order(beside, live("a", h100MiB + 1), live("b", 0))).toEqual(["b", "a"]);
  });

  it("is shown as such, in previews and by berth, and is read back", () => {
    const [unit] = [...new Occupancy(alone).uses].map(({ whole }) => whole);
    if (!unit) throw new Error("unreachable");
    expect(unitLine(unit)).toBe("0, memory unknown: GPU-0 (NVIDIA GB10)");
    expect(unitLine(unit)).toContain("memory unknown");
    expect([gpuMemory(0), gpuMemory(512)]).toEqual(["unknown", "512 MiB"]);
  });
});

describe("a size that is missing once", () => {
  it("is the one from before, of GPUs and of instances", async () => {
    const { watch, driver, changes } = machine(declared());
    await watch.start();
    const blank = (inventory: Inventory): Inventory => ({
      ...inventory,
      gpus: inventory.gpus.map((one) => ({
        ...one,
        memoryMiB: 0,
        instances: one.instances.map((instance) => ({ ...instance, memoryMiB: 0 })),
      })),
    });
    driver.shows = blank(declared());
    await watch.refresh();
    expect(watch.state.inventory).toEqual(declared());
    expect(changes).toHaveLength(1);
    const fresh = machine(blank(declared()));
    expect((await fresh.watch.start()).inventory.gpus[0]?.memoryMiB).toBe(0);
  });
});
