/** `digitalocean:index/firewall:Firewall`: properties and their place in the API. Pure. */
import { type CheckFailure, isUnknown, type Props, type Value } from "@berth/plugin-base";
import {
  type Field,
  type Fields,
  integer,
  object,
  objects,
  set,
  str,
  string,
  strings,
  text,
} from "@berth/plugin-base/bridged";
import { SOME, tagsField } from "../resource";

type Side = "source" | "destination";

/** Where rules come from or go to: the end of the property's name, and the API's name for it. */
const ENDS = {
  Addresses: "addresses",
  DropletIds: "droplet_ids",
  LoadBalancerUids: "load_balancer_uids",
  KubernetesIds: "kubernetes_ids",
  Tags: "tags",
} as const;
type Ends = { readonly [K in (typeof ENDS)[keyof typeof ENDS]]?: readonly (string | number)[] | null };

const rules = (side: Side): Field =>
  set(
    object({
      protocol: string({ required: true, enum: ["tcp", "udp", "icmp"] }),
      action: string({ default: "allow", enum: ["allow", "deny"] }),
      portRange: string({ pattern: SOME }),
      [`${side}Addresses`]: set(string({ pattern: SOME })),
      [`${side}DropletIds`]: set(integer()),
      [`${side}LoadBalancerUids`]: set(string({ pattern: SOME })),
      [`${side}KubernetesIds`]: set(string({ pattern: SOME })),
      [`${side}Tags`]: tagsField(),
    }),
  );

export const firewallFields: Fields = {
  name: string({ computed: true, pattern: SOME }),
  dropletIds: set(integer()),
  inboundRules: rules("source"),
  outboundRules: rules("destination"),
  tags: tagsField(),
};

interface ApiRule {
  readonly protocol: string;
  readonly action?: string;
  readonly ports?: string;
  readonly sources?: Ends;
  readonly destinations?: Ends;
}

export interface ApiFirewall {
  readonly id: string;
  readonly name: string;
  readonly droplet_ids?: readonly number[] | null;
  readonly tags?: readonly string[] | null;
  readonly inbound_rules?: readonly ApiRule[] | null;
  readonly outbound_rules?: readonly ApiRule[] | null;
}

/** Rules over several properties; official. */
export function checkFirewall(inputs: Props): CheckFailure[] {
  const failures: CheckFailure[] = [];
  const [inbound, outbound] = [inputs.inboundRules ?? null, inputs.outboundRules ?? null];
  if (isUnknown(inbound) || isUnknown(outbound)) return failures;
  const count = (value: Value): number => (Array.isArray(value) ? value.length : 0);
  if (count(inbound) + count(outbound) === 0) {
    const reason =
      "a firewall needs at least one of inboundRules and outboundRules; one without rules lets nothing through";
    failures.push({ property: "", reason });
  }
  for (const key of ["inboundRules", "outboundRules"]) {
    for (const [index, rule] of objects(inputs, key).entries()) {
      const protocol = str(rule, "protocol");
      if (protocol === "icmp" || isUnknown(protocol) || (rule.portRange ?? null) !== null) continue;
      const reason = `is missing; give a port ("22"), a range ("8000-8100") or "all" for the protocol ${protocol}`;
      failures.push({ property: `${key}[${index}].portRange`, reason });
    }
  }
  return failures;
}

export function firewallBody(inputs: Props): Record<string, unknown> {
  const rule = (props: Props, side: Side) => ({
    protocol: str(props, "protocol"),
    // The API's own default is left out, for an API of before deny rules.
    action: str(props, "action") === "deny" ? "deny" : undefined,
    ports: text(props, "portRange"),
    [`${side}s`]: Object.fromEntries(
      Object.entries(ENDS).map(([end, name]) => [name, props[`${side}${end}`] ?? undefined]),
    ),
  });
  return {
    name: str(inputs, "name"),
    droplet_ids: inputs.dropletIds ?? [],
    tags: strings(inputs, "tags") ?? [],
    inbound_rules: objects(inputs, "inboundRules").map((props) => rule(props, "source")),
    outbound_rules: objects(inputs, "outboundRules").map((props) => rule(props, "destination")),
  };
}

export function firewallState(firewall: ApiFirewall): Props {
  return {
    name: firewall.name,
    dropletIds: [...(firewall.droplet_ids ?? [])],
    tags: [...(firewall.tags ?? [])],
    inboundRules: (firewall.inbound_rules ?? []).map((rule) => ruleState(rule, "source", rule.sources)),
    outboundRules: (firewall.outbound_rules ?? []).map((rule) =>
      ruleState(rule, "destination", rule.destinations),
    ),
  };
}

function ruleState({ protocol, action, ports }: ApiRule, side: Side, ends: Ends = {}): Props {
  const rule: Props = { protocol, action: action || "allow" };
  // The API says "0" for all ports, and for a protocol without ports.
  if (ports !== undefined && ports !== "" && ports !== "0") rule.portRange = ports;
  else if (protocol !== "icmp") rule.portRange = "all";
  for (const [end, name] of Object.entries(ENDS)) {
    const values = ends[name] ?? [];
    if (values.length > 0) rule[`${side}${end}`] = [...values];
  }
  return rule;
}
