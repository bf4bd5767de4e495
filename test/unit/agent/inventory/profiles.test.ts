/**
 * What the driver says that its GPUs can be divided into, for previews.
 * Proves: each GPU has its own driver's profiles, whatever its model; it is asked once, only where a GPU can be divided
 * and none is declared; a driver that does not say costs nothing but that.
 */
import { describe, expect, it } from "vitest";
import { type ExecResult, NvidiaSmi } from "../../../../agent/src/inventory";
import { answers, fixture } from "./helpers";

const H100 = fixture("h100/q.xml");
const LGIP = fixture("h100/lgip.txt");
const offered = {
  ...{ "1g.10gb": 7, "1g.10gb+me": 1, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "4g.40gb": 1, "7g.80gb": 1 },
};
/** GPU 0 in MIG mode, GPU 1 not, and able to be. */
const two = { "-q -x": fixture("mig/q.xml"), "-L": fixture("mig/L.txt"), "topo -m": fixture("mig/topo.txt") };
const profiles = async (smi: NvidiaSmi) => (await smi.read()).inventory.gpus.map((gpu) => gpu.profiles);

describe("the profiles that a driver offers", () => {
  it("are those of each GPU, whatever its model and its mode", async () => {
    const { exec } = answers({
      "-q -x": H100.replace("NVIDIA H100 80GB HBM3", "NVIDIA X1"),
      "mig -lgip": LGIP,
    });
    expect(await profiles(new NvidiaSmi({ exec }))).toEqual([offered]);
    const second = LGIP.replaceAll("|   0  MIG", "|   1  MIG").replaceAll("1g.10gb ", "1g.11gb ");
    const both = answers({ ...two, "mig -lgip": LGIP + second });
    const [a, b] = await profiles(new NvidiaSmi({ exec: both.exec }));
    expect([a?.["1g.10gb"], b?.["1g.10gb"], b?.["1g.11gb"]]).toEqual([7, undefined, 7]);
  });

  it("are none of a GPU that cannot be divided, which is not asked", async () => {
    const { exec, calls } = answers({ "-q -x": H100.replaceAll("_mig>Disabled", "_mig>N/A") });
    expect(await profiles(new NvidiaSmi({ exec }))).toEqual([{}]);
    expect(calls).toEqual(["-q -x"]);
  });

  it("are asked for again of another driver, which may name them otherwise", async () => {
    const table: Record<string, string> = { "-q -x": H100, "mig -lgip": LGIP };
    const smi = new NvidiaSmi({ exec: answers(table).exec });
    expect(await profiles(smi)).toEqual([offered]);
    table["mig -lgip"] = LGIP.replaceAll("1g.10gb ", "1g.11gb ");
    expect(await profiles(smi)).toEqual([offered]);
    table["-q -x"] = H100.replace(/<driver_version>[^<]*</, "<driver_version>999.1<");
    expect((await profiles(smi))[0]).toMatchObject({ "1g.11gb": 7 });
  });

  it("are not asked for where the GPUs are declared", async () => {
    const { exec, calls } = answers({ "-q -x": H100 });
    expect(await profiles(new NvidiaSmi({ exec, source: "declared" }))).toEqual([undefined]);
    expect(calls).toEqual(["-q -x"]);
  });

  it.each<[string, string | Partial<ExecResult>]>([
    ["an error", { code: 255 }],
    ["no permission", { code: 4, stdout: "Insufficient Permissions" }],
    ["no table", "Killed\n"],
    ["a hang", { code: null, timedOut: true }],
    ["no end", { tooMuch: true }],
  ])("are left out, silently, and asked for later: %s", async (_, answer) => {
    let clock = 0;
    const table: Record<string, string | Partial<ExecResult>> = { ...two, "mig -lgip": answer };
    const { exec, calls } = answers(table);
    const smi = new NvidiaSmi({ exec, now: () => clock });
    const reading = await smi.read();
    expect(reading.warnings).toEqual([]);
    expect(reading.inventory.gpus.map((gpu) => [gpu.mig, gpu.profiles])).toEqual([
      [true, undefined],
      [false, undefined],
    ]);
    clock = 30_000;
    await smi.read();
    expect(calls.filter((call) => call === "mig -lgip")).toHaveLength(1);
    clock = 61_000;
    table["mig -lgip"] = LGIP;
    expect((await profiles(smi))[0]).toEqual(offered);
  });

  it("hold up no other question while they hang in the driver", async () => {
    const gone = new Promise<void>(() => {});
    const { exec } = answers({ ...two, "mig -lgip": { code: null, timedOut: true, gone } });
    const smi = new NvidiaSmi({ exec });
    await smi.read();
    expect(await smi.read()).toMatchObject({
      warnings: [],
      inventory: { gpus: [{ mig: true }, { mig: false }] },
    });
  });
});
