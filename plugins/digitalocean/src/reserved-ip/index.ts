/** `digitalocean:index/reservedIp:ReservedIp` and `digitalocean:index/reservedIpAssignment:ReservedIpAssignment`. */
import { type Props, ProviderError, type ResourceType } from "@berth/plugin-base";
import { int, str } from "@berth/plugin-base/bridged";
import {
  createOnce,
  defineResource,
  Line,
  lower,
  markOf,
  numeric,
  type Session,
  type Work,
} from "../resource";
import { assign, findAddress, unassign } from "./assign";
import { type ApiReservedIp, assignmentFields, reservedIpFields, reservedIpState } from "./map";

export function reservedIpType(session: () => Session): ResourceType {
  /** One after the other: a new address is known by what was there before. */
  const line = new Line();
  return defineResource<ApiReservedIp>(session, {
    fields: reservedIpFields,
    state: reservedIpState,
    async create(inputs, work) {
      const found = await line.run("", () => reserve(inputs, work));
      return { id: found.ip, found };
    },
    async read(id, _known, work) {
      const found = await findAddress(id, work);
      return found === undefined ? undefined : { id, found };
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`release reserved IP ${id}`, `v2/reserved_ips/${id}`, { signal }),
  });
}

/**
 * An address has neither name nor tag. So the mark's request tells which others there were: what is left of the
 * account without the new one.
 */
async function reserve(inputs: Props, work: Work): Promise<ApiReservedIp> {
  const { api, signal, urn } = work;
  const region = lower(inputs.region);
  const all = (): Promise<ApiReservedIp[]> =>
    api.list("look for reserved IPs", "v2/reserved_ips", "reserved_ips", { signal });
  const requestOf = (others: readonly ApiReservedIp[]) => ({
    region,
    before: others.map(({ ip }) => ip).sort(),
  });
  const before = await all();
  return await createOnce<ApiReservedIp>(work, {
    what: `reserve an IP in ${region}`,
    request: requestOf(before),
    idOf: ({ ip }) => ip,
    async find(mark) {
      const now = await all();
      return now.filter((one) => markOf(urn, requestOf(now.filter((other) => other !== one))).tag === mark);
    },
    certain: true,
    async post() {
      const call = { signal, body: { region }, once: true };
      const answer = await api.post(`reserve an IP in ${region}`, "v2/reserved_ips", call);
      return (answer as { readonly reserved_ip: ApiReservedIp }).reserved_ip;
    },
    remove: "doctl compute reserved-ip delete",
  });
}

interface Pair {
  readonly ip: string;
  readonly dropletId: number;
}

/** Import: `ADDRESS,DROPLET_ID`. */
export function reservedIpAssignmentType(session: () => Session): ResourceType {
  return defineResource<Pair>(session, {
    fields: assignmentFields,
    state: ({ ip, dropletId }) => ({ ipAddress: ip, dropletId }),
    async create(inputs, work) {
      const pair = pairOf(inputs);
      // A run that was cut off may have come this far already.
      if ((await findAddress(pair.ip, work))?.droplet?.id !== pair.dropletId) {
        await assign(pair.ip, pair.dropletId, work);
      }
      return { id: idOf(pair, work.api.clock.now()), found: pair };
    },
    async read(id, known, work) {
      const pair = known.ipAddress === undefined ? imported(id) : pairOf(known);
      const found = await findAddress(pair.ip, work);
      if (found?.droplet?.id !== pair.dropletId) return undefined;
      return { id: known.ipAddress === undefined ? idOf(pair, work.api.clock.now()) : id, found: pair };
    },
    async delete(_id, olds, work) {
      const pair = pairOf(olds);
      const found = await findAddress(pair.ip, work);
      if (found?.droplet?.id === pair.dropletId) await unassign(pair.ip, work);
    },
  });
}

function pairOf(props: Props): Pair {
  return { ip: str(props, "ipAddress") ?? "", dropletId: int(props, "dropletId") ?? 0 };
}

function imported(id: string): Pair {
  const [ip, droplet] = id.split(",", 2);
  const dropletId = numeric(droplet ?? "");
  if (ip === undefined || dropletId === undefined) {
    throw new ProviderError(`import a reserved IP's assignment by ADDRESS,DROPLET_ID, not by "${id}"`);
  }
  return { ip, dropletId };
}

function idOf({ ip, dropletId }: Pair, now: number): string {
  return `${dropletId}-${ip}-${new Date(now).toISOString().replace(/\D/g, "").padEnd(26, "0")}`;
}
