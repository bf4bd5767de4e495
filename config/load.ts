import { hostAddress, parseCidr } from "./net";
import {
  FIRST_UID,
  type NodePlan,
  type Plan,
  rayMemory,
  type UserPlan,
  type UserSecrets,
  userLimits,
} from "./plan";
import { defaultPorts, type PortPlan, userPorts } from "./ports";
import { ConfigError, type Problem } from "./problems";
import { type NodeConfig, type StackConfig, stackKeys, stackSchema, type UserConfig } from "./schema";
import { type SetupValidator, validate } from "./validate";

export interface Loaded {
  plan: Plan;
  secrets: UserSecrets;
}

/**
 * From the stack's raw configuration to its plan, or one ConfigError with every problem.
 *
 * @param raw values by full key (`berth:nodes`), structured ones as JSON text, as Pulumi hands them over;
 *   keys of other namespaces are left alone.
 */
export function loadConfig(
  stack: string,
  raw: Record<string, string>,
  validateSetup: SetupValidator,
): Loaded {
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    if (!key.startsWith("berth:")) continue;
    values[key.slice("berth:".length)] = parseValue(value);
  }
  const parsed = stackSchema.safeParse(values);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) problems.push(...shapeProblems(issue, values));
    // What can be judged without the misshapen parts is judged in the same run.
    const rest = stackSchema.safeParse(without(values, parsed.error.issues));
    const reported = problems.map((p) => p.path);
    if (rest.success)
      for (const problem of validate(rest.data, mergePorts(rest.data), validateSetup))
        if (!reported.includes(problem.path)) problems.push(problem);
    throw new ConfigError(stack, problems);
  }
  const config = parsed.data;
  const ports = mergePorts(config);
  problems.push(...validate(config, ports, validateSetup));
  if (problems.length > 0) throw new ConfigError(stack, problems);
  return { plan: makePlan(stack, config, ports), secrets: collectSecrets(config) };
}

/** A copy of the values less every part that an issue points at. */
function without(values: Record<string, unknown>, issues: readonly unknown[]): unknown {
  const copy = structuredClone(values);
  for (const { path, keys } of issues as Issue[]) {
    for (const target of keys ? keys.map((key) => [...path, key]) : [path]) {
      const holder = target
        .slice(0, -1)
        .reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], copy);
      const last = target.at(-1);
      if (holder && typeof holder === "object" && last !== undefined) Reflect.deleteProperty(holder, last);
    }
  }
  return copy;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Pulumi hands plain strings over as they are.
    return text;
  }
}

type Issue = {
  code: string;
  path: PropertyKey[];
  message: string;
  params?: unknown;
  keys?: string[];
  values?: unknown[];
  expected?: string;
};

/** Values under these keys are secrets: an error says that they are wrong, never what they are. */
const secretKeys = new Set(["password", "credentials"]);

function shapeProblems(issue: unknown, values: unknown): Problem[] {
  const { code, path, message, params, keys, values: options, expected } = issue as Issue;
  const at = (tail: PropertyKey[]) =>
    `berth:${[...path, ...tail].reduce<string>((text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`), "")}`;
  const found = [...path].reduce<unknown>(
    (value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part],
    values,
  );
  const hidden = path.some((part) => secretKeys.has(String(part)));
  if (code === "unrecognized_keys")
    return (keys ?? []).map((key) => ({
      path: at([key]),
      value: "(hidden)",
      problem: "is an unknown key",
      allowed:
        path.length === 0
          ? stackKeys.map((k) => `berth:${k}`).join(", ")
          : "the keys that the documentation lists for this part",
    }));
  const allowed =
    (params as { allowed?: string } | undefined)?.allowed ??
    (options ? options.map((o) => JSON.stringify(o)).join(", ") : undefined) ??
    expected ??
    message;
  return [
    {
      path: at([]),
      value: hidden ? "(hidden)" : found,
      problem: found === undefined ? "is missing" : message,
      allowed,
    },
  ];
}

function mergePorts(config: StackConfig): PortPlan {
  const { users, pool, ray } = config.ports;
  const defined = <T extends object>(part: T | undefined) =>
    Object.fromEntries(Object.entries(part ?? {}).filter(([, value]) => value !== undefined));
  return {
    users: { ...defaultPorts.users, ...defined(users) },
    pool: pool ?? defaultPorts.pool,
    ray: { ...defaultPorts.ray, ...defined(ray) },
  };
}

function makePlan(stack: string, config: StackConfig, ports: PortPlan): Plan {
  const cidr = parseCidr(config.network.cidr);
  if (!cidr) throw new Error("unreachable: validate() accepted a network that does not parse");
  const nodes = config.nodes.map((node) => nodePlan(config, node));
  const head = nodes.find((node) => node.role === "head");
  if (!head) throw new Error("unreachable: validate() accepted a stack without a head");
  const gateway = hostAddress(cidr, 1);
  return {
    stack,
    network: { cidr: config.network.cidr, gateway, registry: hostAddress(cidr, 2) },
    ports,
    nodes,
    head,
    users: config.users.map((user) => userPlan(config, ports, user)),
    firewall: {
      allowSsh: config.firewall.allowSsh ?? [config.network.cidr],
      allowUsers: config.firewall.allowUsers ?? [config.network.cidr],
      rules: config.firewall.rules,
    },
    ray: { enabled: config.ray.enabled },
    registryPort: config.registryPort,
    dockerFirst: config.dockerFirst,
  };
}

function nodePlan(config: StackConfig, node: NodeConfig): NodePlan {
  return {
    name: node.name,
    kind: node.kind,
    role: node.role,
    address: node.address,
    privateAddress: node.address,
    sshPort: 22,
    sshUser: "root",
    cpus: node.cpus,
    memoryBytes: node.memory,
    ray: { cpus: config.ray.cpus ?? node.cpus, memoryBytes: rayMemory(config, node) },
    ...(node.autoExec ? { autoExec: node.autoExec } : {}),
  };
}

function userPlan(config: StackConfig, ports: PortPlan, user: UserConfig): UserPlan {
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
    limits: userLimits(config, user),
    setup: user.setup && { ...user.setup, credentials: undefined },
  };
}

function collectSecrets(config: StackConfig): UserSecrets {
  return Object.fromEntries(
    config.users.map((user) => [
      user.name,
      {
        ...(user.password !== undefined ? { password: user.password } : {}),
        ...(user.setup?.credentials ? { credentials: user.setup.credentials } : {}),
      },
    ]),
  );
}
