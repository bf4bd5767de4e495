import { XMLParser, XMLValidator } from "fast-xml-parser";
import * as z from "zod";
import type { Gpu, MigInstance } from "../core/model";
import { type ListedGpu, parseList, parseTopology, unreachableGpus } from "./text";
import type { GpuProcess, GpuReading, LostGpu, Reading } from "./types";
import { GPU_UUID, garbage, isBroken, isNone, moved, pciAddress, quantity, whole } from "./values";

const text = z.string();
const memory = z.object({ total: text, used: text });
/** An element that holds others, or `None` and the like where there are none. */
const holder = <T extends z.ZodType>(inner: T) => z.union([inner, z.string().transform(() => undefined)]);

const migDevice = z.object({
  index: text,
  gpu_instance_id: text,
  compute_instance_id: text,
  fb_memory_usage: memory,
});
const processInfo = z.object({
  gpu_instance_id: text.optional(),
  compute_instance_id: text.optional(),
  pid: text,
  type: text,
  process_name: text,
  used_memory: text,
});
/** What is read of a GPU. Elements that are not named here are the driver's own business: each release adds some. */
const gpuElement = z.object({
  "@id": text,
  product_name: text,
  uuid: text,
  minor_number: text.optional(),
  mig_mode: holder(z.object({ current_mig: text, pending_mig: text })).optional(),
  mig_devices: holder(z.object({ mig_device: z.array(migDevice) })).optional(),
  fb_memory_usage: memory,
  utilization: holder(z.object({ gpu_util: text })).optional(),
  temperature: holder(z.object({ gpu_temp: text.optional() })).optional(),
  gpu_power_readings: holder(
    z.object({
      average_power_draw: text.optional(),
      instant_power_draw: text.optional(),
      power_draw: text.optional(),
    }),
  ).optional(),
  gpu_recovery_action: text.optional(),
  ecc_errors: holder(z.object({ unrepairable_memory: text.optional() })).optional(),
  remapped_rows: holder(z.object({ remapped_row_failure: text.optional() })).optional(),
  processes: holder(z.object({ process_info: z.array(processInfo) })).optional(),
});
const log = z.object({
  nvidia_smi_log: z.object({
    driver_version: text,
    attached_gpus: text,
    gpu: z.array(z.unknown()).optional(),
  }),
});
type GpuElement = z.infer<typeof gpuElement>;

const CLOCKS = /<supported_clocks>[\s\S]*?<\/supported_clocks>/g;
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  // Everything stays text: `1e3`, `0x6` and `00` are not numbers here.
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: (name) => name === "gpu" || name === "mig_device" || name === "process_info",
});

/** Sets each GPU's neighbours by what `nvidia-smi topo -m` printed. @throws InventoryError `garbage` */
export function addLinks({ inventory: { gpus } }: Reading, topoText: string): void {
  if (gpus.length > 1) connect(gpus, parseTopology(topoText));
}

/**
 * Reads `nvidia-smi -q -x`, with `nvidia-smi -L` for the UUIDs of MIG instances, which the XML has not: `listText` is
 * needed when one exists. No GPU has neighbours yet; `addLinks` says them.
 * @throws InventoryError `garbage`, with the place, when anything is not as the driver writes it, or when the texts are
 * of different moments.
 */
