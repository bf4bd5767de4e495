/** How many more containers a node takes. Pure. */
import { type Refusal, type Result, refuse } from "../gpu";

/** What one container takes of its node at most. */
export interface Need {
  memoryMiB: number;
  cpus: number;
  /** Processes and threads. */
  pids: number;
  /** Disk that it is expected to fill from now on: 0 once it is older than the last measurement of the free disk. */
  diskMiB: number;
}

/** What a node has, and who is there. */
export interface NodeRoom {
  /** As the kernel says it (`MemTotal`). */
  memoryMiB: number;
  /** For the node itself, its kernel included. @default 1024 */
  reserveMiB?: number;
  cpus: number;
  /** CPUs promised for each that there is. @default 4 */
  cpuOvercommit?: number;
  /** Processes and threads of all containers together. */
  pids: number;
  /** On the file system where Docker keeps containers, as it was last measured. */
  diskFreeMiB: number;
  /** Disk for the node itself. @default 2048 */
  diskReserveMiB?: number;
  /** Each container of the node, those that stand ready and those that are being made included. */
  containers: readonly Need[];
}

/** The resources that limit how many containers fit, in the order in which messages name them. */
const BOUNDS = ["memory", "cpus", "pids", "disk"] as const;
export type Bound = (typeof BOUNDS)[number];

export interface TemplateRoom {
  name: string;
  /** Containers that fit, if no other is made. */
  more: number;
  /** The resource that does not suffice for one more than that. */
  bound: Bound;
}

/** For each template, how many containers more fit. Who holds which GPU is the ledger's matter. */
export function capacity(
  node: NodeRoom,
  templates: readonly (Need & { name: string })[],
): { templates: TemplateRoom[] } {
  const free = freeOf(node);
  return { templates: templates.map(({ name, ...need }) => ({ name, ...fits(free, amountsOf(need)) })) };
}

/**
 * Whether one more container fits.
 *
 * @returns its need, for the list of the node's containers; refused with `full` while others have the room, with
 * `impossible` where the empty node has too little
 */
export function admit(node: NodeRoom, need: Need): Result<Need> {
  const [free, asked] = [freeOf(node), amountsOf(need)];
  const never = lacking(wholeOf(node), asked).filter((bound) => bound !== "disk");
  if (never.length > 0) return refuse(tooLarge(never, node, asked));
  const short = lacking(free, asked);
  if (short.length > 0) return refuse(full(short, free, asked));
  return { ok: true, value: need };
}

/** MiB, thousandths of a CPU and processes: whole numbers, as sums of fractions are not exact. */
type Amounts = Record<Bound, number>;

const MILLI = 1000;

const amountsOf = ({ memoryMiB, cpus, pids, diskMiB }: Need): Amounts => ({
  memory: Math.ceil(memoryMiB),
  cpus: Math.round(cpus * MILLI),
  pids,
  disk: Math.ceil(diskMiB),
});

/** What the node has for containers when there are none, except that the disk is what is free now. */
const wholeOf = (node: NodeRoom): Amounts => ({
  memory: usableMiB(node),
  cpus: Math.round(node.cpus * (node.cpuOvercommit ?? 4) * MILLI),
  pids: Math.floor(node.pids),
  disk: Math.max(0, Math.floor(node.diskFreeMiB) - (node.diskReserveMiB ?? 2048)),
});

/** As much of the reserve as may have gone to the kernel before it says what is there. */
const KERNEL_MIB = 512;
const GIB_MIB = 1024;

/**
 * The kernel says the memory without what it took itself: 15.6 GiB on a machine of 16. What it took is a part of the reserve,
 * so the reserve is subtracted from the next whole GiB if that is near.
 */
function usableMiB({ memoryMiB, reserveMiB = 1024 }: NodeRoom): number {
  const total = Math.floor(memoryMiB);
  const whole = Math.ceil(total / GIB_MIB) * GIB_MIB;
  const installed = whole - total <= KERNEL_MIB ? whole : total;
  return Math.max(0, Math.min(total, installed - reserveMiB));
}

const freeOf = (node: NodeRoom): Amounts => node.containers.map(amountsOf).reduce(minus, wholeOf(node));

/** Negative where containers were made before the node became smaller. */
const minus = (from: Amounts, what: Amounts): Amounts => ({
  memory: from.memory - what.memory,
  cpus: from.cpus - what.cpus,
  pids: from.pids - what.pids,
  disk: from.disk - what.disk,
});

const lacking = (free: Amounts, asked: Amounts): Bound[] =>
  BOUNDS.filter((bound) => asked[bound] > 0 && asked[bound] > free[bound]);

function fits(free: Amounts, asked: Amounts): { more: number; bound: Bound } {
  const each = BOUNDS.filter((bound) => asked[bound] > 0).map((bound) => ({
    bound,
    more: Math.max(0, Math.floor(free[bound] / asked[bound])),
  }));
  return each.reduce((least, one) => (one.more < least.more ? one : least), {
    bound: "memory" as Bound,
    more: Number.POSITIVE_INFINITY,
  });
}

const words: Record<Bound, (amount: number) => string> = {
  memory: (amount) => `${amount} MiB of memory`,
  cpus: (amount) => `${amount / MILLI} CPUs`,
  pids: (amount) => `${amount} processes`,
  disk: (amount) => `${amount} MiB of disk`,
};

const all = (bounds: readonly Bound[], amounts: Amounts) =>
  bounds.map((bound) => words[bound](Math.max(0, amounts[bound]))).join(", ");

const full = (short: readonly Bound[], free: Amounts, asked: Amounts): Refusal => ({
  code: "full",
  message: `the node is full: the container needs ${all(short, asked)}, and free are ${all(short, free)}`,
  allowed: all(BOUNDS, free),
  fix: "try again when another container was deleted, ask for less, or for another node",
});

const tooLarge = (never: readonly Bound[], node: NodeRoom, asked: Amounts): Refusal => ({
  code: "impossible",
  message: `the container needs ${all(never, asked)}, and the whole node has ${all(never, wholeOf(node))} for containers`,
  allowed: all(never, wholeOf(node)),
  fix: "ask for less, or for another node",
});
