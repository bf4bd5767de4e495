import { XMLParser, XMLValidator } from "fast-xml-parser";
import * as z from "zod";
import type { Gpu, Inventory, MigInstance } from "../../../core/gpu";
import { issueTexts, pathText } from "../../../core/problems";
import { MixedDocument, partDocument, type SmiDocument } from "./document";
import { readProcesses } from "./processes";
import { type ListedGpu, parseList, parseTopology } from "./text";
import type { GpuReading, LostGpu, Reading } from "./types";
import { figure, GPU_UUID, garbage, isBroken, isNone, moved, pciAddress, placed, whole } from "./values";

const text = z.string();
/** An element that holds others, or `None` and the like where there are none. */
const holder = <T extends z.ZodType>(inner: T) => z.union([inner, z.string().transform(() => undefined)]);

const migDevice = z.object({ index: text, gpu_instance_id: text, compute_instance_id: text });
/**
 * What decides: which GPU it is and what of it can be granted. Everything else is a figure, and missing where the driver
 * writes it otherwise: each release adds some, and renames some.
 */
const gpuElement = z.object({
  "@id": text,
  uuid: text,
  mig_mode: holder(z.object({ current_mig: text })).optional(),
  mig_devices: holder(z.object({ mig_device: z.array(migDevice) })).optional(),
});
const log = z.object({
  nvidia_smi_log: z.object({
    driver_version: z.unknown().optional(),
    attached_gpus: text,
    gpu: z.array(z.unknown()).optional(),
  }),
});
type GpuElement = z.infer<typeof gpuElement>;

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  // Everything stays text: `1e3`, `0x6` and `00` are not numbers here.
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: (name) => name === "gpu" || name === "mig_device",
});

/** Sets each GPU's neighbours by what `nvidia-smi topo -m` printed. @throws InventoryError `garbage` */
export function addLinks({ inventory: { gpus } }: Reading, topoText: string): void {
  if (gpus.length > 1) connect(gpus, parseTopology(topoText));
}

/**
 * Reads `nvidia-smi -q -x`, with `nvidia-smi -L` for the UUIDs of MIG instances, which the XML has not: `listText` is
 * needed when one exists. No GPU has neighbours yet; `addLinks` says them.
 * @throws InventoryError `garbage`, with the place, when anything that decides is not as the driver writes it, or when
 * the texts are of different moments.
 */
export function parseNvidiaSmi(xml: string, listText?: string): Reading {
  return parseDocument(partDocument(xml), listText);
}

/** The same of a document that is parted already. */
export function parseDocument({ lost: before, body, cut }: SmiDocument, listText?: string): Reading {
  const lost = [...before];
  const warnings: string[] = [];
  const valid = XMLValidator.validate(body);
  if (valid !== true)
    throw garbage("nvidia-smi -q -x", `printed no whole XML: line ${valid.err.line}: ${valid.err.msg}`);
  const root = check(log, parser.parse(body), "");
  const elements = root.nvidia_smi_log.gpu ?? [];
  const attached = whole(root.nvidia_smi_log.attached_gpus, "nvidia_smi_log.attached_gpus");
  if (attached === null || attached < elements.length)
    throw garbage(
      "nvidia_smi_log.attached_gpus",
      `is ${attached ?? "missing"}, and ${elements.length} follow`,
    );

  const listed = listText === undefined ? [] : parseList(listText);
  const gpus: Gpu[] = [];
  const readings: GpuReading[] = [];
  for (const [i, element] of elements.entries()) {
    const where = `nvidia_smi_log.gpu[${i}]`;
    const broken = brokenGpu(element, where);
    if (broken) {
      if (!lost.some(({ pci }) => pci === broken.pci)) lost.push(broken);
      continue;
    }
    const seen = check(gpuElement, element, where);
    if (gpus.some(({ uuid }) => uuid === seen.uuid))
      throw new MixedDocument(`${where}.uuid`, `${seen.uuid} is there twice`);
    const inList = listed.find(({ uuid }) => uuid === seen.uuid);
    // Position and number differ where a GPU is missing: the list has the number.
    const index = inList?.index ?? i;
    const note: Note = (place, problem) => warnings.push(`${seen.uuid}: ${place} ${problem}`);
    const { gpu, reading } = oneGpu(element, seen, { listed: inList, index, where, note });
    gpus.push(gpu);
    readings.push({ ...reading, processes: readProcesses(cut[i] ?? "") });
  }
  if (gpus.length + lost.length < attached)
    throw garbage("nvidia_smi_log", `tells of ${attached} GPUs and shows ${gpus.length + lost.length}`);
  const driver = root.nvidia_smi_log.driver_version;
  const inventory: Inventory = { source: "nvidia-smi", gpus };
  if (typeof driver === "string" && !isNone(driver)) inventory.driver = driver;
  return { inventory, readings, lost, warnings };
}