export function parseNvidiaSmi(xml: string, listText?: string): Reading {
  const start = xml.indexOf("<?xml");
  const preamble = start < 0 ? xml : xml.slice(0, start);
  const lost: LostGpu[] = unreachableGpus(preamble);
  // Warnings about an infoROM follow the end.
  const end = xml.lastIndexOf("</nvidia_smi_log>");
  const text = start < 0 ? "" : xml.slice(start, end < 0 ? undefined : end + "</nvidia_smi_log>".length);
  // The clocks are half of the text, and nobody here asks for them. Lines keep their numbers.
  const body = text.replace(CLOCKS, (clocks) => clocks.replace(/[^\n]+/g, ""));
  const valid = XMLValidator.validate(body);
  if (body === "" || valid !== true)
    throw garbage(
      "nvidia-smi -q -x",
      body === "" || valid === true
        ? `printed no XML: ${JSON.stringify(xml.slice(0, 120))}`
        : `printed no whole XML: line ${valid.err.line}: ${valid.err.msg}`,
    );
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
      throw garbage(`${where}.uuid`, `${seen.uuid} is there twice`);
    const inList = listed.find(({ uuid }) => uuid === seen.uuid);
    // Position and number differ where a GPU is missing: the list has the number.
    const { gpu, reading } = oneGpu(seen, inList, inList?.index ?? i, where);
    if (gpus.some(({ uuid }) => uuid === gpu.uuid))
      throw garbage(`${where}.uuid`, `${gpu.uuid} is there twice`);
    gpus.push(gpu);
    readings.push(reading);
  }
  if (gpus.length + lost.length < attached)
    throw garbage("nvidia_smi_log", `tells of ${attached} GPUs and shows ${gpus.length + lost.length}`);
  const driver = root.nvidia_smi_log.driver_version;
  return { inventory: { source: "nvidia-smi", driver, gpus }, readings, lost, warnings: [] };
}

function check<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const path = [where, ...issue.path.map(String)].filter(Boolean).join(".");
    return `${path}: ${issue.message}`;
  });
  const first = [where, ...(result.error.issues[0]?.path.map(String) ?? [])].filter(Boolean).join(".");
  throw garbage(first || "nvidia-smi -q -x", `is not as the driver writes it (${problems.join("; ")})`);
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

function oneGpu(
  seen: GpuElement,
  listed: ListedGpu | undefined,
  index: number,
  where: string,
): { gpu: Gpu; reading: GpuReading } {
  if (!GPU_UUID.test(seen.uuid))
    throw garbage(`${where}.uuid`, `is ${JSON.stringify(seen.uuid)}; expected GPU- and a UUID`);
  const pci = pciAddress(seen["@id"]);
  if (!pci) throw garbage(`${where}.@id`, `is ${JSON.stringify(seen["@id"])}; expected a PCI address`);
  const memoryMiB = quantity(seen.fb_memory_usage.total, "MiB", `${where}.fb_memory_usage.total`);
  if (memoryMiB === null) throw garbage(`${where}.fb_memory_usage.total`, "has no size");
  const migMode = mode(seen.mig_mode?.current_mig, `${where}.mig_mode.current_mig`);
  const { instances, used } = migInstances(seen, listed, where);
  if (migMode !== "enabled" && instances.length > 0)
    throw garbage(`${where}.mig_devices`, "has instances, and MIG is not enabled");
  const gpu: Gpu = {
    uuid: seen.uuid,
    index,
    model: seen.product_name,
    memoryMiB,
    mig: migMode === "enabled",
    instances,
    nvlink: [],
  };
  const power = seen.gpu_power_readings;
  const reading: GpuReading = {
    uuid: seen.uuid,
    index,
    pci,
    minor: whole(seen.minor_number, `${where}.minor_number`),
    migMode,
    migModePending: mode(seen.mig_mode?.pending_mig, `${where}.mig_mode.pending_mig`),
    memoryUsedMiB: quantity(seen.fb_memory_usage.used, "MiB", `${where}.fb_memory_usage.used`),
    utilisation: quantity(seen.utilization?.gpu_util, "%", `${where}.utilization.gpu_util`),
    temperatureC: quantity(seen.temperature?.gpu_temp, "C", `${where}.temperature.gpu_temp`),
    powerW: quantity(
      power?.instant_power_draw ?? power?.average_power_draw ?? power?.power_draw,
      "W",
      `${where}.gpu_power_readings`,
    ),
    processes: (seen.processes?.process_info ?? []).map((info, i) =>
      oneProcess(info, `${where}.processes[${i}]`),
    ),
    instances: used,
  };
  const fault = faultOf(seen);
  if (fault) reading.fault = fault;
  return { gpu, reading };
}

