/** `digitalocean:index/domain:Domain`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, integer, str, string } from "@berth/plugin-base/bridged";
import { SOME } from "../resource";

export const domainFields: Fields = {
  name: string({ required: true, replace: true, pattern: SOME }),
  ipAddress: string({ replace: true, pattern: SOME }),
  domainUrn: string({ output: true }),
  ttl: integer({ output: true }),
};

export interface ApiDomain {
  readonly name: string;
  readonly ttl?: number | null;
}

/** The address is only ever sent: the API makes an A record of it and tells no more. */
export function domainState(domain: ApiDomain, known: Props): Props {
  return {
    name: domain.name,
    ipAddress: str(known, "ipAddress") ?? null,
    domainUrn: `do:domain:${domain.name}`,
    ttl: domain.ttl ?? 0,
  };
}
