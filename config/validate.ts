import { isIPv4 } from "node:net";
import { NODE_NAME, USER_NAME } from "../core/names";
import { behindPrefix, hostAddress, isInside, networksOverlap, readIpv4Network } from "../core/net";
import { checkGpu } from "./check-gpu";
import { checkMachines } from "./check-machines";
import { checkRuntime } from "./check-runtime";
import { checkStorage } from "./check-storage";
import { checkNetworks } from "./networks";
import { rayMemory, userResources, WORKSPACE_NETWORK } from "./plan";
import {
  FIRST_EPHEMERAL_PORT,
  namedRanges,
  overlaps,
  PORTS_PER_USER,
  type PortPlan,
  userPorts,
  WEB_SERVICES,
  WORKSPACE_INNER_PORTS,
} from "./ports";
import type { Problem, Report } from "./problems";
import type { LocalNodeConfig, StackConfig } from "./schema";
import { sizeText } from "./schema-base";
import { checkPublicKey } from "./ssh-keys";

/** System accounts of Debian and Ubuntu base installs, and ours: a workspace user may not be one. */
export const reservedNames = new Set(
  (
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc _apt nobody nogroup " +
    "systemd-network systemd-resolve systemd-timesync messagebus sshd polkitd syslog uuidd tcpdump landscape " +
    "admin sudo docker adm tty disk kmem staff users shadow utmp video audio plugdev berth ray system shared datasets"
  ).split(" "),
);

export type SetupValidator = (path: string, setup: unknown) => Omit<Problem, "problem">[];

/** Everything that is wrong with a well-shaped configuration, in the order of the file. */
export function validate(config: StackConfig, ports: PortPlan, validateSetup: SetupValidator): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, value, problem, allowed) =>
    problems.push({ path: `berth:${path}`, value, problem, allowed });

  checkNetwork(config, report);
  checkNodes(config, report);
  checkUsers(config, ports, report);
  for (const [i, user] of config.users.entries()) {
    if (!user.setup) continue;
    for (const p of validateSetup(`users[${i}].setup`, user.setup))
      report(p.path, p.value, "cannot be used in the set-up", p.allowed);
  }
  checkRayAccess(config, report);
  checkFirewall(config, report);
  checkPorts(ports, report);
  checkMachines(config, report);
  checkStorage(config, report);
  checkRuntime(config, report);
  checkGpu(config, report);
  return problems;
}

function checkNetwork(config: StackConfig, report: Report): void {
  const cidr = readIpv4Network(config.network.cidr);
  if (!cidr || cidr.prefix < 16 || cidr.prefix > 27) {
    const behind = behindPrefix(config.network.cidr);
    report(
      "network.cidr",
      config.network.cidr,
      behind?.problem ?? "is not a network",
      behind?.allowed ?? 'an IPv4 network from /16 to /27 such as "10.88.0.0/24"',
    );
    return;
  }
  const workspaces = readIpv4Network(WORKSPACE_NETWORK);
  if (workspaces && networksOverlap(cidr, workspaces))
    report(
      "network.cidr",
      config.network.cidr,
      `overlaps ${WORKSPACE_NETWORK}, which the workspaces of each node use`,
      "another private network",
    );
}