/**
 * What the driver itself calls beyond use. A pending row remap, an ECC count or a slowdown is not: work goes on there,
 * and the operator sees it in the driver's own tools.
 */
function faultOf(seen: GpuElement): string | undefined {
  const action = seen.gpu_recovery_action;
  // "Drain P2P" concerns NVLink peers alone: the GPU itself goes on.
  if (action !== undefined && /reset|reboot/i.test(action)) return `the driver asks for: ${action}`;
  if (seen.remapped_rows?.remapped_row_failure === "Yes")
    return "its memory cannot be repaired any more (row remap failed)";
  if (seen.ecc_errors?.unrepairable_memory === "Yes") return "its memory cannot be repaired any more";
  return undefined;
}

function mode(value: string | undefined, where: string): GpuReading["migMode"] {
  if (value === undefined || isNone(value)) return "unsupported";
  if (value === "Enabled") return "enabled";
  if (value === "Disabled") return "disabled";
  throw garbage(where, `is ${JSON.stringify(value)}; expected Enabled, Disabled or N/A`);
}

/** Instances of one GPU. The XML has their ids and memory, the list their profile and UUID: joined by device number. */
function migInstances(
  seen: GpuElement,
  listed: ListedGpu | undefined,
  where: string,
): { instances: MigInstance[]; used: GpuReading["instances"] } {
  const devices = seen.mig_devices?.mig_device ?? [];
  const count = listed?.instances.length ?? 0;
  if (listed ? count !== devices.length : devices.length > 0)
    throw moved(`${where}.mig_devices`, `has ${devices.length} instances, and nvidia-smi -L ${count}`);
  const instances: MigInstance[] = [];
  const used: GpuReading["instances"] = [];
  for (const [i, device] of devices.entries()) {
    const at = `${where}.mig_devices.mig_device[${i}]`;
    const number = whole(device.index, `${at}.index`);
    const gi = whole(device.gpu_instance_id, `${at}.gpu_instance_id`);
    const ci = whole(device.compute_instance_id, `${at}.compute_instance_id`);
    const memoryMiB = quantity(device.fb_memory_usage.total, "MiB", `${at}.fb_memory_usage.total`);
    if (gi === null || ci === null) throw garbage(at, "has no instance ids");
    if (memoryMiB === null) throw garbage(`${at}.fb_memory_usage.total`, "has no size");
    const named = listed?.instances.find((entry) => entry.device === number);
    if (!named) throw moved(`${at}.index`, `is ${number}, which nvidia-smi -L does not have`);
    instances.push({ uuid: named.uuid, profile: named.profile, memoryMiB, gi, ci });
    const memoryUsedMiB = quantity(device.fb_memory_usage.used, "MiB", `${at}.fb_memory_usage.used`);
    used.push({ uuid: named.uuid, gi, ci, memoryUsedMiB });
  }
  return { instances, used };
}

function oneProcess(info: z.infer<typeof processInfo>, where: string): GpuProcess {
  const pid = whole(info.pid, `${where}.pid`);
  if (pid === null) throw garbage(`${where}.pid`, "is missing");
  const gi = whole(info.gpu_instance_id, `${where}.gpu_instance_id`);
  const ci = whole(info.compute_instance_id, `${where}.compute_instance_id`);
  return {
    pid,
    name: info.process_name,
    type: info.type,
    memoryMiB: quantity(info.used_memory, "MiB", `${where}.used_memory`),
    ...(gi !== null && { gi }),
    ...(ci !== null && { ci }),
  };
}

function connect(gpus: Gpu[], links: Map<number, number[]>): void {
  const byIndex = new Map(gpus.map((gpu) => [gpu.index, gpu]));
  for (const gpu of gpus) {
    const reached = links.get(gpu.index);
    if (!reached) throw moved("nvidia-smi topo -m", `has no row for GPU${gpu.index}`);
    gpu.nvlink = reached.flatMap((index) => byIndex.get(index)?.uuid ?? []);
  }
}