function check<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const at = where === "" ? [] : [where];
  const first = pathText([...at, ...(result.error.issues[0]?.path ?? [])]);
  const problems = issueTexts(result.error, at).join("; ");
  throw garbage(first || "nvidia-smi -q -x", `is not as the driver writes it (${problems})`);
}

/** The GPU's own answers say that it is gone: only its address can be believed. */
function brokenGpu(element: unknown, where: string): LostGpu | undefined {
  const known = z
    .object({ "@id": text, uuid: text.optional(), fb_memory_usage: z.unknown() })
    .safeParse(element);
  if (!known.success) return undefined;
  const { "@id": id, uuid = "", fb_memory_usage } = known.data;
  const total = z.object({ total: text }).safeParse(fb_memory_usage).data?.total;
  const sign = [uuid, total, typeof fb_memory_usage === "string" ? fb_memory_usage : undefined].find(
    (value) => value !== undefined && isBroken(value),
  );
  if (sign === undefined) return undefined;
  const pci = pciAddress(id);
  if (!pci) throw garbage(`${where}.@id`, `is ${JSON.stringify(id)}; expected a PCI address`);
  return { pci, reason: sign, ...(GPU_UUID.test(uuid) && { uuid }) };
}

/** Where the power draw is: what is drawn now before what was drawn on average. R530 (DTD 12) renamed the element. */
const POWER = [
  ["gpu_power_readings", "instant_power_draw"],
  ["gpu_power_readings", "average_power_draw"],
  ["gpu_power_readings", "power_draw"],
  ["power_readings", "power_draw"],
] as const;

/** Takes what cannot be read and decides nothing. */
type Note = (place: string, problem: string) => void;
interface Place {
  listed: ListedGpu | undefined;
  index: number;
  where: string;
  note: Note;
}

function oneGpu(
  element: unknown,
  seen: GpuElement,
  { listed, index, where, note }: Place,
): { gpu: Gpu; reading: Omit<GpuReading, "processes"> } {
  if (!GPU_UUID.test(seen.uuid))
    throw garbage(`${where}.uuid`, `is ${JSON.stringify(seen.uuid)}; expected GPU- and a UUID`);
  const pci = pciAddress(seen["@id"]);
  if (!pci) throw garbage(`${where}.@id`, `is ${JSON.stringify(seen["@id"])}; expected a PCI address`);
  const read = (unit: Parameters<typeof figure>[1], ...path: string[]) =>
    figure(placed(element, ...path), unit, (problem) => note(path.join("."), problem));
  const migMode = mode(seen.mig_mode?.current_mig);
  if (migMode === undefined)
    throw garbage(
      `${where}.mig_mode.current_mig`,
      `is ${JSON.stringify(seen.mig_mode?.current_mig)}; expected Enabled, Disabled or N/A`,
    );
  const { instances, used } = migInstances(element, seen, listed, where, note);
  if (migMode !== "enabled" && instances.length > 0)
    throw garbage(`${where}.mig_devices`, "has instances, and MIG is not enabled");
  const gpu: Gpu = {
    uuid: seen.uuid,
    index,
    model: modelOf(element, listed, note),
    memoryMiB: read("MiB", "fb_memory_usage", "total") ?? 0,
    mig: migMode === "enabled",
    instances,
    nvlink: [],
  };
  const reading: Omit<GpuReading, "processes"> = {
    uuid: seen.uuid,
    index,
    pci,
    minor: minorOf(element, note),
    migMode,
    migModePending: pendingOf(element, note),
    memoryUsedMiB: read("MiB", "fb_memory_usage", "used"),
    utilisation: read("%", "utilization", "gpu_util"),
    temperatureC: read("C", "temperature", "gpu_temp"),
    powerW: POWER.reduce<number | null>((found, place) => found ?? read("W", ...place), null),
    instances: used,
  };
  const fault = faultOf(element);
  if (fault) reading.fault = fault;
  return { gpu, reading };
}