function checkNodes(config: StackConfig, report: Report): void {
  const heads = config.nodes.filter((n) => n.role === "head").map((n) => n.name);
  if (heads.length !== 1)
    report(
      "nodes[*].role",
      heads,
      heads.length === 0 ? "no node is the head" : "more than one node is the head",
      'exactly one node with role "head"',
    );

  const small = config.nodes.reduce((least, node) => (node.memory < least.memory ? node : least));
  if (config.ray.enabled && rayMemory(config, small) > small.memory)
    report(
      "ray.memory",
      sizeText(rayMemory(config, small)),
      `is more than node "${small.name}" has`,
      `at most ${sizeText(small.memory)}, the least of all nodes`,
    );

  const userNames = new Set(config.users.map((u) => u.name));
  for (const [i, node] of config.nodes.entries()) {
    const path = `nodes[${i}]`;
    if (!NODE_NAME.test(node.name))
      report(
        `${path}.name`,
        node.name,
        "is no node name",
        "lower-case letters, digits and '-', from a letter to a letter or digit, at most 40",
      );
    const twin = config.nodes.findIndex((n) => n.name === node.name);
    if (twin < i)
      report(
        `${path}.name`,
        node.name,
        `is the name of nodes[${twin}] too`,
        "a name of its own for every node",
      );
    if (node.kind === "local") checkLocalAddress(config, i, node, report);
    if (node.autoExec) {
      if (!USER_NAME.test(node.autoExec.login))
        report(`${path}.autoExec.login`, node.autoExec.login, "is no login", "a Linux user name of the node");
      // Berth makes local nodes: it knows who is there. A server's preflight looks before anything is changed.
      else if (node.kind === "local" && node.autoExec.login !== "root")
        report(
          `${path}.autoExec.login`,
          node.autoExec.login,
          "is no login of a local node",
          '"root", the only one there',
        );
      const target = config.users.find((u) => u.name === node.autoExec?.user);
      if (!userNames.has(node.autoExec.user) || target?.node !== node.name)
        report(
          `${path}.autoExec.user`,
          node.autoExec.user,
          "has no workspace on this node",
          `a user of "${node.name}"`,
        );
    }
  }
}

/** A local node's address: in the stack's network, free, and its own. */
function checkLocalAddress(config: StackConfig, i: number, node: LocalNodeConfig, report: Report): void {
  const path = `nodes[${i}].address`;
  if (!isIPv4(node.address)) {
    report(path, node.address, "is no address", 'an IPv4 address such as "10.88.0.10"');
    return;
  }
  const same = config.nodes.findIndex((n) => n.kind === "local" && n.address === node.address);
  if (same < i)
    report(
      path,
      node.address,
      `is the address of nodes[${same}] too`,
      "an address of its own for every node",
    );
  const cidr = readIpv4Network(config.network.cidr);
  const taken =
    cidr && [hostAddress(cidr, 0), hostAddress(cidr, 1), hostAddress(cidr, 2)].includes(node.address);
  if (cidr && (!isInside(cidr, node.address) || taken))
    report(
      path,
      node.address,
      taken ? "is kept for the network, its gateway or its registry" : "is outside the stack's network",
      `an address in ${config.network.cidr}, from ${hostAddress(cidr, 3)} on`,
    );
}

function checkUsers(config: StackConfig, ports: PortPlan, report: Report): void {
  const nodeNames = config.nodes.map((n) => n.name);
  for (const [i, user] of config.users.entries()) {
    const path = `users[${i}]`;
    if (!USER_NAME.test(user.name) || reservedNames.has(user.name))
      report(
        `${path}.name`,
        user.name,
        reservedNames.has(user.name) ? "is a system account" : "is no Linux user name",
        "a lower-case letter, then lower-case letters, digits, '_' or '-', at most 32, and no system account",
      );
    const twin = config.users.findIndex((u) => u.name === user.name);
    if (twin < i)
      report(
        `${path}.name`,
        user.name,
        `is the name of users[${twin}] too`,
        "a name of its own for every user",
      );
    if (!nodeNames.includes(user.node))
      report(`${path}.node`, user.node, "is no node of this stack", `one of ${nodeNames.join(", ")}`);
    if (user.index >= ports.users.blocks)
      report(
        `${path}.index`,
        user.index,
        "is past the last block of ports",
        `0 to ${ports.users.blocks - 1} (${PORTS_PER_USER} ports each, from ${ports.users.start})`,
      );
    const same = config.users.findIndex((u) => u.index === user.index);
    if (same < i)
      report(
        `${path}.index`,
        user.index,
        `is the index of users[${same}] ("${config.users[same]?.name}") too`,
        "an index of its own for every user: it decides the ports and the uid",
      );
    for (const service of WEB_SERVICES) {
      const port = userPorts(ports, user.index)[service];
      if (WORKSPACE_INNER_PORTS.includes(port))
        report(
          "ports.users.start",
          ports.users.start,
          `gives ${user.name} the port ${port}, on which another program inside every workspace listens`,
          `a start that gives nobody one of ${WORKSPACE_INNER_PORTS.join(", ")} for a service`,
        );
    }
    for (const [k, key] of user.keys.entries()) checkPublicKey(`${path}.keys[${k}]`, key, report);
    if (user.purge && user.state !== "removed")
      report(
        `${path}.purge`,
        user.purge,
        `deletes the home of a workspace that is ${user.state}`,
        'purge: true only with state: "removed"',
      );
    checkResources(config, path, i, report);
  }
  for (const [i, node] of config.nodes.entries()) {
    const here = config.users.filter((u) => u.node === node.name && u.state === "running");
    const reserved = here.reduce((sum, u) => sum + userResources(config, u).memoryReservationBytes, 0);
    if (reserved > node.memory)
      report(
        `nodes[${i}].memory`,
        sizeText(node.memory),
        `is less than the reservations of its workspaces (${sizeText(reserved)} for ${here.map((u) => u.name).join(", ")})`,
        "more memory, smaller reservations, or users on another node",
      );
  }
}

