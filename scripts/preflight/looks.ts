/**
 * From a stack's file to what is run on each of its servers to look at it, and from what that prints to a report. Pure
 * but for the files of keys, whose presence is checked.
 */
import { parse } from "yaml";
import {
  type PreflightFacts,
  readPreflightFacts,
  renderPreflight,
  StageOptionError,
} from "../../components/host";
import { baremetalAccess, SshAccessError } from "../../components/node/ssh-access";
import { preflightOptions } from "../../components/stage-options";
import { validateSetup } from "../../components/workspace/setup";
import { type BaremetalNodePlan, ConfigError, findPlaceholders, loadConfig } from "../../config";

/** One server, and how to look at it. */
export interface Look {
  node: string;
  user: string;
  address: string;
  port: number;
  /** Words for ssh that name key, known hosts and jump host. */
  sshOptions: string[];
  /** Lines for the file of known hosts that `sshOptions` names. */
  knownHosts: string;
  /** What is run there; it becomes root by itself. */
  command: string;
  /** Parts of the configuration that hold a placeholder, and that the look therefore knows nothing of. */
  omitted: string[];
}

export interface LookFiles {
  /** Where `knownHosts` will be written. */
  knownHosts: string;
  /** The stack's own private key, which may not be there yet. */
  operatorKey: string;
  hasOperatorKey: boolean;
}

/** A mistake in the configuration, or something missing on this computer: all that is wrong, a line each. */
export class LookError extends Error {
  readonly exitCode = 2;
}

/**
 * The configuration as Pulumi would hand it to the program, without its secrets: looking at servers needs none, so no
 * passphrase is asked for.
 *
 * @param stackText content of `Pulumi.<stack>.yaml`
 * @param projectText content of `Pulumi.yaml`, for its defaults
 */
export function rawConfig(stackText: string, projectText: string): Record<string, string> {
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  const raw: Record<string, string> = {};
  for (const [key, entry] of entries(parse(projectText), "config")) {
    const value = (entry as { default?: unknown } | null)?.default;
    if (value !== undefined) raw[`berth:${key}`] = text(value);
  }
  for (const [key, value] of entries(parse(stackText), "config")) {
    const open = withoutSecrets(value);
    if (open !== undefined) raw[key] = text(open);
  }
  return raw;
}

function entries(document: unknown, key: string): [string, unknown][] {
  const part = (document as Record<string, unknown> | null)?.[key];
  return part && typeof part === "object" && !Array.isArray(part) ? Object.entries(part) : [];
}

/** `{ secure: … }` is what Pulumi writes for an encrypted value. */
function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets).filter((item) => item !== undefined);
  if (value === null || typeof value !== "object") return value;
  if (Object.keys(value).length === 1 && "secure" in value) return undefined;
  const kept = Object.entries(value).map(([key, item]) => [key, withoutSecrets(item)] as const);
  return Object.fromEntries(kept.filter(([, item]) => item !== undefined));
}

/**
 * @param wanted names of nodes; empty: every server of the stack.
 * @throws LookError
 */
export function looks(
  stack: string,
  raw: Record<string, string>,
  wanted: readonly string[],
  filesOf: (node: string) => LookFiles,
): Look[] {
  let plan: ReturnType<typeof loadConfig>["plan"];
  try {
    plan = loadConfig(stack, raw, validateSetup, { placeholders: "allow" }).plan;
  } catch (error) {
    if (error instanceof ConfigError) throw new LookError(error.message);
    throw error;
  }
  const servers = plan.nodes.filter((node): node is BaremetalNodePlan => node.kind === "baremetal");
  const names = servers.map(({ name }) => name);
  const among = names.length > 0 ? names.join(", ") : "none";
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new LookError(
      `${unknown.join(", ")}: no server of stack ${stack}. Its servers (kind: baremetal): ${among}.`,
    );
  if (servers.length === 0)
    throw new LookError(
      `Stack ${stack} has no server (kind: baremetal): local nodes and droplets are made by Berth, and there is nothing to look at before.`,
    );
  const problems: string[] = [];
  const found: Look[] = [];
  for (const node of servers.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    try {
      found.push(oneLook(plan, node, filesOf(node.name)));
    } catch (error) {
      if (
        !(error instanceof LookError || error instanceof SshAccessError || error instanceof StageOptionError)
      )
        throw error;
      problems.push(
        error instanceof StageOptionError ? `node ${node.name}: ${error.message}` : error.message,
      );
    }
  }
  if (problems.length > 0) throw new LookError(problems.join("\n"));
  return found;
}

function oneLook(
  plan: Parameters<typeof preflightOptions>[0],
  node: BaremetalNodePlan,
  files: LookFiles,
): Look {
  const { name, address, privateAddress, hostKey, jump, key, sshUser } = node;
  const open = findPlaceholders({ address, privateAddress, hostKey, jump, key, sshUser });
  if (open.length > 0) {
    const list = open.map(({ path, value }) => `${path} ${value}`).join(", ");
    throw new LookError(`node ${name}: still a placeholder, and needed to sign in: ${list}`);
  }
  if (key.from === "stack" && !files.hasOperatorKey)
    throw new LookError(
      `node ${name}: it is opened with the stack's own key, and ${files.operatorKey} is not here yet. ` +
        `The first update makes it (npm run up -- --stack ${plan.stack}) and ends at this server, which does not know it: put its public half there (ssh-keygen -y -f ${files.operatorKey}) and update again. Or name a keyFile or agent: true`,
    );
  const access = baremetalAccess(
    node,
    { folder: "/nonexistent", operatorKey: files.operatorKey, knownHosts: files.knownHosts },
    // Only the path of the key is used here, never its text.
    { publicKey: "", privateKey: "" },
    { preview: false },
  );
  const omitted: string[] = [];
  const options = withoutPlaceholders(preflightOptions(plan, node), "", omitted);
  return {
    node: name,
    user: sshUser,
    address,
    port: node.sshPort,
    sshOptions: access.sshOptions,
    knownHosts: access.knownHosts.join(""),
    command: renderPreflight({ ...options, node: name, record: false }),
    omitted,
  };
}

