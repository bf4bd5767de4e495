import type { types } from "@pulumi/digitalocean";
import { type Opening, openings, type Plan, type PortRange } from "../../config";

/** The cloud firewall before the droplets: the plan's openings, in DigitalOcean's form. Pure. */

export type InboundRule = types.input.FirewallInboundRule;

/** `22` or `10000-14999`. */
const portRange = ({ start, end }: PortRange) => (start === end ? String(start) : `${start}-${end}`);

/** DigitalOcean takes addresses and networks alike, at most 50 rules a firewall. */
export function inboundRules(plan: Plan): InboundRule[] {
  return openings(plan).flatMap(({ protocol, ports, from }: Opening) =>
    from.length === 0
      ? []
      : ports.map((range) => ({
          protocol,
          portRange: portRange(range),
          sourceAddresses: [...new Set(from)].sort(),
        })),
  );
}

/** Machines may call out: for packages, images, data. */
export const outboundRules = (["tcp", "udp", "icmp"] as const).map((protocol) => ({
  protocol,
  ...(protocol === "icmp" ? {} : { portRange: "1-65535" }),
  destinationAddresses: ["0.0.0.0/0", "::/0"],
}));
