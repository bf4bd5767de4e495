/**
 * A GPU that the driver cannot reach, at a reading before which nothing is remembered.
 * Proves: the others are read, by the list, in whatever form the driver says it; what cannot be reached is told and
 * never granted; where no GPU can be read, nothing is believed.
 */
import { describe, expect, it } from "vitest";
import { type ExecResult, InventoryError, NvidiaSmi } from "../../../../agent/src/inventory";
import { failureOf } from "../../../lib/failure";
import { answers, fixture } from "./helpers";
import { machine, node } from "./watch-helpers";

const XML = fixture("h100/q.xml");
const WELL = "GPU-11111111-2222-3333-4444-555555555555";
const ILL = "GPU-99999999-2222-3333-4444-555555555555";
const line = (index: number, uuid: string) => `GPU ${index}: NVIDIA H100 80GB HBM3 (UUID: ${uuid})\n`;
/** Alone, as `-i` prints it: it still counts all. */
const alone = XML.replace("<attached_gpus>1", "<attached_gpus>2");

const said = {
  long: "Unable to determine the device handle for GPU0: 0000:34:00.0: GPU is lost.  Reboot the system to recover this GPU\n",
  short: "Unable to determine the device handle for GPU 0000:34:00.0: Unknown Error\n",
  wide: "Unable to determine the device handle for gpu 00000000:34:00.0: GPU is lost.\n",
  nameless: "Unable to determine the device handle for GPU0: Unknown Error\n",
};
type Table = Record<string, string | Partial<ExecResult>>;
const read = (table: Table) => new NvidiaSmi({ exec: answers(table).exec }).read();

describe("the first reading with a lost GPU", () => {
  it.each<[string, Table]>([
    [
      "15",
      { "-q -x": { code: 15, stdout: said.long }, "-L": { code: 15, stdout: said.long + line(1, WELL) } },
    ],
    ["255", { "-q -x": { code: 255, stdout: said.short }, "-L": { code: 0, stdout: line(1, WELL) } }],
    ["said on the other stream", { "-q -x": { code: 255, stderr: said.wide }, "-L": line(1, WELL) }],
    [
      "said by the list alone",
      { "-q -x": { code: 255 }, "-L": { code: 255, stdout: said.long + line(1, WELL) } },
    ],
  ])("has the other one: %s", async (_, table) => {
    const { inventory, readings, lost, warnings } = await read({ ...table, [`-q -x -i ${WELL}`]: alone });
    expect(inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([[WELL, 1]]);
    expect(readings).toHaveLength(1);
    expect(lost).toEqual([
      { pci: "0000:34:00", reason: expect.stringMatching(/^(GPU is lost|Unknown Error)/) },
    ]);
    expect(warnings).toEqual([]);
  });

  it.each<[string, string, object]>([
    ["with its address", said.short, { pci: "0000:34:00", uuid: ILL, reason: "Unknown Error" }],
    ["without one", said.nameless, { uuid: ILL, reason: "Unknown Error" }],
  ])("has the other one where the list has both: %s", async (_, words, expected) => {
    const failed = { code: 255, stdout: words };
    const { inventory, lost } = await read({
      "-q -x": failed,
      "-L": line(0, ILL) + line(1, WELL),
      [`-q -x -i ${ILL}`]: failed,
      [`-q -x -i ${WELL}`]: alone,
    });
    expect(inventory.gpus.map(({ uuid }) => uuid)).toEqual([WELL]);
    expect(lost).toEqual([expected]);
  });

  it("numbers the only one that is left as the list does, and so has its profiles", async () => {
    const lgip = fixture("h100/lgip.txt").replaceAll("|   0  MIG", "|   1  MIG");
    const table = {
      // Named before the XML, which has the other one alone.
      "-q -x": { code: 0, stdout: said.long + alone },
      "-L": { code: 15, stdout: said.long + line(1, WELL) },
      "mig -lgip": lgip,
    };
    const { inventory, readings, lost } = await read(table);
    expect(inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([[WELL, 1]]);
    expect(inventory.gpus[0]?.profiles).toMatchObject({ "1g.10gb": 7 });
    expect(readings.map(({ index }) => index)).toEqual([1]);
    expect(lost).toHaveLength(1);
  });

  it("asks each of many GPUs by itself at the same time: the deadline is for all of them together", async () => {
    const uuids = Array.from({ length: 8 }, (_, i) => `GPU-${i}1111111-2222-3333-4444-555555555555`);
    const { exec } = answers({
      "-q -x": { code: 255, stdout: said.short },
      "-L": uuids.map((uuid, i) => line(i, uuid)).join(""),
      ...Object.fromEntries(uuids.map((uuid) => [`-q -x -i ${uuid}`, alone.replaceAll(WELL, uuid)])),
      "topo -m": { code: 255 },
      "mig -lgip": { code: 255 },
    });
    let under = 0;
    let most = 0;
    const slow: typeof exec = async (command, args, options) => {
      if (!args.includes("-i")) return exec(command, args, options);
      most = Math.max(most, ++under);
      await new Promise((resolve) => setTimeout(resolve, 20));
      under--;
      return exec(command, args, options);
    };
    const { inventory } = await new NvidiaSmi({ exec: slow }).read();
    expect(inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual(uuids.map((uuid, i) => [uuid, i]));
    expect(most).toBe(8);
  });

  it("is an error where no GPU can be read, and where nobody says that one is lost", async () => {
    const error = (table: Table) => failureOf(InventoryError, read(table));
    const failed = { code: 255, stdout: said.short };
    expect(await error({ "-q -x": failed, "-L": failed })).toMatchObject({ code: "exit", exitCode: 255 });
    expect(await error({ "-q -x": failed, "-L": line(0, ILL), [`-q -x -i ${ILL}`]: failed })).toMatchObject({
      code: "exit",
      exitCode: 255,
      message: expect.stringContaining("Unable to determine"),
    });
    const silent = { code: 255, stdout: "Internal error" };
    expect(await error({ "-q -x": silent, "-L": line(1, WELL) })).toMatchObject({ exitCode: 255 });
    expect(await error({ "-q -x": failed, "-L": { code: 3 } })).toMatchObject({ exitCode: 255 });
  });
});

describe("the watch", () => {
  it.each([
    [{ pci: "0000:34:00", reason: "x" }, "the GPU at 0000:34:00 cannot be reached, and was never read: x"],
    [{ uuid: ILL, reason: "x" }, `the GPU ${ILL} cannot be reached, and was never read: x`],
    [{ reason: "x" }, "the GPU that the driver does not name cannot be reached, and was never read: x"],
  ])("grants the others and tells of it", async (lost, warning) => {
    const { watch, driver } = machine(node());
    driver.lost = [lost];
    expect(await watch.start()).toMatchObject({ warnings: [warning], inventory: node() });
    expect(watch.state.closed).toBeUndefined();
  });

  it("puts a known GPU out of use by the UUID alone", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    const [first] = node().gpus;
    driver.lost = [{ uuid: first?.uuid ?? "", reason: "GPU is lost" }];
    await watch.refresh();
    expect(watch.state.inventory.gpus[0]?.quarantined).toBe("the driver cannot reach it: GPU is lost");
  });
});
