import { MixedDocument, partDocument, type SmiDocument } from "./document";
import { type Exec, type ExecResult, exec as realExec } from "./exec";
import { type ListedGpu, parseInstanceProfiles, parseList, unreachableGpus } from "./text";
import { InventoryError, type LostGpu, type Reading } from "./types";
import { addLinks, parseDocument } from "./xml";

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
/** For what decides nothing: what is to be granted waits for the reading. */
const ASIDE = { deadlineMs: 5000, againMs: 60_000 };
/** Questions apart, each of which holds up itself alone when it hangs. */
type Question = "needed" | "links" | "profiles";

/** A GPU of earlier readings. */
type Known = { uuid: string; index: number; pci: string };
/** One that is asked by itself; listed alone, its address is not known. */
type Asked = Omit<Known, "pci"> & { pci?: string };

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
  /** Processes that outlived their SIGKILL, inside the driver. */
  readonly #stuck: { [K in Question]?: string } = {};
  /** Neighbours by UUID, and of which GPUs: links do not change while the GPUs are the same. */
  #links: { key: string; reached: ReadonlyMap<string, readonly string[]> } | undefined;
  /** What GPUs can be divided into, by UUID, and of which GPUs and driver. */
  #offers: { key: string; profiles: ReadonlyMap<string, Record<string, number>> } | undefined;
  /** Until then `mig -lgip`, which failed, is not asked again. */
  #noOffersUntil = Number.NEGATIVE_INFINITY;
  /** Why the links are not known, and until when they are not asked for again. */
  #unlinked: { problem: string; until: number } | undefined;

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
   * @param known GPUs of earlier readings, by UUID, number and address: asked one by one with those that `nvidia-smi -L`
   * lists when the driver refuses to answer for all at once.
   * @throws InventoryError
   */
  read(known: readonly Known[] = []): Promise<Reading> {
    this.#running ??= this.#read(known).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #read(known: readonly Known[]): Promise<Reading> {
    const end = this.#now() + (this.#options.deadlineMs ?? KEEP.deadlineMs);
    const reading = await this.#all(end, known).catch((error: unknown) => {
      if (error instanceof InventoryError && error.again) return this.#all(end, known);
      throw error;
    });
    const source = this.#options.source ?? "nvidia-smi";
    // How declared GPUs are divided is the stack's own to say.
    if (source === "nvidia-smi") await this.#offered(reading, end);
    return { ...reading, inventory: { ...reading.inventory, source } };
  }

  async #all(end: number, known: readonly Known[]): Promise<Reading> {
    const answer = await this.#run(["-q", "-x"], end);
    if (noDevice(answer)) return nothing([]);
    let lost: LostGpu[];
    let refused: InventoryError;
    // 14 is a warning, printed after a whole answer: the GPU works with a corrupted infoROM.
    if (answer.code === 0 || answer.code === 14) {
      try {
        return await this.#parsed(partDocument(answer.stdout), end, [], known);
      } catch (error) {
        if (!(error instanceof MixedDocument)) throw error;
        lost = [];
        refused = error;
      }
    } else {
      lost = unreachableGpus(`${answer.stdout}\n${answer.stderr}`);
      refused = this.#failed(["-q", "-x"], answer);
    }
    const listed = await this.#listed(end);
    // Exit 15 or 255 with words about one GPU: the driver gave up at that one, and the rest may be well.
    for (const gpu of listed?.lost ?? []) if (!lost.some(({ pci }) => pci === gpu.pci)) lost.push(gpu);
    const rest = (listed?.gpus ?? []).map(({ uuid, index }): Asked => {
      const pci = known.find((one) => one.uuid === uuid)?.pci;
      return { uuid, index, ...(pci !== undefined && { pci }) };
    });
    for (const gpu of known) if (!rest.some(({ uuid }) => uuid === gpu.uuid)) rest.push(gpu);
    const asked = rest.filter(({ pci }) => pci === undefined || !lost.some((gpu) => gpu.pci === pci));
    const oneGaveUp = lost.length > 0 || refused instanceof MixedDocument;
    if (!oneGaveUp || asked.length === 0) throw refused;
    const found = await this.#oneByOne(asked, lost, end, known);
    if (found.inventory.gpus.length === 0 && known.length === 0) throw refused;
    return found;
  }

  /** What the driver still lists, and which it says it cannot reach; undefined where the list fails as well. */
  async #listed(end: number): Promise<{ gpus: ListedGpu[]; lost: LostGpu[] } | undefined> {
    try {
      const { stdout, stderr } = await this.#ok(["-L"], end);
      return { gpus: parseList(stdout), lost: unreachableGpus(`${stdout}\n${stderr}`) };
    } catch (error) {
      if (!(error instanceof InventoryError) || error.code === "hang") throw error;
      return undefined;
    }
  }

  /** @param lost is added to. */
  async #oneByOne(
    asked: readonly Asked[],
    lost: LostGpu[],
    end: number,
    known: readonly Known[],
  ): Promise<Reading> {
    const found = nothing(lost);
    // Side by side: one after another, eight GPUs of a driver that takes a second for each call are past the deadline,
    // and any process can bring a reading onto this way by its name. The answers are judged in the order of the GPUs.
    const answers = await Promise.allSettled(asked.map((one) => this.#one(one, end, known)));
    for (const [i, { uuid, index, pci }] of asked.entries()) {
      const settled = answers[i] as PromiseSettledResult<ExecResult | Reading | undefined>;
      if (settled.status === "rejected") throw settled.reason;
      const one = settled.value;
      if (one === undefined) continue;
      if (!("inventory" in one)) {
        const [named] = unreachableGpus(`${one.stdout}\n${one.stderr}`);
        if (!named) throw this.#failed(["-q", "-x", "-i", uuid], one);
        const at = pci ?? named.pci;
        const same = at === undefined ? undefined : lost.find((gpu) => gpu.pci === at);
        if (same) same.uuid = uuid;
        else lost.push({ ...(at !== undefined && { pci: at }), uuid, reason: named.reason });
        continue;
      }
      found.inventory.driver = one.inventory.driver;
      // Alone, every GPU is the first.
      for (const gpu of one.inventory.gpus) found.inventory.gpus.push({ ...gpu, index });
      for (const reading of one.readings) found.readings.push({ ...reading, index });
      lost.push(...one.lost);
      found.warnings.push(...one.warnings);
    }
    await this.#linked(found, end);
    const named = lost.filter(({ pci, uuid }) => pci !== undefined || uuid !== undefined);
    return { ...found, lost: named.length > 0 ? named : lost };
  }

  /**
   * One GPU by itself: its reading, or the answer that says why there is none. Undefined: it was pulled, or taken from
   * this machine; it counts as missing, and the rest are still to be read.
   */
  async #one(
    { uuid }: Asked,
    end: number,
    known: readonly Known[],
  ): Promise<ExecResult | Reading | undefined> {
    const one = await this.#run(["-q", "-x", "-i", uuid], end);
    if (noDevice(one)) return undefined;
    if (one.code !== 0 && one.code !== 14) return one;
    return this.#parsed(partDocument(one.stdout, true), end, ["-i", uuid], known);
  }

  /** Reads the list and the links when the XML needs them. */
  async #parsed(
    document: SmiDocument,
    end: number,
    select: string[],
    known: readonly Known[],
  ): Promise<Reading> {
    // Position is not number when a GPU is missing: between others, or before the only one that is left.
    const numbered = document.cut.length === 1 && (document.lost.length === 0 || select.length > 0);
    const args = ["-L", ...select];
    // The list alone has the UUIDs of instances.
    if (document.body.includes("<mig_device>")) {
      const reading = parseDocument(document, (await this.#ok(args, end)).stdout);
      return this.#linked(reading, end);
    }
    if (numbered || document.cut.length === 0) return parseDocument(document);
    // A number is for people, and for what they write in the stack: a list that fails closes nothing.
    let list: string | undefined;
    let problem: string | undefined;
    try {
      list = (await this.#ok(args, end)).stdout;
      parseList(list);
    } catch (error) {
      if (!(error instanceof InventoryError) || error.code === "hang") throw error;
      list = undefined;
      problem = error.message;
    }
    const reading = parseDocument(document, list);
    if (problem !== undefined) {
      reading.warnings.push(`GPUs may be numbered otherwise than nvidia-smi numbers them: ${problem}`);
      const numbers = new Map(known.map(({ uuid, index }) => [uuid, index]));
      for (const gpu of [...reading.inventory.gpus, ...reading.readings])
        gpu.index = numbers.get(gpu.uuid) ?? gpu.index;
    }
    return this.#linked(reading, end);
  }

  /** Neighbours are a preference: where they cannot be read (`topo -m` gives up at a lost GPU), those of before count, or none. */
  async #linked(reading: Reading, end: number): Promise<Reading> {
    const { gpus } = reading.inventory;
    if (gpus.length < 2) return reading;
    const key = gpus.map(({ uuid, index }) => `${index}=${uuid}`).join(" ");
    const waits = this.#unlinked !== undefined && this.#now() < this.#unlinked.until;
    if (this.#links?.key !== key && !waits) await this.#askLinks(reading, key, end);
    if (this.#links?.key !== key && this.#unlinked)
      reading.warnings.push(`which GPUs NVLink connects cannot be read: ${this.#unlinked.problem}`);
    const here = new Set(gpus.map(({ uuid }) => uuid));
    for (const gpu of gpus)
      gpu.nvlink = (this.#links?.reached.get(gpu.uuid) ?? []).filter((uuid) => here.has(uuid));
    return reading;
  }

  /**
   * Says what each GPU can be divided into, which a preview asks for: whose GPU would be cut must not depend on which
   * models Berth knows. Silent where the driver does not say: the table of models stands in.
   */
  async #offered({ inventory: { gpus, driver }, readings }: Reading, end: number): Promise<void> {
    const whole = new Set(readings.flatMap((one) => (one.migMode === "unsupported" ? [one.uuid] : [])));
    const able = gpus.filter(({ uuid }) => !whole.has(uuid));
    // Another driver may call them otherwise.
    const key = [driver, ...able.map(({ uuid, index }) => `${index}=${uuid}`)].join(" ");
    if (able.length > 0 && this.#offers?.key !== key && this.#now() >= this.#noOffersUntil) {
      try {
        const soon = Math.min(end, this.#now() + ASIDE.deadlineMs);
        const rows = parseInstanceProfiles((await this.#ok(["mig", "-lgip"], soon, "profiles")).stdout);
        const profiles = new Map(able.map(({ uuid }): [string, Record<string, number>] => [uuid, {}]));
        for (const { gpu, profile, total } of rows) {
          const offered = profiles.get(able.find(({ index }) => index === gpu)?.uuid ?? "");
          if (offered) offered[profile] = total;
        }
        this.#offers = { key, profiles };
      } catch (error) {
        if (!(error instanceof InventoryError)) throw error;
        this.#noOffersUntil = this.#now() + ASIDE.againMs;
      }
    }
    for (const gpu of gpus) {
      const profiles = whole.has(gpu.uuid) ? {} : this.#offers?.profiles.get(gpu.uuid);
      if (profiles) gpu.profiles = profiles;
    }
  }

  async #askLinks(reading: Reading, key: string, end: number): Promise<void> {
    this.#unlinked = undefined;
    try {
      const soon = Math.min(end, this.#now() + ASIDE.deadlineMs);
      addLinks(reading, (await this.#ok(["topo", "-m"], soon, "links")).stdout);
      this.#links = {
        key,
        reached: new Map(reading.inventory.gpus.map(({ uuid, nvlink }) => [uuid, nvlink])),
      };
    } catch (error) {
      if (!(error instanceof InventoryError)) throw error;
      // Of another moment than the GPUs: the next reading asks again.
      const until = this.#now() + (error.again ? 0 : ASIDE.againMs);
      this.#unlinked = { problem: error.message, until };
    }
  }

  async #ok(args: string[], end: number, what: Question = "needed"): Promise<ExecResult> {
    const answer = await this.#run(args, end, what);
    // A lost GPU makes `-L` end with 15 after it listed the others.
    const partial = answer.stdout !== "" && unreachableGpus(`${answer.stdout}\n${answer.stderr}`).length > 0;
    if (answer.code !== 0 && answer.code !== 14 && !partial) throw this.#failed(args, answer);
    return answer;
  }

  async #run(args: string[], end: number, what: Question = "needed"): Promise<ExecResult> {
    const where = [this.command, ...args].join(" ");
    const stuck = this.#stuck[what];
    // One more would hang as well, and each keeps a process that nobody can end.
    if (stuck !== undefined)
      throw new InventoryError("hang", `${stuck} was killed and still hangs in the driver`, stuck);
    const deadlineMs = end - this.#now();
    const total = this.#options.deadlineMs ?? KEEP.deadlineMs;
    const has = what !== "needed" ? `it has ${ASIDE.deadlineMs / 1000} s, and ` : "";
    const hang = () =>
      new InventoryError(
        "hang",
        `${where} did not end: ${has}the whole reading has ${total / 1000} s`,
        where,
      );
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
      this.#stuck[what] = where;
      void answer.gone.then(() => {
        delete this.#stuck[what];
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

const nothing = (lost: LostGpu[]): Reading => ({
  inventory: { source: "nvidia-smi", gpus: [] },
  readings: [],
  lost,
  warnings: [],
});

/** An answer, not a failure: there is no GPU, or none with the UUID that was asked for. */
const noDevice = ({ code, stdout, stderr }: ExecResult) =>
  code === 6 && /^No devices were found/m.test(`${stdout}\n${stderr}`);
