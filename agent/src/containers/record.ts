/** What berthd knows of one container, from dockerd's answer to an inspection. Pure. */
import { claim, FOREIGN } from "../../../core/containers";
import type { Inventory } from "../../../core/gpu";
import type { Inspect, Summary } from "../docker";
import type { SeenContainer } from "../service/ports";
import { devicesOf } from "./devices";

/**
 * Who made a container, and what for. `workspace`: the stack, for a person. `created`: berthd, for whoever asked over its
 * API. `own`: a part of Berth itself, such as Ray or the registry. `other`: somebody else.
 */
export type ContainerKind = "workspace" | "created" | "own" | "other";

/** dockerd's word; one that dockerd has forgotten, and of which a process lives on, is `removing`. */
export type ContainerState = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

export interface PublishedPort {
  /** In the container. */
  container: number;
  protocol: string;
  /** On the node. */
  address: string;
  host: number;
}

export interface ContainerRecord {
  /** Docker's, 64 hexadecimal digits. */
  id: string;
  name: string;
  kind: ContainerKind;
  /** A user's name, or `system`; left out: not one of Berth's. */
  owner?: string;
  /** As whoever made the container named it. */
  image: string;
  state: ContainerState;
  /** Left out: its image has no health check. */
  health?: "starting" | "healthy" | "unhealthy";
  /** Milliseconds since the epoch, as are the others. */
  createdAt: number;
  /** The last start; left out: it never ran. */
  startedAt?: number;
  /** The last end; left out: it has not ended since its last start. */
  finishedAt?: number;
  /** Of the last end. */
  exitCode?: number;
  ports: readonly PublishedPort[];
  /** Limits of its memory, in bytes, and of its CPUs; left out: it has none. */
  memory?: number;
  cpus?: number;
  /** Which creation of berthd's made it. */
  creation?: string;
  /** A grant's id, or the key of a declared one. */
  grant?: string;
  token?: number;
  shareMiB?: number;
  /** UUIDs of its GPUs and MIG instances, sorted; names that the inventory does not have stay as they were written. */
  units: readonly string[];
  /** It has a grant, or names GPUs, also where the inventory has none of that name yet. */
  usesGpus: boolean;
  /** It sees every device of the node, whatever it names. */
  privileged: boolean;
  /** A process of it lives, or it is between two tries of its restart policy. */
  runs: boolean;
  /** Set: it should run, and Docker could not start it as its devices were not known yet; Docker's words. */
  heldBack?: string;
}

