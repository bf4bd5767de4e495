/**
 * DigitalOcean's cloud firewalls and reserved IPs, as one nftables table of this computer, outside the machines. Pure.
 *
 * A droplet with no firewall is open. One with a firewall takes what the rules of any of its firewalls let in, sends
 * what they let out, and what belongs to either; on its public and its private addresses, as the provider's do.
 */
import type { FirewallInfo, RuleTarget } from "../world";

export interface Held {
  readonly dropletId: number;
  readonly tags: ReadonlySet<string>;
  /** Public and private, of both families. */
  readonly addresses: readonly string[];
}

export interface Rules {
  readonly firewall: Pick<FirewallInfo, "inbound" | "outbound">;
  /** The droplets that it holds for. */
  readonly dropletIds: readonly number[];
}

export interface Ruleset {
  readonly table: string;
  readonly machines: readonly Held[];
  readonly firewalls: readonly Rules[];
  /** From each reserved IP to the public IPv4 address that it leads to. */
  readonly reserved: ReadonlyMap<string, string>;
  /** The public network's IPv4 range. */
  readonly publicRange: string;
}

const family = (address: string) => (address.includes(":") ? "ip6" : "ip");

/** Addresses and ranges that a rule's target stands for. Load balancers and Kubernetes clusters there are none. */
function resolve(target: RuleTarget, machines: readonly Held[]): string[] {
  const named = machines.filter(
    ({ dropletId, tags }) =>
      target.droplet_ids?.includes(dropletId) || target.tags?.some((tag) => tags.has(tag)),
  );
  return [...(target.addresses ?? []), ...named.flatMap(({ addresses }) => addresses)];
}

/** `tcp` and `8000-9000`; the API says `0` for all ports and for ICMP. */
function matches(protocol: string, ports: string): string {
  if (protocol === "icmp") return "meta l4proto { icmp, icmpv6 }";
  return ports === "0" ? `meta l4proto ${protocol}` : `${protocol} dport ${ports}`;
}

/** One droplet's chains: what a packet may be to go on, and a drop. */
function chains(machine: Held, firewalls: readonly Rules[], machines: readonly Held[]): string[] {
  const inbound = firewalls.flatMap(({ firewall }) =>
    firewall.inbound.flatMap(({ protocol, ports, sources }) =>
      resolve(sources, machines).map(
        (from) => `${family(from)} saddr ${from} ${matches(protocol, ports)} return`,
      ),
    ),
  );
  const outbound = firewalls.flatMap(({ firewall }) =>
    firewall.outbound.flatMap(({ protocol, ports, destinations }) =>
      resolve(destinations, machines).map(
        (to) => `${family(to)} daddr ${to} ${matches(protocol, ports)} return`,
      ),
    ),
  );
  const chain = (name: string, rules: readonly string[]) => [
    `  chain ${name} {`,
    ...[...new Set(rules), "counter drop"].map((rule) => `    ${rule}`),
    "  }",
  ];
  return [...chain(`to-${machine.dropletId}`, inbound), ...chain(`from-${machine.dropletId}`, outbound)];
}

/** The text for `nft -f -` that puts the whole table in the place of the one before, in one step. */
export function renderRuleset({ table, machines, firewalls, reserved, publicRange }: Ruleset): string {
  const held = machines
    .map((machine) => ({
      machine,
      own: firewalls.filter(({ dropletIds }) => dropletIds.includes(machine.dropletId)),
    }))
    .filter(({ own }) => own.length > 0);
  const jumps = held.flatMap(({ machine: { dropletId, addresses } }) => [
    ...addresses.map((address) => `${family(address)} saddr ${address} jump from-${dropletId}`),
    ...addresses.map((address) => `${family(address)} daddr ${address} jump to-${dropletId}`),
  ]);
  const dnat = [...reserved].map(([ip, address]) => `ip daddr ${ip} dnat ip to ${address}`);
  const hook = (name: string, type: string, priority: number, rules: readonly string[]) => [
    `  chain ${name} {`,
    `    type ${type} hook ${name} priority ${priority}; policy accept;`,
    ...rules.map((rule) => `    ${rule}`),
    "  }",
  ];
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    ...held.flatMap(({ machine, own }) => chains(machine, own, machines)),
    "  chain droplets {",
    "    ct state established,related return",
    // Finding a neighbour's link address is no traffic that the provider filters.
    "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } return",
    ...jumps.map((rule) => `    ${rule}`),
    "  }",
    // From this computer, to it, and between machines or from one to the world.
    ...hook("output", "filter", 0, ["jump droplets"]),
    ...hook("input", "filter", 0, ["jump droplets"]),
    ...hook("forward", "filter", 0, ["jump droplets"]),
    ...(dnat.length === 0
      ? []
      : [
          "  chain reserved-in { type nat hook prerouting priority -100; policy accept;",
          ...dnat.map((rule) => `    ${rule}`),
          "  }",
          "  chain reserved-out { type nat hook output priority -100; policy accept;",
          ...dnat.map((rule) => `    ${rule}`),
          "  }",
          // Between two droplets of one network the answer would go past this computer, unchanged.
          "  chain reserved-back { type nat hook postrouting priority 100; policy accept;",
          `    ip saddr ${publicRange} ip daddr ${publicRange} ct status dnat masquerade`,
          "  }",
        ]),
    "}",
    "",
  ].join("\n");
}

/** The text for `nft -f -` that leaves nothing of the table. */
export const renderRemoval = (table: string): string => `table inet ${table}\ndelete table inet ${table}\n`;
