import { unreachableGpus } from "./text";
import { InventoryError, type LostGpu } from "./types";
import { garbage } from "./values";

/** What `nvidia-smi -q -x` printed, parted into the driver's own words and those that a user chose. */
export interface SmiDocument {
  /** GPUs that it says cannot be reached, before the XML. */
  lost: LostGpu[];
  /** The XML without lists of processes and clocks. Lines keep their numbers. */
  body: string;
  /** Of each GPU in `body`, in order: what was cut out of it from its list of processes on. */
  cut: string[];
}

/**
 * It shows more GPUs than it counts, or one twice: a process was named so that it reads as one. Asked for each GPU by
 * itself, the driver says everything that is needed before it comes to a process.
 */
export class MixedDocument extends InventoryError {
  constructor(where: string, problem: string) {
    super("garbage", `${where} ${problem}`, where);
  }
}

const END = "</nvidia_smi_log>";
const GPU = /<gpu\s/g;
/** The driver puts the name of a process, which is its user's to choose, into the XML as it is. */
const PROCESSES = /<(?:compute_|accounted_)?processes\b/;
/** Half of the text, and nobody here asks for them; some drivers do not even close their tags. */
const CLOCKS = /<supported_clocks>[\s\S]*?<\/supported_clocks>/g;

/**
 * Parts a document before anything in it is judged. All that is needed of a GPU stands before its processes (driver's
 * DTD, versions 9 to 13), so from there on it is cut out.
 *
 * @param only True: it was asked for one GPU (`-i`), and still counts all that are attached.
 * @throws InventoryError `garbage` when it has no beginning or no end; {@link MixedDocument}
 */
export function partDocument(printed: string, only = false): SmiDocument {
  const start = printed.indexOf("<?xml");
  if (start < 0)
    throw garbage("nvidia-smi -q -x", `printed no XML: ${JSON.stringify(printed.slice(0, 120))}`);
  const lost = unreachableGpus(printed.slice(0, start));
  // Warnings about an infoROM follow the end.
  const end = printed.lastIndexOf(END);
  if (end < start) throw garbage("nvidia-smi -q -x", `printed no whole XML: ${END} is missing`);
  const xml = printed.slice(start, end);
  const starts = [...xml.matchAll(GPU)].map(({ index }) => index);
  let head = xml.slice(0, starts[0]);
  let parts = starts.map((from, i) => xml.slice(from, starts[i + 1]));
  const attached = Number(/<attached_gpus>\s*(\d+)/.exec(head)?.[1] ?? Number.NaN);
  if (only) head = head.replace(/(<attached_gpus>\s*)\d+/, "$11");
  // The first is the driver's own, whatever its processes are called.
  if (only || attached === 1) parts = parts.slice(0, 1);
  else if (attached > 1 && parts.length + lost.length > attached)
    throw new MixedDocument(
      "nvidia_smi_log.attached_gpus",
      `is ${attached}, and ${parts.length} GPUs follow, ${lost.length} cannot be reached`,
    );
  const cut: string[] = [];
  const kept = parts.map((part) => {
    const at = part.search(PROCESSES);
    cut.push(at < 0 ? "" : part.slice(at));
    return at < 0 ? part : `${part.slice(0, at)}${blank(part.slice(at))}</gpu>`;
  });
  const body = `${head}${kept.join("")}${END}`.replace(CLOCKS, blank);
  return { lost, body, cut };
}

/** As many lines, and nothing in them. */
const blank = (text: string) => text.replace(/[^\n]+/g, "");
