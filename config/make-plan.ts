import { hostAddress, readIpv4Network } from "../core/net";
import { declaredGpus, nodeLimits, nodeRuntime, userAsk } from "./gpu/resolve";
import { parseAddressPair } from "./machines/addresses";
import { type Access, resolveAccess } from "./machines/resolve";
import { parseHostKey } from "./machines/ssh-keys";
import { managerPlan } from "./manager/resolve";
import { type PortPlan, userPorts } from "./network/ports";
import { defaultAllowSsh, defaultAllowUsers } from "./network/resolve";
import { FIRST_UID, type KeyPlan, type Plan, type PlannedNode, type UserPlan } from "./plan";
import { rayMemory } from "./ray/resolve";
import type {
  BaremetalNodeConfig,
  DigitaloceanNodeConfig,
  NodeConfig,
  StackConfig,
  UserConfig,
} from "./schema";
import { resolveStorage } from "./storage/resolve";
import { groupOfUser, userResources } from "./users/resolve";

/** From a valid configuration to its plan: defaults filled in, inheritance resolved. Pure. */
export function makePlan(stack: string, config: StackConfig, ports: PortPlan): Plan {
  const cidr = readIpv4Network(config.network.cidr);
  if (!cidr) throw new Error("unreachable: the check accepted a network that does not parse");
  const nodes = config.nodes.map((node) => nodePlan(config, node));
  const head = nodes.find((node) => node.role === "head");
  if (!head) throw new Error("unreachable: the check accepted a stack without a head");
  const { digitalocean } = config;
  const allowUsers = config.firewall.allowUsers ?? defaultAllowUsers(config, nodes);
  const manager = managerPlan(config, allowUsers);
  return {
    stack,
    network: { cidr: config.network.cidr, gateway: hostAddress(cidr, 1), registry: hostAddress(cidr, 2) },
    ports,
    nodes,
    head,
    users: config.users.map((user) => userPlan(config, ports, user)),
    firewall: {
      allowSsh: config.firewall.allowSsh ?? defaultAllowSsh(config),
      allowUsers,
      rules: config.firewall.rules,
    },
    ray: { enabled: config.ray.enabled, access: config.ray.access ?? "all" },
    registryPort: config.registryPort,
    dockerFirst: config.dockerFirst,
    workspaceAddress: config.workspaces.address ?? "private",
    workspaceServices: config.workspaces.services ?? "loopback",
    ...(digitalocean
      ? {
          digitalocean: {
            ...digitalocean,
            allowSshFrom: digitalocean.allowSshFrom ?? config.firewall.allowSsh ?? [],
          },
        }
      : {}),
    gpu: {
      strategy: config.gpu.strategy,
      allocation: config.gpu.allocation,
      memoryLimitMiB: Math.floor(config.gpu.memoryLimit / 2 ** 20),
    },
    limits: nodeLimits(config),
    agent: config.agent,
    ...(manager ? { manager } : {}),
    production: config.production,
  };
}

function nodePlan(config: StackConfig, node: NodeConfig): PlannedNode {
  const gpus = declaredGpus(config.limits, node.gpus);
  const rayGpu = config.ray.enabled ? node.ray?.gpu : undefined;
  const base = {
    name: node.name,
    role: node.role,
    cpus: node.cpus,
    memoryBytes: node.memory,
    ray: {
      cpus: config.ray.cpus ?? node.cpus,
      memoryBytes: rayMemory(config, node),
      ...(rayGpu ? { gpu: userAsk(rayGpu) } : {}),
    },
    ...(node.autoExec ? { autoExec: node.autoExec } : {}),
    storage: resolveStorage(config, node),
    ...(node.fabric ? { fabric: node.fabric } : {}),
    runtime: nodeRuntime(config, node),
    ...(gpus ? { gpus } : {}),
  };
  const rootAt22 = { sshPort: 22, sshUser: "root" };
  switch (node.kind) {
    case "local":
      return {
        ...base,
        ...rootAt22,
        kind: node.kind,
        address: node.address,
        privateAddress: node.address,
      };
    case "digitalocean":
      return { ...base, ...rootAt22, kind: node.kind, ...droplet(config, node) };
    case "baremetal":
      return { ...base, kind: node.kind, ...baremetal(resolveAccess(config, node), node) };
    default:
      return node satisfies never;
  }
}

function droplet(config: StackConfig, node: DigitaloceanNodeConfig) {
  const { size, image, monitoring, ipv6, backups, reservedIp } = node;
  return {
    size,
    image,
    region: node.region ?? config.digitalocean?.region ?? "",
    monitoring,
    ipv6,
    backups,
    reservedIp,
    volumes: node.volumes.map(({ name, size: sizeBytes, filesystem, mount }) => ({
      name,
      sizeBytes,
      filesystem,
      mount,
    })),
  };
}

function baremetal(access: Access, node: BaremetalNodeConfig) {
  const pair = typeof node.address === "string" ? parseAddressPair(node.address) : node.address;
  // In a preview a placeholder may stand where a host key will be.
  const key = (text: string | undefined) => parseHostKey(text ?? "") ?? text ?? "";
  const { jump, privateInterface } = access;
  return {
    address: pair?.public ?? "",
    privateAddress: pair?.private ?? "",
    sshUser: access.user,
    sshPort: access.port,
    hostKey: key(node.hostKey),
    key: keyPlan(access),
    ...(jump
      ? {
          jump: {
            host: jump.host,
            user: jump.user ?? access.user,
            port: jump.port ?? 22,
            hostKey: key(jump.hostKey),
          },
        }
      : {}),
    ...(privateInterface !== undefined ? { privateInterface } : {}),
  };
}

function keyPlan({ keyFile, agent }: Access): KeyPlan {
  if (keyFile !== undefined) return { from: "file", path: keyFile };
  return agent ? { from: "agent" } : { from: "stack" };
}

function userPlan(config: StackConfig, ports: PortPlan, user: UserConfig): UserPlan {
  const node = config.nodes.find((n) => n.name === user.node);
  const quota = user.quota ?? (node && resolveStorage(config, node).quota?.home);
  return {
    name: user.name,
    node: user.node,
    index: user.index,
    uid: FIRST_UID + user.index,
    state: user.state,
    purge: user.purge,
    keys: user.keys,
    sudo: user.sudo,
    credentialsVersion: user.credentialsVersion,
    ownPassword: user.password !== undefined,
    ports: userPorts(ports, user.index),
    resources: userResources(config, user),
    ...(quota ? { quota } : {}),
    group: groupOfUser(config, user),
    ...(user.gpu ? { gpu: userAsk(user.gpu) } : {}),
    setup: user.setup && { ...user.setup, credentials: undefined },
  };
}
