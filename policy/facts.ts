import { peoplesFolders } from "../components/host/storage/guard";
import { ConfigError, loadConfig, nodeOpenings, type Plan, userRanges } from "../config";
import { type Facts, isWorld, type OpenRange } from "./rules";

/** The blocks of all users. */
const blocks = (plan: Plan): OpenRange[] => userRanges(plan).map((range) => ({ protocol: "tcp", ...range }));

/**
 * What the configuration opens to everybody: SSH by `firewall.allowSsh` and `digitalocean.allowSshFrom`, the users' ports
 * by `firewall.allowUsers`, NFS by the exports of a node, what back-ends use by `manager`, and any other port by `firewall.rules`.
 */
export function openRanges(plan: Plan): OpenRange[] {
  const { allowSsh, allowUsers, rules } = plan.firewall;
  const one = (port: number, protocol: OpenRange["protocol"] = "tcp"): OpenRange => ({
    protocol,
    start: port,
    end: port,
  });
  const ssh = [...allowSsh, ...(plan.digitalocean?.allowSshFrom ?? [])];
  const served = plan.nodes
    .flatMap((node) => nodeOpenings(plan, node))
    .filter(({ from }) => from.some(isWorld));
  return [
    ...(ssh.some(isWorld)
      ? [...new Set(plan.nodes.map(({ sshPort }) => sshPort))].map((port) => one(port))
      : []),
    ...(allowUsers.some(isWorld) ? blocks(plan) : []),
    ...served.flatMap(({ ports, protocol }) => ports.map((range) => ({ protocol, ...range }))),
    ...rules.filter(({ from }) => from.some(isWorld)).map(({ port, protocol }) => one(port, protocol)),
  ];
}

/**
 * From the stack's configuration, as the engine hands it over (`berth:nodes` and so on, structured values as JSON).
 * A configuration that does not hold is the program's to refuse; here it means the strictest facts.
 */
export function factsOf(stack: string, config: Record<string, string>): Facts {
  try {
    const { plan } = loadConfig(stack, config, () => [], { placeholders: "allow" });
    const publicly = "workspaceAddress" in plan && plan.workspaceAddress === "public";
    return {
      stack,
      production: plan.production,
      open: openRanges(plan),
      published: publicly ? blocks(plan) : [],
      sudo: plan.users.filter(({ sudo }) => sudo).map(({ name }) => name),
      folders: Object.fromEntries(plan.nodes.map(({ name, storage }) => [name, peoplesFolders(storage)])),
    };
  } catch (error) {
    if (error instanceof ConfigError)
      return { stack, production: true, open: [], published: [], sudo: [], folders: {} };
    throw error;
  }
}
