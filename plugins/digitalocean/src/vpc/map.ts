/** `digitalocean:index/vpc:Vpc`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, str, string, text } from "@berth/plugin-base/bridged";
import { CIDR, SOME } from "../resource";

export const vpcFields: Fields = {
  name: string({ computed: true, pattern: SOME }),
  region: string({ required: true, replace: true, pattern: SOME }),
  ipRange: string({ computed: true, replace: true, pattern: CIDR }),
  vpcUrn: string({ output: true }),
};

/** The bridge's note of the official plugin's time-outs, in nanoseconds. */
export const vpcMeta = '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"delete":120000000000}}';

export interface ApiVpc {
  readonly id: string;
  readonly urn: string;
  readonly name: string;
  readonly region: string;
  readonly ip_range: string;
}

export function vpcBody(inputs: Props): Record<string, unknown> {
  return {
    name: str(inputs, "name"),
    region: str(inputs, "region"),
    ip_range: text(inputs, "ipRange"),
  };
}

export function vpcState(vpc: ApiVpc): Props {
  return {
    name: vpc.name,
    region: vpc.region,
    ipRange: vpc.ip_range,
    vpcUrn: vpc.urn,
  };
}
