import type { GpuProcess } from "./types";
import { figure, isNone } from "./values";

/** Longer names are cut: they are for people. */
const LONGEST_NAME = 1024;
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/**
 * The processes of one GPU, out of what `nvidia-smi -q -x` printed of it from `<processes>` on. For people alone, and
 * nothing of it is an error: a name is its user's to choose, and the driver does not escape it. An entry that cannot be
 * read is left out.
 */
export function readProcesses(cut: string): GpuProcess[] {
  const found: GpuProcess[] = [];
  // No expression that looks ahead: a name may hold as many beginnings as it likes.
  for (let at = cut.indexOf(OPEN); at >= 0; at = cut.indexOf(OPEN, at + OPEN.length)) {
    const end = cut.indexOf(CLOSE, at);
    if (end < 0) break;
    const process = oneProcess(cut.slice(at + OPEN.length, end));
    if (process) found.push(process);
  }
  return found;
}

const OPEN = "<process_info>";
const CLOSE = "</process_info>";

function oneProcess(entry: string): GpuProcess | undefined {
  const from = entry.indexOf("<process_name>");
  const to = entry.lastIndexOf("</process_name>");
  if (from < 0 || to < from) return undefined;
  const before = entry.slice(0, from);
  const pid = number(element(before, "pid"));
  if (pid === undefined) return undefined;
  const gi = number(element(before, "gpu_instance_id"));
  const ci = number(element(before, "compute_instance_id"));
  const name = entry.slice(from + "<process_name>".length, to).trim();
  return {
    pid,
    name: name
      .replace(/&(amp|lt|gt|quot|apos);/g, (_, word: string) => ENTITIES[word] ?? "")
      .slice(0, LONGEST_NAME),
    type: element(before, "type") ?? "",
    memoryMiB: figure(element(entry.slice(to), "used_memory"), "MiB"),
    ...(gi !== undefined && { gi }),
    ...(ci !== undefined && { ci }),
  };
}

/** The text of an element; undefined where there is none, or none that says anything. */
function element(text: string, name: string): string | undefined {
  const value = new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]?.trim();
  return value === undefined || isNone(value) ? undefined : value;
}

const number = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
