/** `digitalocean:index/vpc:Vpc`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { boolean, type Fields, str, string, text } from "@berth/plugin-base/bridged";
import { CIDR, goTime, SOME, UP_TO_255 } from "../resource";

export const vpcFields: Fields = {
  name: string({ computed: true, pattern: SOME }),
  region: string({ required: true, replace: true, pattern: SOME }),
  description: string({ pattern: UP_TO_255 }),
  ipRange: string({ computed: true, replace: true, pattern: CIDR }),
  vpcUrn: string({ output: true }),
  default: boolean({ output: true }),
  createdAt: string({ output: true }),
};

/** The bridge's note of the official plugin's time-outs, in nanoseconds. */
export const vpcMeta = '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"delete":120000000000}}';

export interface ApiVpc {
  readonly id: string;
  readonly urn: string;
  readonly name: string;
  readonly region: string;
  readonly description?: string;
  readonly ip_range: string;
  readonly default: boolean;
  readonly created_at: string;
}

export function vpcBody(inputs: Props): Record<string, unknown> {
  return {
    name: str(inputs, "name"),
    region: str(inputs, "region"),
    description: text(inputs, "description"),
    ip_range: text(inputs, "ipRange"),
  };
}

export function vpcState(vpc: ApiVpc): Props {
  return {
    name: vpc.name,
    region: vpc.region,
    description: vpc.description ?? "",
    ipRange: vpc.ip_range,
    vpcUrn: vpc.urn,
    default: vpc.default,
    createdAt: goTime(vpc.created_at),
  };
}
