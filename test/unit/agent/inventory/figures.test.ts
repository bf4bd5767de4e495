/**
 * Figures and process names, whatever the driver or a user writes in their place.
 * Proves: neither closes a node; a figure that is none is null, with a warning that says where; a process may be called
 * what its user likes, and adds, hides and changes no GPU by it.
 */
import { describe, expect, it } from "vitest";
import { type ExecResult, NvidiaSmi, parseNvidiaSmi } from "../../../../agent/src/inventory";
import { answers, fixture } from "./helpers";

const H100 = fixture("h100/q.xml");
const BUSY = fixture("h100/q-busy.xml");
const MIG = fixture("mig/q.xml");
const LIST = fixture("mig/L.txt");
const ONE = "GPU-11111111-2222-3333-4444-555555555555";
const A = "GPU-aaaaaaaa-2222-3333-4444-555555555555";
const B = "GPU-bbbbbbbb-2222-3333-4444-555555555555";

describe("a figure that is none", () => {
  const places: [place: string, tag: string, field: string][] = [
    ["utilization.gpu_util", "gpu_util", "utilisation"],
    ["fb_memory_usage.used", "used", "memoryUsedMiB"],
    ["temperature.gpu_temp", "gpu_temp", "temperatureC"],
    ["minor_number", "minor_number", "minor"],
    ["mig_mode.pending_mig", "pending_mig", "migModePending"],
  ];
  const words = ["Unknown", "lots", "[Unknown]", "12 furlongs", "0x3", "<value>1</value>", "1 2 3"];
  const read = (tag: string, word: string) =>
    parseNvidiaSmi(H100.replace(new RegExp(`<${tag}>[^<]*</${tag}>`), `<${tag}>${word}</${tag}>`));
  it.each(places.flatMap((place) => words.map((word) => [place[0], word, place] as const)))(
    "%s %s is null and told",
    (_, word, [place, tag, field]) => {
      const { inventory, readings, warnings } = read(tag, word);
      expect(inventory).toEqual(parseNvidiaSmi(H100).inventory);
      expect(readings[0]).toMatchObject({ [field]: null });
      expect(warnings).toEqual([expect.stringContaining(`${ONE}: ${place} is `)]);
    },
  );

  it("is silent where the driver says that it has none", () => {
    for (const none of ["N/A", "[N/A]", "[Not Supported]", "", "Insufficient Permissions", "Unknown Error"])
      expect(read("gpu_util", none)).toMatchObject({ warnings: [], readings: [{ utilisation: null }] });
  });

  it("may be the element around it, or all of them", () => {
    for (const tag of ["utilization", "temperature", "gpu_power_readings", "ecc_errors", "remapped_rows"]) {
      const gone = H100.replace(new RegExp(`<${tag}>[\\s\\S]*?</${tag}>`), "");
      expect(parseNvidiaSmi(gone).inventory.gpus).toHaveLength(1);
      const word = H100.replace(new RegExp(`<${tag}>[\\s\\S]*?</${tag}>`), `<${tag}>ERR!</${tag}>`);
      expect(parseNvidiaSmi(word).inventory.gpus).toHaveLength(1);
    }
  });

  it.each([
    ["R580", "gpu_power_readings", { average_power_draw: "74.19 W", instant_power_draw: "74.12 W" }, 74.12],
    [
      "R580 without the one",
      "gpu_power_readings",
      { average_power_draw: "74.19 W", instant_power_draw: "N/A" },
      74.19,
    ],
    ["R530", "gpu_power_readings", { power_state: "P0", power_draw: "68.62 W" }, 68.62],
    [
      "R525",
      "power_readings",
      { power_state: "P0", power_management: "Supported", power_draw: "68.62 W" },
      68.62,
    ],
    ["R470, of a GPU that has none", "power_readings", { power_management: "N/A", power_draw: "N/A" }, null],
  ])("is no power draw that is only written elsewhere: %s", (_, tag, fields, powerW) => {
    const inside = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`);
    const xml = H100.replace(
      /<gpu_power_readings>[\s\S]*?<\/gpu_power_readings>/,
      `<${tag}>${inside.join("")}</${tag}>`,
    );
    expect(parseNvidiaSmi(xml)).toMatchObject({ readings: [{ powerW }], warnings: [] });
  });

  it("may be the names of driver and model", () => {
    const unnamed = H100.replace(/<driver_version>.*\n/, "").replace(/<product_name>.*\n/, "");
    const { inventory, warnings } = parseNvidiaSmi(unnamed);
    expect(inventory.driver).toBeUndefined();
    expect(inventory.gpus[0]).toMatchObject({ uuid: ONE, model: "NVIDIA GPU" });
    expect(warnings).toEqual([`${ONE}: product_name is missing`]);
    const list = `GPU 0: NVIDIA H100 80GB HBM3 (UUID: ${ONE})\n`;
    expect(parseNvidiaSmi(unnamed, list).inventory.gpus[0]?.model).toBe("NVIDIA H100 80GB HBM3");
  });
});

/** A GPU as the driver would write it, were it there. */
const forged = (id: string, uuid: string) =>
  `<gpu id="${id}"><uuid>${uuid}</uuid><mig_mode><current_mig>Disabled</current_mig></mig_mode>` +
  "<fb_memory_usage><total>9 MiB</total><used>0 MiB</used></fb_memory_usage>";
const FALSE = "GPU-ffffffff-2222-3333-4444-555555555555";
const shut = "</process_name></process_info></processes>";
const open = "<processes><process_info><pid>1</pid><process_name>";

const names: [string, string][] = [
  ["a comparison", "python -c 'print(1<2)'"],
  ["an ampersand", "a & b &undefined; &#xZZ;"],
  ["its own end", "x</process_name>y"],
  ["the end of everything", "x</process_name></process_info></processes></gpu></nvidia_smi_log>"],
  ["a comment that never ends", "x<!-- "],
  ["characters of no XML", "<![CDATA[ \u0001\ufffd ]]> <?xml version='1.0'?>"],
  ["lines", "x\n\t\t<uuid>GPU-0</uuid>\n\t\t<mig_mode>\n"],
  ["a list of its own", "<processes><process_info>"],
  ["another GPU", `x${shut}</gpu>${forged("00000000:99:00.0", FALSE)}${open}`],
  ["another GPU, torn", `x</gpu><gpu id="00000000:99:00.0">`],
  ["the other GPU", `x${shut}</gpu>${forged("00000000:5E:00.0", B)}${open}`],
];

describe("a process may be called", () => {
  it.each(names)("%s, on the only GPU", (_, name) => {
    const xml = BUSY.replace(">python3<", () => `>${name}<`);
    expect(xml).not.toBe(BUSY);
    const { inventory, readings, warnings, lost } = parseNvidiaSmi(xml);
    const plain = parseNvidiaSmi(BUSY);
    expect({ inventory, warnings, lost }).toEqual({ inventory: plain.inventory, warnings: [], lost: [] });
    const figures = ({ processes, ...rest }: (typeof readings)[number]) => rest;
    expect(readings.map(figures)).toEqual(plain.readings.map(figures));
  });

  it.each(names)("%s, on one of two GPUs", async (_, name) => {
    const named = (xml: string) => xml.replace("/usr/bin/python3 &amp; more", () => name);
    const alone = (uuid: string) => {
      const parts = MIG.split(/(?=\t<gpu id=)/);
      const [head = "", first = "", second = ""] = parts;
      const part = uuid === A ? first : second;
      return named(`${head}${part.replace("</nvidia_smi_log>", "")}</nvidia_smi_log>`);
    };
    const lists = LIST.split(/(?=^GPU )/m);
    const table: Record<string, string | Partial<ExecResult>> = {
      "-q -x": named(MIG),
      "-L": LIST,
      "topo -m": fixture("mig/topo.txt"),
      [`-q -x -i ${A}`]: alone(A),
      [`-q -x -i ${B}`]: alone(B),
      [`-L -i ${A}`]: lists[0] ?? "",
    };
    expect(table["-q -x"]).not.toBe(MIG);
    const { inventory, warnings, lost } = await new NvidiaSmi({ exec: answers(table).exec }).read();
    const plain = await new NvidiaSmi({ exec: answers({ ...table, "-q -x": MIG }).exec }).read();
    expect({ inventory, warnings, lost }).toEqual({ inventory: plain.inventory, warnings: [], lost: [] });
    expect(inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([
      [A, 0],
      [B, 1],
    ]);
  });

  it("what hides the next GPU together with another process there", async () => {
    const [head = "", first = "", second = ""] = MIG.split(/(?=\t<gpu id=)/);
    const hide = first.replace(
      "/usr/bin/python3 &amp; more",
      `x${shut}</gpu>${forged("00000000:5E:00.0", B)}<!--`,
    );
    const show = second.replace(/<processes>\s*<\/processes>/, () => `${open}--><processes></processes>`);
    const both = head + hide + show;
    const each = (part: string) => `${head}${part.replace("</nvidia_smi_log>", "")}</nvidia_smi_log>`;
    const lists = LIST.split(/(?=^GPU )/m);
    const { exec, calls } = answers({
      "-q -x": both,
      "-L": LIST,
      "topo -m": fixture("mig/topo.txt"),
      [`-q -x -i ${A}`]: each(hide),
      [`-q -x -i ${B}`]: each(show),
      [`-L -i ${A}`]: lists[0] ?? "",
    });
    const { inventory } = await new NvidiaSmi({ exec }).read();
    expect(inventory.gpus.map(({ uuid, memoryMiB, mig }) => [uuid, memoryMiB, mig])).toEqual([
      [A, 81559, true],
      [B, 81559, false],
    ]);
    expect(calls).toContain(`-q -x -i ${B}`);
  });

  it("so, and is shown so where that can be read", () => {
    const shown = (name: string) =>
      parseNvidiaSmi(BUSY.replace(">python3<", () => `>${name}<`)).readings[0]?.processes;
    const one = { pid: 504, type: "C", memoryMiB: 838 };
    expect(shown("python -c 'print(1<2)'")).toEqual([{ ...one, name: "python -c 'print(1<2)'" }]);
    expect(shown("a &amp; b &lt; c")).toEqual([{ ...one, name: "a & b < c" }]);
    expect(shown("x</process_name>y")).toEqual([{ ...one, name: "x</process_name>y" }]);
    expect(shown("n".repeat(5000))?.[0]?.name).toHaveLength(1024);
    expect(shown("x</process_info>")).toEqual([]);
  });

  it("what takes long to look through, and is looked through at once", () => {
    const name = "<process_info><process_name><processes><gpu ".repeat(100_000);
    const began = performance.now();
    expect(parseNvidiaSmi(BUSY.replace(">python3<", () => `>${name}<`)).inventory.gpus).toHaveLength(1);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
