/** Reserved addresses: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, integer, string } from "@berth/plugin-base/bridged";
import { IPV4, sameSlug } from "../resource";

/** `digitalocean:index/reservedIp:ReservedIp`. */
export const reservedIpFields: Fields = {
  region: string({ required: true, replace: true, same: sameSlug }),
  ipAddress: string({ output: true }),
  reservedIpUrn: string({ output: true }),
};

/** `digitalocean:index/reservedIpAssignment:ReservedIpAssignment`. */
export const assignmentFields: Fields = {
  ipAddress: string({ required: true, replace: true, pattern: IPV4 }),
  dropletId: integer({ required: true, replace: true, min: 1 }),
};

export interface ApiReservedIp {
  readonly ip: string;
  readonly region: { readonly slug: string };
  readonly droplet?: { readonly id: number } | null;
}

export function reservedIpState({ ip, region }: ApiReservedIp): Props {
  return { region: region.slug, ipAddress: ip, reservedIpUrn: `do:reservedip:${ip}` };
}