/** @param living ids with processes; undefined: nobody can tell, and dockerd's word is all there is. */
export function recordOf(
  container: Inspect,
  inventory: Inventory,
  living?: ReadonlySet<string>,
): ContainerRecord {
  const { State: state, Config: config } = container;
  const labels = claim(config?.Labels);
  const devices = devicesOf(container, inventory);
  const units = [...new Set([...labels.units, ...devices.units])].sort();
  const runs = isRunning(container, living);
  const startedAt = moment(state.StartedAt);
  const finishedAt = moment(state.FinishedAt);
  const ended = finishedAt !== undefined && !state.Running && finishedAt >= (startedAt ?? 0);
  return {
    id: container.Id,
    name: container.Name.replace(/^\//, ""),
    kind: kindOf(labels),
    ...(labels.user === FOREIGN ? {} : { owner: labels.user }),
    image: config?.Image ?? "",
    state: stateOf(state.Status),
    ...healthOf(state.Health?.Status),
    createdAt: moment(container.Created) ?? 0,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(ended ? { finishedAt, exitCode: state.ExitCode } : {}),
    ports: portsOf(container),
    ...sizeOf(container),
    ...(labels.creation === undefined ? {} : { creation: labels.creation }),
    ...(labels.grant === undefined ? {} : { grant: labels.grant }),
    ...(labels.token === undefined ? {} : { token: labels.token }),
    ...(labels.shareMiB === undefined ? {} : { shareMiB: labels.shareMiB }),
    units,
    usesGpus: devices.named || units.length > 0 || labels.grant !== undefined,
    privileged: devices.privileged,
    runs,
    ...(runs ? {} : heldBack(container)),
  };
}

/** The same container once dockerd has forgotten it, while a process of it lives on and has its devices. */
export const forgotten = (record: ContainerRecord): ContainerRecord => ({
  ...record,
  state: "removing",
  runs: true,
});

/** One of Berth's: its owner is a person or `system`, or it says which grant it has. */
export const isOurs = ({ owner, grant }: ContainerRecord): boolean =>
  owner !== undefined || grant !== undefined;

/** What the GPU ledger has to know of a container; undefined: nothing. */
export function seenByLedger(record: ContainerRecord): SeenContainer | undefined {
  const { grant, token, shareMiB, units, runs } = record;
  if (units.length === 0 && grant === undefined) return undefined;
  // One that never ran has no devices yet. What others made and stopped, they may start: that is told then.
  if (!runs && (record.state === "created" || !isOurs(record))) return undefined;
  return {
    container: record.id,
    name: record.name,
    user: record.owner ?? FOREIGN,
    units: [...units],
    ...(grant === undefined ? {} : { grant }),
    ...(token === undefined ? {} : { token }),
    running: runs,
    ...(record.heldBack === undefined ? {} : { heldBack: record.heldBack }),
    ...(shareMiB === undefined ? {} : { shareMiB }),
  };
}

/** Whether dockerd's list shows the container as the record has it; what the list does not show is not compared. */
export function isAsListed(record: ContainerRecord, listed: Summary): boolean {
  const name = listed.Names?.[0]?.replace(/^\//, "") ?? record.name;
  const health = /\((?:health: )?(starting|healthy|unhealthy)\)/.exec(listed.Status ?? "")?.[1];
  const sameHealth = listed.Status === undefined || health === record.health || record.state !== "running";
  return name === record.name && stateOf(listed.State ?? record.state) === record.state && sameHealth;
}

function kindOf({ component, creation, ours }: ReturnType<typeof claim>): ContainerKind {
  if (creation !== undefined) return "created";
  if (component === "workspace") return "workspace";
  return component !== undefined && ours ? "own" : "other";
}

const STATES: readonly string[] = [
  "created",
  "running",
  "paused",
  "restarting",
  "removing",
  "exited",
  "dead",
] satisfies ContainerState[];

/** A state of a later Docker counts as `exited` where nothing of it runs: the kernel tells whether it does. */
const stateOf = (status: string): ContainerState =>
  STATES.includes(status) ? (status as ContainerState) : "exited";

const healthOf = (status: string | undefined): Pick<ContainerRecord, "health"> =>
  status === "starting" || status === "healthy" || status === "unhealthy" ? { health: status } : {};

/** Undefined: `0001-01-01T00:00:00Z`, which is how dockerd writes never. */
function moment(text: string | undefined): number | undefined {
  const at = Date.parse(text ?? "");
  return Number.isNaN(at) || at <= 0 ? undefined : at;
}

/** Those of a running container as they are; of another one as it will ask for them. */
function portsOf({ NetworkSettings, HostConfig }: Inspect): PublishedPort[] {
  const live = Object.entries(NetworkSettings?.Ports ?? {});
  const all = live.length > 0 ? live : Object.entries(HostConfig.PortBindings ?? {});
  return all.flatMap(([inside, bindings]) => {
    const [container = "", protocol = "tcp"] = inside.split("/");
    return (bindings ?? []).flatMap(({ HostIp = "", HostPort = "" }) =>
      Number(HostPort) > 0
        ? [{ container: Number(container), protocol, address: HostIp, host: Number(HostPort) }]
        : [],
    );
  });
}

/** 0 is Docker's word for no limit. */
const sizeOf = ({ HostConfig: { Memory = 0, NanoCpus = 0 } }: Inspect) => ({
  ...(Memory > 0 && { memory: Memory }),
  ...(NanoCpus > 0 && { cpus: NanoCpus / 1e9 }),
});

function isRunning(container: Inspect, living: ReadonlySet<string> | undefined): boolean {
  const { State: state } = container;
  // Between two tries there is no process, and the next one has the devices again.
  if (state.Restarting === true && state.Dead !== true) return true;
  if (living !== undefined) return living.has(container.Id);
  return state.Running || state.Status === "removing" || state.Status === "dead";
}

/**
 * A container that should run, whose start failed for its devices: dockerd restores containers before it knows the CDI
 * devices (moby#49989), and tries no second time. Who stops a container that runs leaves no error behind; one that is down
 * already and has to stay down needs another restart policy.
 */
function heldBack({ HostConfig, State }: Inspect): { heldBack?: string } {
  const wanted = ["always", "unless-stopped"].includes(HostConfig.RestartPolicy?.Name ?? "");
  const why = State.Error ?? "";
  const devices = /could not select device driver|CDI device/.test(why);
  return wanted && devices ? { heldBack: why } : {};
}
