/**
 * A driver that answers what decides, and not what only describes.
 * Proves: links, numbers for people, figures and process names never close a node, whatever is printed in their place;
 * they are missing then, and a warning says which. The error of what decides (UUID, MIG mode, instances) stays one.
 */
import { describe, expect, it } from "vitest";
import { type ExecResult, InventoryError, NvidiaSmi, type Reading } from "../../../../agent/src/inventory";
import { failureOf } from "../../../lib/failure";
import { answers, ended, fixture } from "./helpers";
import { machine, node } from "./watch-helpers";

const A = "GPU-aaaaaaaa-2222-3333-4444-555555555555";
const B = "GPU-bbbbbbbb-2222-3333-4444-555555555555";
const MIG = fixture("mig/q.xml");
/** The two GPUs of `mig/q.xml`, not divided. */
const WHOLE = MIG.replace(/<mig_devices>[\s\S]*?<\/mig_devices>/, "<mig_devices>None</mig_devices>").replace(
  /_mig>Enabled/g,
  "_mig>Disabled",
);
const LIST = fixture("mig/L.txt").replace(/ {2}MIG .*\n/g, "");
const whole = { "-q -x": WHOLE, "-L": LIST, "topo -m": fixture("mig/topo.txt") };

const links = ({ inventory }: Reading) => inventory.gpus.map(({ nvlink }) => nvlink);
const numbers = ({ inventory }: Reading) => inventory.gpus.map(({ uuid, index }) => [uuid, index]);

