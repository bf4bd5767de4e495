/**
 * The tables and lists that nvidia-smi prints for people. Formats: captures of driver 580, and NVIDIA's MIG User Guide
 * (R450 to R5xx) where MIG is on.
 */
import { GPU_UUID, garbage, MIG_UUID, pciAddress } from "./values";

export interface ListedInstance {
  /** The number after `Device`: the `<index>` of `-q -x`. */
  device: number;
  /** `1g.10gb`; `1c.3g.40gb` for a part of an instance's compute. */
  profile: string;
  uuid: string;
}

export interface ListedGpu {
  index: number;
  model: string;
  uuid: string;
  instances: ListedInstance[];
}

/** The driver cannot reach this GPU; printed among the answers for the others. */
const UNREACHABLE = /^Unable to determine the device handle for (?:GPU ?)?(.*)$/i;

/**
 * The GPUs that a text says cannot be reached: address and reason of a line such as
 * `Unable to determine the device handle for GPU1: 0000:34:00.0: GPU is lost.` Some drivers leave the address out.
 */
export function unreachableGpus(text: string): { pci?: string; reason: string }[] {
  return text.split("\n").flatMap((line) => {
    const rest = UNREACHABLE.exec(line.trim())?.[1];
    if (rest === undefined) return [];
    const match = /([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2})(?:\.[0-9a-f])?:?\s*(.*)$/i.exec(rest);
    const pci = pciAddress(match?.[1] ?? "");
    const reason = (match ? match[2] : rest.replace(/^\d+:\s*/, ""))?.trim();
    return [{ ...(pci !== undefined && { pci }), reason: reason || "lost" }];
  });
}

/** `nvidia-smi -L`. Throws an `InventoryError` (garbage) with the line that it does not know. */
export function parseList(text: string): ListedGpu[] {
  const gpus: ListedGpu[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    // A warning is of an infoROM: the list is whole all the same.
    if (
      line.trim() === "" ||
      /^No devices (were )?found|^WARNING:/i.test(line) ||
      UNREACHABLE.test(line.trim())
    )
      continue;
    const where = `nvidia-smi -L, line ${i + 1},`;
    const gpu = /^GPU (\d+): (.+) \(UUID: (\S+)\)\s*$/.exec(line);
    if (gpu) {
      const [, index = "", model = "", uuid = ""] = gpu;
      if (!GPU_UUID.test(uuid)) throw garbage(where, `has no UUID of a GPU: ${JSON.stringify(line)}`);
      gpus.push({ index: Number(index), model, uuid, instances: [] });
      continue;
    }
    const instance = /^\s+MIG (\S+)\s+Device\s+(\d+):\s+\(UUID: (\S+)\)\s*$/.exec(line);
    const owner = gpus.at(-1);
    if (!instance || !owner)
      throw garbage(where, `is neither a GPU nor a MIG device: ${JSON.stringify(line)}`);
    const [, profile = "", device = "", uuid = ""] = instance;
    if (!MIG_UUID.test(uuid)) throw garbage(where, `has no UUID of a MIG device: ${JSON.stringify(line)}`);
    owner.instances.push({ device: Number(device), profile, uuid });
  }
  return gpus;
}

/** Lines of a table that say nothing: its frame, its head. */
const FRAME = /^\+[-=+]+\+$|^\|[=+]+\|$/;
const BODY = /^\|\s+\d/;

/** A profile that a GPU offers, of `nvidia-smi mig -lgip`. */
export interface ProfileRow {
  gpu: number;
  profile: string;
  profileId: number;
  free: number;
  total: number;
  memoryGiB: number;
}

/** `nvidia-smi mig -lgip`. A GPU without MIG has no row. */
export function parseInstanceProfiles(text: string): ProfileRow[] {
  if (/^No (MIG-\S+ devices|devices) (were )?found/im.test(text)) return [];
  return rows(text, "nvidia-smi mig -lgip", (line) => {
    const match = /^\|\s+(\d+)\s+MIG (\S+)\s+(\d+)\s+(\d+)\/(\d+)\s+([\d.]+)\s+(?:Yes|No)\s+.*\|$/.exec(line);
    if (!match) return undefined;
    const [gpu = 0, profileId = 0, free = 0, total = 0, memoryGiB = 0] = [1, 3, 4, 5, 6].map((n) =>
      Number(match[n]),
    );
    return { gpu, profile: match[2] ?? "", profileId, free, total, memoryGiB };
  });
}

/** The rows of a framed table that name a profile; any other row with a number first is a continuation or unknown. */
function rows<T>(text: string, command: string, read: (line: string) => T | undefined): T[] {
  const lines = text.split("\n").map((line) => line.trimEnd());
  if (!lines.some((line) => FRAME.test(line)))
    throw garbage(command, `printed no table: ${JSON.stringify(text.slice(0, 120))}`);
  const found: T[] = [];
  for (const [i, line] of lines.entries()) {
    if (!BODY.test(line) || !line.includes("MIG ")) continue;
    const row = read(line);
    if (!row) throw garbage(`${command}, line ${i + 1},`, `is no row of the table: ${JSON.stringify(line)}`);
    found.push(row);
  }
  return found;
}

/**
 * `nvidia-smi topo -m`: for each GPU index the indexes that it reaches over NVLink (`NV18` and the like).
 * The lists are sorted. NICs and affinities in the same matrix are passed over.
 */
export function parseTopology(text: string): Map<number, number[]> {
  // The head is underlined, also when nobody looks at it.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape is what is to go
  const lines = text.replace(/\u001b\[[0-9;]*m/g, "").split("\n");
  const head = lines.findIndex((line) => /^\s*GPU\d+\s/.test(`${line} `) && line.startsWith("\t"));
  if (head < 0)
    throw garbage(
      "nvidia-smi topo -m",
      `has no row that names the GPUs: ${JSON.stringify(text.slice(0, 120))}`,
    );
  const cells = (line: string) => line.split("\t").map((cell) => cell.trim());
  const columns = cells(lines[head] ?? "");
  const links = new Map<number, number[]>();
  for (const line of lines.slice(head + 1)) {
    const row = cells(line);
    const own = /^GPU(\d+)$/.exec(row[0] ?? "")?.[1];
    if (own === undefined) continue;
    const reached: number[] = [];
    for (const [at, name] of columns.entries()) {
      const other = /^GPU(\d+)$/.exec(name)?.[1];
      if (other === undefined) continue;
      const cell = row[at] ?? "";
      if (!/^(X|NV\d+|SYS|NODE|PHB|PXB|PIX|SOC|N\/A)$/.test(cell))
        throw garbage("nvidia-smi topo -m", `says ${JSON.stringify(cell)} between GPU${own} and GPU${other}`);
      if (cell.startsWith("NV")) reached.push(Number(other));
    }
    links.set(
      Number(own),
      reached.sort((a, b) => a - b),
    );
  }
  return links;
}
