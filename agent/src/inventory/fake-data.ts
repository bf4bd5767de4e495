import {
  type Gpu,
  hasMedia,
  type Inventory,
  type MigInstance,
  memorySlices,
  migModelOf,
} from "../../../core/gpu";

/**
 * What the stand-in for nvidia-smi prints, GPU by GPU, in the formats of driver 580 and of NVIDIA's MIG User Guide.
 * `@USED:uuid@`, `@FREE:uuid@` and `@BUSY:uuid@` are put in by the program.
 */

/** PCI address as the XML has it. Bus 0x10 and up: below are a machine's own devices. */
export const fakePci = (index: number): string =>
  `00000000:${(0x10 + index).toString(16).toUpperCase().padStart(2, "0")}:00.0`;

/**
 * Number of the device node in `/dev/nvidia-caps` that opens a GPU instance, as the driver counts them in
 * `/proc/driver/nvidia-caps/mig-minors`: two are the driver's own, then 15 instances of 9 for each GPU.
 */
export const gpuInstanceCap = (gpuIndex: number, gi: number): number => 3 + gpuIndex * 135 + gi * 9;
/** And the one that opens a compute instance in it. */
export const computeInstanceCap = (gpuIndex: number, gi: number, ci: number): number =>
  gpuInstanceCap(gpuIndex, gi) + 1 + ci;

const escaped = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export function xmlStart(inventory: Inventory): string {
  return `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">
<nvidia_smi_log>
	<timestamp>@TIME@</timestamp>
	<driver_version>${inventory.driver ?? "N/A"}</driver_version>
	<cuda_version>13.0</cuda_version>
	<attached_gpus>@COUNT@</attached_gpus>
`;
}

/** From the GPU's start to where its MIG devices follow. */
export function gpuHead(gpu: Gpu): string {
  const mode = gpu.mig ? "Enabled" : migModelOf(gpu.model, gpu.memoryMiB) ? "Disabled" : "N/A";
  return `	<gpu id="${fakePci(gpu.index)}">
		<product_name>${escaped(gpu.model)}</product_name>
		<product_brand>NVIDIA</product_brand>
		<persistence_mode>Enabled</persistence_mode>
		<mig_mode>
			<current_mig>${mode}</current_mig>
			<pending_mig>${mode}</pending_mig>
		</mig_mode>
		<mig_devices>
`;
}

export function migDevice(instance: MigInstance, device: number): string {
  const slices = Number(/(\d)g\./.exec(instance.profile)?.[1] ?? 1);
  return `			<mig_device>
				<index>${device}</index>
				<gpu_instance_id>${instance.gi}</gpu_instance_id>
				<compute_instance_id>${instance.ci}</compute_instance_id>
				<device_attributes>
					<shared>
						<multiprocessor_count>${slices * 16}</multiprocessor_count>
						<copy_engine_count>${slices}</copy_engine_count>
						<encoder_count>0</encoder_count>
						<decoder_count>${slices}</decoder_count>
						<ofa_count>0</ofa_count>
						<jpg_count>${slices}</jpg_count>
					</shared>
				</device_attributes>
				<ecc_error_count>
					<volatile_count>
						<sram_uncorrectable>0</sram_uncorrectable>
					</volatile_count>
				</ecc_error_count>
				<fb_memory_usage>
					<total>${instance.memoryMiB} MiB</total>
					<reserved>0 MiB</reserved>
					<used>@USED:${instance.uuid}@ MiB</used>
					<free>@FREE:${instance.uuid}@ MiB</free>
				</fb_memory_usage>
			</mig_device>
`;
}

export function gpuTail(gpu: Gpu): string {
  const busy = gpu.mig ? "N/A" : `@BUSY:${gpu.uuid}@ %`;
  return `		</mig_devices>
		<serial>N/A</serial>
		<uuid>${gpu.uuid}</uuid>
		<minor_number>${gpu.index}</minor_number>
		<gpu_recovery_action>@ACTION:${gpu.uuid}@</gpu_recovery_action>
		<pci>
			<pci_bus_id>${fakePci(gpu.index)}</pci_bus_id>
		</pci>
		<fb_memory_usage>
			<total>${gpu.memoryMiB} MiB</total>
			<reserved>0 MiB</reserved>
			<used>@USED:${gpu.uuid}@ MiB</used>
			<free>@FREE:${gpu.uuid}@ MiB</free>
		</fb_memory_usage>
		<compute_mode>Default</compute_mode>
		<utilization>
			<gpu_util>${busy}</gpu_util>
			<memory_util>${gpu.mig ? "N/A" : "0 %"}</memory_util>
		</utilization>
		<temperature>
			<gpu_temp>37 C</gpu_temp>
		</temperature>
		<gpu_power_readings>
			<average_power_draw>74.19 W</average_power_draw>
			<instant_power_draw>74.12 W</instant_power_draw>
		</gpu_power_readings>
		<processes>
		</processes>
	</gpu>
`;
}

export const listLine = (gpu: Gpu): string => `GPU ${gpu.index}: ${gpu.model} (UUID: ${gpu.uuid})\n`;

export const listInstance = ({ profile, uuid }: MigInstance, device: number): string =>
  `  MIG ${profile.padEnd(12)} Device ${String(device).padStart(2)}: (UUID: ${uuid})\n`;

/** Ids of the profiles: an H100's, as captured; other models have the same for the same shapes. */
const PROFILE_IDS: Readonly<Record<string, number>> = {
  "1": 19,
  "1+me": 20,
  "1x2": 15,
  "2": 14,
  "3": 9,
  "4": 5,
  "7": 0,
};