describe("links that cannot be read", () => {
  it.each<[string, string | Partial<ExecResult>, string]>([
    [
      "an error",
      { code: 255, stdout: "Failed to run topology matrix" },
      "topo -m ended with 255 (an internal",
    ],
    ["a signal", { code: null }, "topo -m ended with a signal"],
    ["nothing", "", "has no row that names the GPUs"],
    ["a word of no kind", fixture("mig/topo.txt").replace("NV18", "ERR!"), 'says "ERR!"'],
    ["no row for a GPU", fixture("mig/topo.txt").replace(/GPU1\tNV18.*\n/, ""), "has no row for GPU1"],
    ["no end", { tooMuch: true }, "printed without an end"],
    ["a hang", { code: null, timedOut: true }, "topo -m did not end: it has 5 s"],
  ])("cost the preference alone: %s", async (_, topo, why) => {
    for (const [xml, list] of [
      [WHOLE, LIST],
      [MIG, fixture("mig/L.txt")],
    ] as const) {
      const { exec } = answers({ "-q -x": xml, "-L": list, "topo -m": topo });
      const reading = await new NvidiaSmi({ exec }).read();
      expect(numbers(reading)).toEqual([
        [A, 0],
        [B, 1],
      ]);
      expect(links(reading)).toEqual([[], []]);
      expect(reading.warnings).toEqual([expect.stringContaining(why)]);
      expect(reading.warnings[0]).toContain("which GPUs NVLink connects cannot be read: ");
    }
  });

  it("are asked for again, not at every reading, and are known again then", async () => {
    let clock = 0;
    const table = { ...whole, "topo -m": { code: 255 } as string | Partial<ExecResult> };
    const { exec, calls } = answers(table);
    const smi = new NvidiaSmi({ exec, now: () => clock });
    await smi.read();
    clock = 59_000;
    expect((await smi.read()).warnings).toHaveLength(1);
    expect(calls.filter((call) => call !== "mig -lgip")).toEqual(["-q -x", "-L", "topo -m", "-q -x", "-L"]);
    clock = 60_000;
    table["topo -m"] = whole["topo -m"];
    const again = await smi.read();
    expect(links(again)).toEqual([[B], [A]]);
    expect(again.warnings).toEqual([]);
  });

  it("hold up no other question while they hang in the driver", async () => {
    let clock = 0;
    let end = () => {};
    const gone = new Promise<void>((done) => {
      end = done;
    });
    const table = {
      ...whole,
      "topo -m": { code: null, timedOut: true, gone } as string | Partial<ExecResult>,
    };
    const { exec, calls } = answers(table);
    const smi = new NvidiaSmi({ exec, now: () => clock });
    await smi.read();
    clock = 100_000;
    table["topo -m"] = whole["topo -m"];
    const meanwhile = await smi.read();
    expect(meanwhile.inventory.gpus).toHaveLength(2);
    expect(meanwhile.warnings).toEqual([expect.stringContaining("still hangs in the driver")]);
    expect(calls.filter((call) => call === "topo -m")).toHaveLength(1);
    end();
    await gone;
    clock = 200_000;
    expect(links(await smi.read())).toEqual([[B], [A]]);
  });

  it("are not asked for when there is no time left, and the GPUs are read", async () => {
    let clock = 0;
    const table = answers(whole);
    const smi = new NvidiaSmi({
      now: () => clock,
      exec: (file, args, limits) => {
        clock += 10_000;
        return table.exec(file, args, limits);
      },
    });
    const reading = await smi.read();
    expect(reading.inventory.gpus).toHaveLength(2);
    expect(reading.warnings).toHaveLength(1);
    expect(table.calls).toEqual(["-q -x", "-L"]);
  });

  it("are those of before where a GPU went and they are refused since", async () => {
    const third = /\t<gpu id="00000000:AF[\s\S]*?<\/gpu>\n/;
    const [, middle = ""] = /(\t<gpu id="00000000:(?!3B)[\s\S]*?<\/gpu>\n)/.exec(WHOLE) ?? [];
    const C = "GPU-cccccccc-2222-3333-4444-555555555555";
    const another = middle.replace(/id="00000000:..:/, 'id="00000000:AF:').replaceAll(B, C);
    const three = WHOLE.replace("<attached_gpus>2", "<attached_gpus>3").replace(middle, middle + another);
    const list3 = `${LIST}GPU 2: NVIDIA H100 80GB HBM3 (UUID: ${C})\n`;
    const all = "\tGPU0\tGPU1\tGPU2\nGPU0\tX\tNV18\tNV18\nGPU1\tNV18\tX\tNV18\nGPU2\tNV18\tNV18\tX\n";
    const table: Record<string, string | Partial<ExecResult>> = {
      "-q -x": three,
      "-L": list3,
      "topo -m": all,
    };
    const smi = new NvidiaSmi({ exec: answers(table).exec });
    expect(links(await smi.read())).toEqual([
      [B, C],
      [A, C],
      [A, B],
    ]);
    Object.assign(table, { "-q -x": three.replace(third, "").replace("gpus>3", "gpus>2"), "-L": LIST });
    table["topo -m"] = { code: 255 };
    expect(links(await smi.read())).toEqual([[B], [A]]);
  });
});

describe("numbers for people that cannot be read", () => {
  it.each<[string, string | Partial<ExecResult>, string]>([
    ["an error", { code: 255, stdout: "Internal error" }, "-L ended with 255"],
    ["a line of no kind", `${LIST}Segmentation fault\n`, "line 3, is neither a GPU nor a MIG device"],
    ["no end", { tooMuch: true }, "printed without an end"],
  ])("are those of before, or the places: %s", async (_, list, why) => {
    const { exec } = answers({ ...whole, "-L": list });
    const first = await new NvidiaSmi({ exec }).read();
    expect(numbers(first)).toEqual([
      [A, 0],
      [B, 1],
    ]);
    expect(first.warnings[0]).toContain(why);
    const known = [{ uuid: B, index: 5, pci: "0000:5e:00" }];
    const later = await new NvidiaSmi({ exec }).read(known);
    expect(numbers(later)).toEqual([
      [A, 0],
      [B, 5],
    ]);
    expect(later.readings.map(({ index }) => index)).toEqual([0, 5]);
  });

  it("are errors still where the list has the UUIDs of instances, and where the driver hangs", async () => {
    const read = (table: Record<string, string | Partial<ExecResult>>) =>
      failureOf(InventoryError, new NvidiaSmi({ exec: answers(table).exec }).read());
    expect((await read({ ...whole, "-q -x": MIG, "-L": { code: 255 } })).code).toBe("exit");
    expect((await read({ ...whole, "-L": ended({ code: null, timedOut: true }) })).code).toBe("hang");
  });

  it("are read past a warning of an infoROM", async () => {
    const warned = `${LIST}WARNING: infoROM is corrupted at gpu 0000:3B:00.0\n`;
    const { exec } = answers({ ...whole, "-L": { code: 14, stdout: warned } });
    const { warnings, inventory } = await new NvidiaSmi({ exec }).read();
    expect([warnings, inventory.gpus.length]).toEqual([[], 2]);
  });
});

describe("the watch", () => {
  it("grants on, says what is missing, and is silent once it is there again", async () => {
    const { watch, driver, changes } = machine(node());
    driver.warnings = ["which GPUs NVLink connects cannot be read: x"];
    const state = await watch.start();
    expect([state.closed, state.warnings]).toEqual([undefined, driver.warnings]);
    driver.warnings = [];
    await watch.refresh();
    expect(watch.state.warnings).toEqual([]);
    expect(changes).toHaveLength(1);
  });
});
