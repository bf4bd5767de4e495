/** Reserved addresses: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, int, integer, string } from "@berth/plugin-base/bridged";
import { IPV4, sameSlug } from "../resource";

/** `digitalocean:index/reservedIp:ReservedIp`. */
export const reservedIpFields: Fields = {
  region: string({ required: true, replace: true, same: sameSlug }),
  ipAddress: string({ computed: true, pattern: IPV4 }),
  dropletId: integer(),
  reservedIpUrn: string({ output: true }),
};

/** `digitalocean:index/reservedIpAssignment:ReservedIpAssignment`. */
export const assignmentFields: Fields = {
  ipAddress: string({ required: true, replace: true, pattern: IPV4 }),
  dropletId: integer({ required: true, replace: true, min: 1 }),
};

interface Region {
  readonly slug: string;
}

export interface ApiReservedIp {
  readonly ip: string;
  readonly region: Region;
  readonly droplet?: { readonly id: number; readonly region: Region } | null;
}

/**
 * The droplet shows only where it was asked for here: else it belongs to a ReservedIpAssignment.
 *
 * @param imported shows it in any case.
 */
export function reservedIpState(address: ApiReservedIp, known: Props): Props {
  const imported = Object.keys(known).length === 0;
  const asked = imported || (int(known, "dropletId") ?? 0) !== 0;
  const droplet = asked ? (address.droplet ?? undefined) : undefined;
  return {
    region: droplet?.region.slug ?? address.region.slug,
    ipAddress: address.ip,
    dropletId: droplet?.id ?? null,
    reservedIpUrn: `do:reservedip:${address.ip}`,
  };
}
