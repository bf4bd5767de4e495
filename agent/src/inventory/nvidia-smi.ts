import { type Exec, type ExecResult, exec as realExec } from "./exec";
import { unreachableGpus } from "./text";
import { InventoryError, type Reading } from "./types";
import { addLinks, parseNvidiaSmi } from "./xml";

export interface NvidiaSmiOptions {
  /** Default `nvidia-smi`, found on PATH. */
  command?: string;
  /** For one whole reading, all commands together. Default 20,000 ms. */
  deadlineMs?: number;
  /** Of output, for each command. Default 16 MiB; eight GPUs print half a MiB. */
  maxBytes?: number;
  /** `declared` where the command is the stand-in of a declared inventory. Default `nvidia-smi`. */
  source?: "nvidia-smi" | "declared";
  exec?: Exec;
  /** Milliseconds; default the monotonic clock. */
  now?: () => number;
}

const KEEP = { deadlineMs: 20_000, maxBytes: 16 * 1024 * 1024 };

/** What the manual of nvidia-smi says of its exit codes, for the message. */
const EXIT_CODES: Readonly<Record<number, string>> = {
  2: "an argument is not valid",
  3: "the operation is not available on this GPU",
  4: "no permission",
  6: "no such device, or none at all",
  8: "an external power cable is not attached",
  9: "the driver is not loaded",
  10: "the kernel found an interrupt issue with a GPU",
  12: "the NVML library was not found",
  13: "this NVML lacks the function: library and driver differ",
  14: "an infoROM is corrupted",
  15: "a GPU fell off the bus, or cannot be reached",
  255: "an internal error of the driver",
};

/** Asks the driver. One reading at a time; calls that overlap share it. */
export class NvidiaSmi {
  readonly #options: NvidiaSmiOptions;
  readonly #exec: Exec;
  readonly #now: () => number;
  #running: Promise<Reading> | undefined;
  /** A process that outlived its SIGKILL, inside the driver. */
  #stuck: string | undefined;
  /** `topo -m` of these GPUs: links do not change while the GPUs are the same. */
  #topology: { key: string; text: string } | undefined;

  constructor(options: NvidiaSmiOptions = {}) {
    this.#options = options;
    this.#exec = options.exec ?? realExec;
    this.#now = options.now ?? (() => performance.now());
  }

  get command(): string {
    return this.#options.command ?? "nvidia-smi";
  }