function profileId(model: string, memoryMiB: number, profile: string): number {
  const size = migModelOf(model, memoryMiB)?.profiles[profile]?.size ?? 1;
  const [, slices = "1", media = ""] = /^(\d)g\.\d+gb(\+me)?$/.exec(profile) ?? [];
  return PROFILE_IDS[slices === "1" && size === 2 ? "1x2" : `${slices}${media}`] ?? 19;
}

const padded = (value: string | number, width: number) => String(value).padStart(width);

export const lgiHead = `+---------------------------------------------------------+
| GPU instances:                                          |
| GPU   Name               Profile  Instance   Placement  |
|                            ID       ID       Start:Size |
|=========================================================|
`;
export const lgiRule = "+---------------------------------------------------------+\n";

/** Rows of `mig -lgi`. Starts are found again from the instances' ids: ids grow with the start within a size. */
export function lgiRow(gpu: Gpu, instance: MigInstance, start: number, size: number): string {
  const id = profileId(gpu.model, gpu.memoryMiB, instance.profile);
  const name = `MIG ${instance.profile}`.padEnd(18);
  const place = padded(`${start}:${size}`, 8);
  return `| ${padded(gpu.index, 3)}  ${name} ${padded(id, 5)}    ${padded(instance.gi, 5)}     ${place}     |\n`;
}

export const lgipHead = `+-------------------------------------------------------------------------------+
| GPU instance profiles:                                                        |
| GPU   Name               ID    Instances   Memory     P2P    SM    DEC   ENC  |
|                                Free/Total   GiB              CE    JPEG  OFA  |
|===============================================================================|
`;
export const lgipRule = "+-------------------------------------------------------------------------------+\n";

/** Rows of `mig -lgip` for a GPU in MIG mode or able to be; empty for others. */
export function lgipRows(gpu: Gpu, starts: readonly { start: number; size: number }[]): string {
  const model = migModelOf(gpu.model, gpu.memoryMiB);
  if (!model) return "";
  const taken = new Set(
    starts.flatMap(({ start, size }) => Array.from({ length: size }, (_, i) => start + i)),
  );
  const slices = memorySlices(model);
  return Object.entries(model.profiles)
    .map(([profile, { size, starts: places }]) => {
      const media = hasMedia(profile);
      const most = (used: ReadonlySet<number>) => {
        const full = new Set(used);
        let count = 0;
        for (const start of places) {
          const wanted = Array.from({ length: size }, (_, i) => start + i);
          if (wanted.some((slice) => full.has(slice))) continue;
          for (const slice of wanted) full.add(slice);
          count++;
        }
        return media ? Math.min(1, count) : count;
      };
      const g = Number(profile[0]);
      const gib = (gpu.memoryMiB * size) / slices / 1024;
      const free = `${most(taken)}/${most(new Set())}`;
      const id = profileId(gpu.model, gpu.memoryMiB, profile);
      return `| ${padded(gpu.index, 3)}  MIG ${profile.padEnd(13)} ${padded(id, 4)}  ${padded(free, 6)}     ${padded(gib.toFixed(2), 7)}       No  ${padded(g * 16, 5)}  ${padded(g, 4)}     0   |
|                                                            ${padded(g, 4)}  ${padded(g, 4)}  ${padded(media ? 1 : 0, 4)}   |
`;
    })
    .join(lgipRule);
}

/** The matrix of `topo -m`. */
export function topology(inventory: Inventory): string {
  const { gpus } = inventory;
  const head = [
    "",
    ...gpus.map(({ index }) => `GPU${index}`),
    "CPU Affinity",
    "NUMA Affinity",
    "GPU NUMA ID",
  ];
  const rows = gpus.map((gpu) => [
    `GPU${gpu.index}`,
    ...gpus.map((other) => (other === gpu ? " X " : gpu.nvlink.includes(other.uuid) ? "NV18" : "SYS")),
    "0-15",
    "0",
    "",
    "N/A",
  ]);
  return `${[head, ...rows].map((cells) => cells.join("\t")).join("\n")}

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NV#  = Connection traversing a bonded set of # NVLinks
`;
}

/** Fields of `--query-gpu`, one `name|header|value` a line. */
export function queryFields(gpu: Gpu, driver: string): string {
  const mode = gpu.mig ? "Enabled" : migModelOf(gpu.model, gpu.memoryMiB) ? "Disabled" : "[N/A]";
  const rows: [names: string, value: string][] = [
    ["index", String(gpu.index)],
    ["uuid gpu_uuid", gpu.uuid],
    ["name gpu_name", gpu.model],
    ["count", "@COUNT@"],
    ["driver_version", driver],
    ["memory.total", `${gpu.memoryMiB} MiB`],
    ["memory.used", `@USED:${gpu.uuid}@ MiB`],
    ["memory.free", `@FREE:${gpu.uuid}@ MiB`],
    ["utilization.gpu", gpu.mig ? "[N/A]" : `@BUSY:${gpu.uuid}@ %`],
    ["mig.mode.current", mode],
    ["mig.mode.pending", mode],
    ["compute_cap", "9.0"],
    ["pci.bus_id gpu_bus_id", fakePci(gpu.index)],
    ["temperature.gpu", "37"],
    ["power.draw", "74.19 W"],
    ["persistence_mode", "Enabled"],
  ];
  const units: Record<string, string> = { MiB: " [MiB]", "%": " [%]", W: " [W]" };
  return rows
    .flatMap(([names, value]) =>
      names.split(" ").map((name) => {
        const unit = name === "utilization.gpu" ? "%" : (/ (MiB|%|W)$/.exec(value)?.[1] ?? "");
        return `${name}|${name}${units[unit] ?? ""}|${value}\n`;
      }),
    )
    .join("");
}