function checkResources(config: StackConfig, path: string, i: number, report: Report): void {
  const user = config.users[i];
  const node = config.nodes.find((n) => n.name === user?.node);
  if (!user || !node) return;
  const resources = userResources(config, user);
  // Where the value is written: what all workspaces share is said once, not once for each user.
  const at = (key: "memory" | "cpus") =>
    user[key] === undefined && config.workspaces[key] !== undefined ? `workspaces.${key}` : `${path}.${key}`;
  if (resources.memoryBytes > node.memory)
    report(
      at("memory"),
      sizeText(resources.memoryBytes),
      `is more than node "${node.name}" has`,
      `at most ${sizeText(node.memory)}`,
    );
  if (resources.cpus > node.cpus)
    report(at("cpus"), resources.cpus, `is more than node "${node.name}" has`, `at most ${node.cpus}`);
  for (const key of ["memoryReservation", "shm"] as const)
    if ((user[key] ?? 0) > resources.memoryBytes)
      report(
        `${path}.${key}`,
        sizeText(user[key] ?? 0),
        "is more than the workspace's memory",
        `at most ${sizeText(resources.memoryBytes)}`,
      );
}

/** A name that nobody has would be a person who was meant to have Ray's token, or somebody who should have lost it. */
function checkRayAccess({ ray, users }: StackConfig, report: Report): void {
  const names = users.map(({ name }) => name);
  for (const [i, name] of (ray.access ?? []).entries()) {
    const path = `ray.access[${i}]`;
    const twin = ray.access?.indexOf(name) ?? i;
    if (!names.includes(name))
      report(
        path,
        name,
        "is no user of this stack",
        `${names.length > 0 ? `users of it (${names.join(", ")})` : "nobody, as it has no users"}; an empty list for ` +
          "nobody, no list for everybody",
      );
    else if (twin < i) report(path, name, `stands at ray.access[${twin}] already`, "each user once");
  }
}

function checkFirewall(config: StackConfig, report: Report): void {
  checkNetworks("firewall.allowSsh", config.firewall.allowSsh, report);
  checkNetworks("firewall.allowUsers", config.firewall.allowUsers, report);
  if (config.firewall.allowSsh?.length === 0)
    report(
      "firewall.allowSsh",
      [],
      "would lock Berth itself out",
      "at least the network that the operator connects from",
    );
  for (const [i, rule] of config.firewall.rules.entries())
    checkNetworks(`firewall.rules[${i}].from`, rule.from, report);
}

function checkPorts(ports: PortPlan, report: Report): void {
  const ranges = namedRanges(ports);
  for (const r of ranges) {
    const bare = r.path.replace(/^berth:/, "");
    if (r.start > r.end) report(bare, `${r.start}-${r.end}`, "ends before it starts", "start at most end");
    if (r.end >= FIRST_EPHEMERAL_PORT)
      report(
        bare,
        r.start === r.end ? r.start : `${r.start}-${r.end}`,
        `reaches into the kernel's ephemeral ports (from ${FIRST_EPHEMERAL_PORT})`,
        `ports below ${FIRST_EPHEMERAL_PORT}`,
      );
  }
  for (const [a, b] of overlaps(ranges)) {
    // The one that a configuration can move.
    const movable = b.path.startsWith("berth:") ? b : a;
    report(
      movable.path.replace(/^berth:/, ""),
      `${movable.start}-${movable.end}`,
      `${a.what} (${a.start}-${a.end}) and ${b.what} (${b.start}-${b.end}) overlap`,
      "ranges that do not meet",
    );
  }
}