/** A name is for people, and what an ask by model looks for. */
function modelOf(element: unknown, listed: ListedGpu | undefined, note: Note): string {
  const name = placed(element, "product_name");
  if (typeof name === "string" && !isNone(name) && !isBroken(name)) return name;
  if (listed) return listed.model;
  note("product_name", "is missing");
  return "NVIDIA GPU";
}

function minorOf(element: unknown, note: Note): number | null {
  const minor = placed(element, "minor_number");
  if (minor === undefined || (typeof minor === "string" && isNone(minor))) return null;
  if (typeof minor === "string" && /^\d{1,9}$/.test(minor)) return Number(minor);
  note("minor_number", "is no whole number");
  return null;
}

function pendingOf(element: unknown, note: Note): GpuReading["migModePending"] {
  const pending = placed(element, "mig_mode", "pending_mig");
  const found = pending === undefined || typeof pending === "string" ? mode(pending) : undefined;
  if (found === undefined) note("mig_mode.pending_mig", "is neither Enabled, Disabled nor N/A");
  return found ?? null;
}

/**
 * What the driver itself calls beyond use. A pending row remap, an ECC count or a slowdown is not: work goes on there,
 * and the operator sees it in the driver's own tools.
 */
function faultOf(element: unknown): string | undefined {
  const action = placed(element, "gpu_recovery_action");
  // "Drain P2P" concerns NVLink peers alone: the GPU itself goes on.
  if (typeof action === "string" && /reset|reboot/i.test(action)) return `the driver asks for: ${action}`;
  if (placed(element, "remapped_rows", "remapped_row_failure") === "Yes")
    return "its memory cannot be repaired any more (row remap failed)";
  if (placed(element, "ecc_errors", "unrepairable_memory") === "Yes")
    return "its memory cannot be repaired any more";
  return undefined;
}

/** Undefined: it is none of the words that the driver has for it. */
function mode(value: string | undefined): "enabled" | "disabled" | "unsupported" | undefined {
  if (value === undefined || isNone(value)) return "unsupported";
  if (value === "Enabled") return "enabled";
  return value === "Disabled" ? "disabled" : undefined;
}

/** Instances of one GPU. The XML has their ids and memory, the list their profile and UUID: joined by device number. */
function migInstances(
  element: unknown,
  seen: GpuElement,
  listed: ListedGpu | undefined,
  where: string,
  note: Note,
): { instances: MigInstance[]; used: GpuReading["instances"] } {
  const devices = seen.mig_devices?.mig_device ?? [];
  const count = listed?.instances.length ?? 0;
  if (listed ? count !== devices.length : devices.length > 0)
    throw moved(`${where}.mig_devices`, `has ${devices.length} instances, and nvidia-smi -L ${count}`);
  const figures = placed(element, "mig_devices", "mig_device");
  const instances: MigInstance[] = [];
  const used: GpuReading["instances"] = [];
  for (const [i, device] of devices.entries()) {
    const at = `${where}.mig_devices.mig_device[${i}]`;
    const number = whole(device.index, `${at}.index`);
    const gi = whole(device.gpu_instance_id, `${at}.gpu_instance_id`);
    const ci = whole(device.compute_instance_id, `${at}.compute_instance_id`);
    const read = (name: string) =>
      figure(placed((figures as unknown[])[i], "fb_memory_usage", name), "MiB", (problem) =>
        note(`mig_device[${i}].fb_memory_usage.${name}`, problem),
      );
    if (gi === null || ci === null) throw garbage(at, "has no instance ids");
    const named = listed?.instances.find((entry) => entry.device === number);
    if (!named) throw moved(`${at}.index`, `is ${number}, which nvidia-smi -L does not have`);
    instances.push({ uuid: named.uuid, profile: named.profile, memoryMiB: read("total") ?? 0, gi, ci });
    used.push({ uuid: named.uuid, gi, ci, memoryUsedMiB: read("used") });
  }
  return { instances, used };
}

function connect(gpus: Gpu[], links: Map<number, number[]>): void {
  const byIndex = new Map(gpus.map((gpu) => [gpu.index, gpu]));
  for (const gpu of gpus) {
    const reached = links.get(gpu.index);
    if (!reached) throw moved("nvidia-smi topo -m", `has no row for GPU${gpu.index}`);
    gpu.nvlink = reached.flatMap((index) => byIndex.get(index)?.uuid ?? []);
  }
}
