import { askWords, memoryWords, unitKind, unitMeets } from "./asks";
import { type Capacity, offerWords } from "./capacity";
import type { GpuUse } from "./gpu-use";
import { type Ask, type GrantedUnit, type Refusal, type Result, refuse } from "./model";

/** What of a node's GPUs could be granted now. */
export interface Room {
  /** For the ask; of a share, GPUs. */
  units: number;
  /** Whole GPUs that are free of everything. */
  wholes: readonly GpuUse[];
  /** Free instances, by profile. */
  instances: Map<string, number>;
  /** GPUs in dispute. */
  strays: GpuUse[];
}

/** What a refusal reads of a node's occupancy. */
export interface GpuUses {
  readonly uses: readonly GpuUse[];
  capacity(ask: Ask): Capacity;
  room(ask: Ask): Room;
  unit(uuid: string): GrantedUnit | undefined;
  useOf(unit: GrantedUnit): GpuUse | undefined;
  isFree(unit: GrantedUnit): boolean;
}

/** Why an ask that is right in itself found no place. */
export function busyRefusal(occupancy: GpuUses, ask: Ask): Refusal {
  const { uses } = occupancy;
  if (uses.length === 0) return impossible(ask, "this node has no GPU", "no GPU");
  const capacity = occupancy.capacity(ask);
  if (!capacity.model) {
    return impossible(ask, `no GPU's model has ${JSON.stringify(ask.model)} in its name`, capacity.offers);
  }
  if (!capacity.profile) {
    return {
      code: "unknown-profile",
      message: `no GPU${ask.model === undefined ? "" : ` of model ${ask.model}`} offers MIG profile ${ask.profile}`,
      allowed: capacity.profiles || "no MIG instance: no GPU of this node is divided",
      fix: "ask for a profile that is offered, or change the MIG layout of a GPU",
    };
  }
  if (capacity.units < ask.count) {
    const what = capacity.units === 0 ? "none" : `${capacity.units} in all`;
    const unknown = unknownMemory(ask, uses);
    return impossible(
      ask,
      `of such, this node has ${what}, even if everything were free${unknown}`,
      capacity.offers,
    );
  }
  const room = occupancy.room(ask);
  const notes = [
    ...capacity.quarantined,
    ...room.strays.map(({ gpu }) => `GPU ${gpu.index} was divided anew under a holder that is still there`),
  ];
  const count = `${room.units} of ${capacity.units} ${room.units === 1 ? "is" : "are"} free now`;
  return {
    code: "busy",
    message: [`${askWords(ask)}: ${count}`, ...notes].join("; "),
    allowed: freeNow(room),
    fix: "wait (--wait), release what is not needed, or ask for what is free",
  };
}

/** Of a GPU whose memory nobody knows, no size can be promised. */
function unknownMemory({ memoryMiB }: Ask, uses: readonly GpuUse[]): string {
  const those = uses.filter(({ gpu }) => gpu.memoryMiB === 0).map(({ gpu }) => gpu.index);
  if (memoryMiB === undefined || those.length === 0) return "";
  return `; of GPU ${those.join(", ")} the driver does not say the memory: granted whole, when no memory is asked for`;
}

function freeNow({ wholes, instances }: Pick<Room, "wholes" | "instances">): string {
  return `free now: ${offerWords(wholes, instances)}`;
}

/** Exactly the pinned ones, or why not. */
export function pinnedUnits(occupancy: GpuUses, ask: Ask, pins: readonly string[]): Result<GrantedUnit[]> {
  const units: GrantedUnit[] = [];
  const wrong: string[] = [];
  const taken: string[] = [];
  for (const pin of pins) {
    const named = occupancy.unit(pin);
    if (!named) {
      wrong.push(`${pin} is not on this node`);
      continue;
    }
    const unit =
      ask.kind === "share" ? { ...named, shared: true, memoryMiB: ask.memoryMiB ?? 0 } : { ...named };
    const use = occupancy.useOf(named);
    const fault = pinFault(ask, named, use);
    if (fault) wrong.push(`${pin} (${named.name}) ${fault}`);
    else if (!occupancy.isFree(unit)) taken.push(`${pin} (${named.name}) ${whyTaken(use)}`);
    else units.push(unit);
  }
  if (wrong.length > 0) {
    return refuse(impossible(ask, wrong.join("; "), occupancy.capacity(ask).offers, "pin others, or none"));
  }
  if (taken.length > 0) {
    return refuse({
      code: "busy",
      message: taken.join("; "),
      allowed: freeNow(occupancy.room(ask)),
      fix: "wait (--wait), pin others, or leave the pins out",
    });
  }
  return { ok: true, value: units };
}

function pinFault(ask: Ask, named: GrantedUnit, use: GpuUse | undefined): string | undefined {
  const kind = unitKind(named);
  if (kind !== (ask.kind === "mig" ? "mig" : "gpu")) {
    return `is a ${kind === "mig" ? "MIG instance" : "GPU"}, and the ask is for ${ask.kind}`;
  }
  if (ask.kind !== "mig" && use?.gpu.mig) return "is in MIG mode: granted by its instances alone";
  const size = ask.kind === "share" ? named.memoryMiB >= (ask.memoryMiB ?? 0) : true;
  const rest = ask.kind === "share" ? { ...ask, kind: "gpu" as const } : ask;
  if (size && unitMeets(rest, named)) return undefined;
  return `is a ${named.model}${named.profile ? `, ${named.profile}` : ""}, ${named.memoryMiB > 0 ? "of " : ""}${memoryWords(named.memoryMiB)}: not what is asked for`;
}

function whyTaken(use: GpuUse | undefined): string {
  if (use?.gpu.quarantined !== undefined) return `is quarantined: ${use.gpu.quarantined}`;
  if (use && use.strays > 0) return "was divided anew under a holder that is still there";
  return "is in use";
}

function impossible(ask: Ask, why: string, allowed: string, fix?: string): Refusal {
  return {
    code: "impossible",
    message: `${askWords(ask)}: ${why}`,
    allowed,
    fix: fix ?? "ask for what this node has, or for another node",
  };
}
