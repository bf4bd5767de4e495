import { isIPv4 } from "node:net";
import { isPrivateAddress } from "../../core/net";
import {
  bare,
  CONTAINER,
  DROPLET,
  type Facts,
  FIREWALL,
  fields,
  isUnknown,
  items,
  type OpenRange,
  type Rule,
  type Seen,
  type StackRule,
  text,
  texts,
} from "./rule";

/**
 * True for a network so wide that it stands for everybody: IPv4 networks larger than /8, which is the largest block
 * that one holder has, and IPv6 networks from /0 to /12 (a regional registry's share) outside fc00::/7.
 */
export function isWorld(network: string): boolean {
  const [address = "", width] = network.split("/");
  if (width === undefined) return address === "0.0.0.0" || address === "::";
  if (!/^\d{1,3}$/.test(width)) return false;
  if (isIPv4(address)) return Number(width) < 8;
  return address.includes(":") && Number(width) <= 12 && !isPrivateAddress(address);
}

const PROTOCOLS = ["tcp", "udp"] as const;

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1)$/;

/** `"22"`, `"8000-9000"`, or all of them for `"all"`, `"0"` and nothing. */
function portRange(value: string | undefined): { start: number; end: number } {
  const match = /^(\d+)(?:-(\d+))?$/.exec(value ?? "");
  if (!match || Number(match[1]) === 0) return { start: 1, end: 65535 };
  return { start: Number(match[1]), end: Number(match[2] ?? match[1]) };
}

/** True when every port of the range lies in a range that configuration opens, for that protocol. */
function planned(range: OpenRange, open: readonly OpenRange[]): boolean {
  const fitting = open
    .filter(({ protocol }) => protocol === range.protocol)
    .sort((a, b) => a.start - b.start);
  let next = range.start;
  for (const { start, end } of fitting) if (start <= next && end >= next) next = end + 1;
  return next > range.end;
}

function checkContainer({ props }: Seen, facts: Facts): string[] {
  const found: string[] = [];
  if (props.publishAllPorts === true)
    found.push("publishAllPorts binds every port of the image to every address: name the ports instead");
  const mend = "set ip to the node's private address or 127.0.0.1";
  for (const [i, item] of items(props.ports).entries()) {
    const { ip, internal, external, protocol } = fields(item);
    if (isUnknown(ip)) continue;
    const address = text(ip) ?? "";
    const port = `ports[${i}] (${String(bare(internal))})`;
    if (address === "" || address === "0.0.0.0" || address === "::") {
      found.push(`${port} is bound to every address, past the host's firewall: ${mend}`);
      continue;
    }
    if (LOOPBACK.test(address) || isPrivateAddress(address)) continue;
    const outer = bare(external);
    const one = text(protocol) === "udp" ? "udp" : "tcp";
    const wanted =
      typeof outer === "number" && planned({ protocol: one, start: outer, end: outer }, facts.published);
    if (!wanted)
      found.push(
        `${port} is bound to the public address ${address}, which the stack's configuration does not ask for: ${mend}`,
      );
  }
  return found;
}

function checkFirewall({ props }: Seen, facts: Facts): string[] {
  return items(props.inboundRules).flatMap((item, i) => {
    const rule = fields(item);
    const from = texts(rule.sourceAddresses).filter(isWorld);
    const protocol = text(rule.protocol);
    if (from.length === 0 || protocol === "icmp" || text(rule.action) === "deny") return [];
    if (isUnknown(rule.protocol) || isUnknown(rule.portRange)) return [];
    const range = portRange(text(rule.portRange));
    const protocols = PROTOCOLS.filter((one) => one === protocol || !PROTOCOLS.includes(protocol as "tcp"));
    if (protocols.every((one) => planned({ protocol: one, ...range }, facts.open))) return [];
    const ports = range.start === range.end ? `port ${range.start}` : `ports ${range.start}-${range.end}`;
    return [
      `inboundRules[${i}] opens ${ports} (${protocol ?? "any protocol"}) to ${from.join(", ")}, which the stack's configuration does not: close it, or open it knowingly under berth:firewall.rules (or allowSsh, allowUsers) in Pulumi.${facts.stack}.yaml`,
    ];
  });
}

/**
 * No port is open to everybody unless the stack's configuration says so.
 *
 * Ports of containers are never bound to every address, whatever configuration says, as Docker's own rules come before
 * the host's firewall; to a public one only where configuration publishes the users' ports there. DigitalOcean's firewall
 * may let everybody in only where configuration does (facts.ts lists where). A node's own firewall is text inside a
 * command and is not judged here.
 */
export const ports: Rule = {
  name: "no-port-outside-the-plan",
  description: "No port is open to the world unless the stack's configuration opens it.",
  check: (resource, facts) => {
    if (resource.type === CONTAINER) return checkContainer(resource, facts);
    if (resource.type === FIREWALL) return checkFirewall(resource, facts);
    return [];
  },
};

/** Every droplet is behind a firewall: without one, DigitalOcean lets everything in. */
export const droplets: StackRule = {
  name: "droplets-behind-a-firewall",
  description: "Every droplet is behind a firewall of the stack.",
  check: (resources) => {
    const firewalls = resources.filter(({ type }) => type === FIREWALL);
    // In a first preview a tag may be unknown: then it may be the one.
    const unsure = ({ props }: Seen) => isUnknown(props.tags) || items(props.tags).some(isUnknown);
    const covered = new Set(firewalls.flatMap(({ props }) => texts(props.tags)));
    return resources
      .filter(({ type }) => type === DROPLET)
      .filter((droplet) => {
        if (firewalls.length === 0) return true;
        if (unsure(droplet) || firewalls.some(unsure)) return false;
        return !texts(droplet.props.tags).some((tag) => covered.has(tag));
      })
      .map(
        ({ urn }) =>
          `${urn.split("::").at(-1)} carries no tag of a firewall of this stack: add the tag that the firewall applies to`,
      );
  },
};
