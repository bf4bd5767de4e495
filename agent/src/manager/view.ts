/** What the API tells a tenant of a container. Pure. */
import type { OwnImage } from "../../../core/manager";
import type { ContainerRecord } from "../containers";
import type { ManagedRow } from "./book";
import type { ManagedContainer } from "./ports";

/** `unknown`: dockerd was not asked yet, or does not know it any more. */
export type ManagedStatus = "creating" | "running" | "stopped" | "removing" | "unknown";

export interface ManagedView {
  id: string;
  name: string;
  status: ManagedStatus;
  image: string;
  /** Of its first port; null: it publishes none. */
  hostPort: number | null;
  /** Ports of the node, by those of the container. */
  ports: Record<string, number>;
  /** It stood ready before it was asked for. */
  fromPool: boolean;
  pool: boolean;
  template?: string;
  memoryMiB: number;
  cpus: number;
  createdAt: number;
  logsUrl: string;
  terminalUrl: string;
  setup?: { phase: string; status: string; message?: string };
}

/** Rows are never changed, they are replaced: what a view takes from its row alone is made once, for lists of hundreds. */
const lasting = new WeakMap<ManagedRow, { url: string; part: Omit<ManagedView, "status" | "setup"> }>();

export function viewOf(
  row: ManagedRow,
  record: Pick<ContainerRecord, "state"> | undefined,
  url: string,
  setup: ManagedView["setup"],
): ManagedView {
  let known = lasting.get(row);
  if (known?.url !== url) {
    known = { url, part: lastingPart(row, url) };
    lasting.set(row, known);
  }
  const status = statusOf(row, record);
  return setup === undefined ? { ...known.part, status } : { ...known.part, status, setup: setupOf(setup) };
}

function lastingPart(row: ManagedRow, url: string): Omit<ManagedView, "status" | "setup"> {
  const { id, name, image, template, memoryMiB, cpus, pooled, pool = false, claimedAt, createdAt } = row;
  const base = `${url.replace(/\/+$/, "")}/api/containers/${id}`;
  return {
    ...{ id, name, image, hostPort: row.ports[0]?.host ?? null, ports: portsOf(row) },
    ...{ fromPool: pooled, pool, memoryMiB, cpus, createdAt: claimedAt ?? createdAt },
    ...(template !== undefined && { template }),
    logsUrl: `${base}/logs`,
    terminalUrl: `${base.replace(/^http/, "ws")}/terminal`,
  };
}

/** Whatever else is known of it. */
const setupOf = ({ phase, status, message }: NonNullable<ManagedView["setup"]>) => ({
  ...{ phase, status },
  ...(message !== undefined && { message }),
});

export const portsOf = ({ ports }: ManagedRow): Record<number, number> =>
  Object.fromEntries(ports.map(({ container, host }) => [container, host]));

function statusOf({ state }: ManagedRow, record: Pick<ContainerRecord, "state"> | undefined): ManagedStatus {
  if (state === "making" || state === "warming") return "creating";
  if (state === "leaving") return "removing";
  if (record === undefined) return "unknown";
  return record.state === "running" ? "running" : record.state === "removing" ? "removing" : "stopped";
}

/** A main image, as its owner sees it. */
export const ownImageOf = ({ id, shown, instead }: OwnImage) => ({
  ...{ id, shown, outdated: instead !== undefined },
});

/** For the parts that work in it; undefined: nobody has it. */
export function managedOf(row: ManagedRow): ManagedContainer | undefined {
  const { id, owner, name, container = "", image, state, template, env = {} } = row;
  if (owner === undefined) return undefined;
  return {
    ...{ id, owner, name, container, image, hostPort: row.ports[0]?.host ?? 0, ports: portsOf(row), env },
    state: state === "ready" || state === "leaving" ? state : "making",
    ...(template !== undefined && { template }),
  };
}