  /**
   * GPUs, instances and readings. A GPU that the driver cannot reach is in `lost`; the others are read all the same.
   * @param known GPUs of earlier readings: asked one by one when the driver refuses to answer for all at once.
   * @throws InventoryError
   */
  read(known: readonly { uuid: string; index: number; pci: string }[] = []): Promise<Reading> {
    this.#running ??= this.#read(known).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #read(known: readonly { uuid: string; index: number; pci: string }[]): Promise<Reading> {
    const end = this.#now() + (this.#options.deadlineMs ?? KEEP.deadlineMs);
    const reading = await this.#all(end, known).catch((error: unknown) => {
      if (error instanceof InventoryError && error.again) return this.#all(end, known);
      throw error;
    });
    return { ...reading, inventory: { ...reading.inventory, source: this.#options.source ?? "nvidia-smi" } };
  }

  async #all(end: number, known: readonly { uuid: string; index: number; pci: string }[]): Promise<Reading> {
    const answer = await this.#run(["-q", "-x"], end);
    // 14 is a warning, printed after a whole answer: the GPU works with a corrupted infoROM.
    if (answer.code === 0 || answer.code === 14) return this.#parsed(answer.stdout, end, []);
    if (noDevice(answer)) return { inventory: { source: "nvidia-smi", gpus: [] }, readings: [], lost: [] };
    const lost = unreachableGpus(`${answer.stdout}\n${answer.stderr}`);
    // Exit 15 or 255 with the name of one GPU: the driver gave up at that one, and the rest may be well.
    if (lost.length === 0 || known.length === 0) throw this.#failed(["-q", "-x"], answer);
    const rest = known.filter(({ pci }) => !lost.some((gpu) => gpu.pci === pci));
    const found: Reading = { inventory: { source: "nvidia-smi", gpus: [] }, readings: [], lost };
    for (const { uuid, index, pci } of rest) {
      const one = await this.#run(["-q", "-x", "-i", uuid], end);
      // It was pulled, or taken from this machine: it counts as missing, and the rest are still to be read.
      if (noDevice(one)) continue;
      if (one.code !== 0 && one.code !== 14) {
        const [named] = unreachableGpus(`${one.stdout}\n${one.stderr}`);
        if (!named) throw this.#failed(["-q", "-x", "-i", uuid], one);
        found.lost.push({ pci, uuid, reason: named.reason });
        continue;
      }
      const part = await this.#parsed(onlyOne(one.stdout), end, ["-i", uuid]);
      found.inventory.driver = part.inventory.driver;
      // Alone, every GPU is the first.
      for (const gpu of part.inventory.gpus) found.inventory.gpus.push({ ...gpu, index });
      for (const reading of part.readings) found.readings.push({ ...reading, index });
      found.lost.push(...part.lost);
    }
    return found;
  }

  /** Reads the list and the links when the XML needs them. */
  async #parsed(xml: string, end: number, select: string[]): Promise<Reading> {
    const instances = xml.includes("<mig_device>");
    const several = xml.split("<gpu ").length > 2;
    // Position is not number when a GPU is missing between others, so more than one GPU needs the list as well.
    const list = instances || several ? (await this.#ok(["-L", ...select], end)).stdout : undefined;
    const reading = parseNvidiaSmi(xml, list);
    if (!several) return reading;
    const key = reading.inventory.gpus.map(({ uuid, index }) => `${index}=${uuid}`).join(" ");
    const known = this.#topology?.key === key ? this.#topology.text : undefined;
    const topology = known ?? (await this.#ok(["topo", "-m"], end)).stdout;
    // Parsed before it is kept: a matrix that makes no sense must be asked for again.
    addLinks(reading, topology);
    this.#topology = { key, text: topology };
    return reading;
  }

  async #ok(args: string[], end: number): Promise<ExecResult> {
    const answer = await this.#run(args, end);
    // A lost GPU makes `-L` end with 15 after it listed the others.
    const partial = answer.stdout !== "" && unreachableGpus(`${answer.stdout}\n${answer.stderr}`).length > 0;
    if (answer.code !== 0 && answer.code !== 14 && !partial) throw this.#failed(args, answer);
    return answer;
  }

  async #run(args: string[], end: number): Promise<ExecResult> {
    const where = [this.command, ...args].join(" ");
    // One more would hang as well, and each keeps a process that nobody can end.
    if (this.#stuck !== undefined)
      throw new InventoryError(
        "hang",
        `${this.#stuck} was killed and still hangs in the driver`,
        this.#stuck,
      );
    const deadlineMs = end - this.#now();
    const total = this.#options.deadlineMs ?? KEEP.deadlineMs;
    const hang = () =>
      new InventoryError("hang", `${where} did not end: the whole reading has ${total / 1000} s`, where);
    if (deadlineMs <= 0) throw hang();
    let answer: ExecResult;
    try {
      answer = await this.#exec(this.command, args, {
        deadlineMs,
        maxBytes: this.#options.maxBytes ?? KEEP.maxBytes,
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") throw new InventoryError("missing", `${this.command} is not installed`, where);
      throw new InventoryError("exit", `${where} could not be started: ${message}`, where);
    }
    if (answer.timedOut) {
      this.#stuck = where;
      void answer.gone.then(() => {
        this.#stuck = undefined;
      });
      throw hang();
    }
    if (answer.tooMuch) throw new InventoryError("garbage", `${where} printed without an end`, where);
    return answer;
  }

  #failed(args: string[], { code, stdout, stderr }: ExecResult): InventoryError {
    const where = [this.command, ...args].join(" ");
    const said = (stderr.trim() || stdout.trim()).split("\n")[0]?.slice(0, 200) ?? "";
    const meaning = code === null ? "it was killed" : EXIT_CODES[code];
    const message = `${where} ended with ${code ?? "a signal"}${meaning ? ` (${meaning})` : ""}${said ? `: ${said}` : ""}`;
    return new InventoryError("exit", message, where, code ?? undefined);
  }
}

/** An answer, not a failure: there is no GPU, or none with the UUID that was asked for. */
const noDevice = ({ code, stdout, stderr }: ExecResult) =>
  code === 6 && /^No devices were found/m.test(`${stdout}\n${stderr}`);

/** `-i` shows one GPU and still counts all that are attached. */
function onlyOne(xml: string): string {
  return xml.replace(/<attached_gpus>\d+<\/attached_gpus>/, "<attached_gpus>1</attached_gpus>");
}