/**
 * A copy less what holds a placeholder: of a list the whole entry, of anything else the value. Paths of what went are
 * added to `omitted`.
 */
function withoutPlaceholders<T>(value: T, path: string, omitted: string[]): T {
  if (Array.isArray(value))
    return value.filter((item, i) => {
      // Also inside a text: an address with a port behind it.
      const open = /<[^<>"]+>|"TODO\b/.test(JSON.stringify(item));
      if (open) omitted.push(`${path}[${i}]`);
      return !open;
    }) as T;
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).flatMap(([key, item]) => {
    const at = path === "" ? key : `${path}.${key}`;
    if (typeof item !== "string") return [[key, withoutPlaceholders(item, at, omitted)]];
    if (findPlaceholders({ item }).length === 0) return [[key, item]];
    omitted.push(at);
    return [];
  });
  return Object.fromEntries(kept) as T;
}

export interface Report {
  node: string;
  /** `adoptable`, `refused`: something stands in the way, `unknown`: it could not be looked at. */
  state: "adoptable" | "refused" | "unknown";
  /** What stands in the way, or why nothing is known. */
  problems: string[];
  /** Parts of the configuration that are still placeholders, so nothing is known of them. */
  omitted: string[];
  /** What is there and what will change; only of one that can be adopted. */
  found?: PreflightFacts;
}

/** What the command printed, as a report. */
export function readReport(
  { node, omitted }: Pick<Look, "node" | "omitted">,
  code: number | null,
  stdout: string,
  stderr: string,
): Report {
  if (code === 0) {
    try {
      return { node, state: "adoptable", problems: [], omitted, found: readPreflightFacts(stdout) };
    } catch (error) {
      return { node, state: "unknown", problems: [(error as Error).message], omitted };
    }
  }
  const lines = stderr.split("\n").map((line) => line.trimEnd());
  const start = lines.indexOf("this server cannot be adopted as it is:");
  const named = start < 0 ? [] : lines.slice(start + 1).filter((line) => line.startsWith("- "));
  if (named.length > 0)
    return { node, state: "refused", problems: named.map((line) => line.slice(2)), omitted };
  if (lines.includes("Host key verification failed.")) {
    // ssh's own words name a file of ours that is gone when they are read.
    const shown = lines.find((line) => /^SHA256:\S+\.$/.test(line))?.slice(0, -1);
    const problem = `it shows another host key than hostKey says${shown ? `: ${shown}` : ""}. Nothing was sent to it. On the machine: ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub`;
    return { node, state: "unknown", problems: [problem], omitted };
  }
  const said = lines.filter((line) => line !== "").slice(-8);
  const why =
    code === 255 && !stderr.includes("stage preflight")
      ? "it cannot be signed in to"
      : `the look ended with ${code ?? "a signal"}`;
  return { node, state: "unknown", problems: [`${why}: ${said.join("\n") || "without a word"}`], omitted };
}

const gigabytes = (bytes: number) =>
  bytes >= 1e12 ? `${(bytes / 1e12).toFixed(1)} TB` : `${Math.round(bytes / 1e9)} GB`;

/** For people. */
export function describeReport({ node, state, problems, omitted, found }: Report): string {
  if (state === "refused")
    return [`${node}: cannot be adopted as it is`, ...problems.map((line) => `  - ${line}`)].join("\n");
  if (state === "unknown" || !found)
    return [
      `${node}: not looked at`,
      ...problems
        .join("\n")
        .split("\n")
        .map((line) => `  ${line}`),
    ].join("\n");
  const { users, disks, docker, ufw, otherFirewalls, willChange, timeSync, login, sudo, privateInterface } =
    found;
  const whole = disks.filter(({ type }) => type === "disk");
  const lines = [
    `login ${login}${sudo ? ", with sudo" : ""}; private address on ${privateInterface}; time from ${timeSync}`,
    `people: ${users.map(({ name }) => name).join(", ") || "none"}`,
    `disks: ${whole.map(({ name, bytes, signature, mounts }) => `${name} ${gigabytes(bytes)}${signature ? ` (${signature})` : ""}${mounts.length > 0 ? ` at ${mounts.join(" ")}` : ""}`).join(", ") || "none seen"}`,
    docker
      ? `Docker ${docker.version}${docker.package ? ` (${docker.package})` : ""}: ${docker.containers} containers, ${docker.running} running`
      : "no Docker",
    `firewall: ufw ${ufw.state}${ufw.rules > 0 ? ` with ${ufw.rules} rules` : ""}${otherFirewalls.length > 0 ? `; also ${otherFirewalls.join(", ")}` : ""}`,
  ];
  return [
    `${node}: can be adopted`,
    "  What is there:",
    ...lines.map((line) => `  - ${line}`),
    willChange.length > 0
      ? "  What Berth will change:"
      : "  Berth will change nothing: it is set up already.",
    ...willChange.map((line) => `  - ${line}`),
    ...(omitted.length > 0 ? [`  Not looked at, still placeholders: ${omitted.join(", ")}`] : []),
  ].join("\n");
}
