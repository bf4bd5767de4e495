/**
 * @file How the scripts sign in to a node: with the stack's own key, and only to the host key known in advance.
 */
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { UsageError } from "./args.mjs";
import { shellQuote } from "./format.mjs";
import { run } from "./process.mjs";

/**
 * @param {string} folder the stack's folder (`id_ed25519`, `known_hosts`)
 * @param {string} address
 * @param {{connectSeconds?: number}} [options]
 * @returns {string[]} what goes before the remote command
 */
export function sshArgs(folder, address, { connectSeconds = 4 } = {}) {
  return [
    "-i",
    join(folder, "id_ed25519"),
    ...["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"],
    ...[
      "-o",
      `UserKnownHostsFile="${join(folder, "known_hosts")}"`,
      "-o",
      `ConnectTimeout=${connectSeconds}`,
    ],
    ...["-o", "LogLevel=ERROR", "--", `root@${address}`],
  ];
}

/**
 * How a node is signed in to. `options`: words for ssh, which name the key and the known hosts.
 * @typedef {{address: string, ssh?: {user: string, port: number, options: string[]}}} SshNode
 */

/**
 * Adds to the stack's outputs how each node is signed in to, which `up` left on this computer.
 * @template {{nodes?: (SshNode & {name: string})[]}} T
 * @param {T} outputs
 * @param {string} folder the stack's
 * @returns {T}
 */
export function withAccess(outputs, folder) {
  /** @type {Record<string, SshNode["ssh"]>} */
  let access = {};
  try {
    access = JSON.parse(readFileSync(join(folder, "ssh.json"), "utf8"));
  } catch (error) {
    // None: an `up` of another computer. Then root at port 22 with the stack's key is tried.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ENOENT") throw error;
  }
  const nodes = outputs.nodes?.map((node) => ({ ...node, ssh: access[node.name] ?? node.ssh }));
  return nodes ? { ...outputs, nodes } : outputs;
}

/**
 * The words that sign in to a node. Connections are not shared: one that was opened before a restart would hang.
 * @param {string} folder the stack's
 * @param {SshNode} node
 * @param {{connectSeconds?: number}} [options]
 * @returns {string[]} what goes before the remote command
 */
export function sshToNode(folder, { address, ssh }, { connectSeconds = 8 } = {}) {
  if (!ssh) return sshArgs(folder, address, { connectSeconds });
  const words = ["-o", `ConnectTimeout=${connectSeconds}`, ...ssh.options];
  return ["-F", "none", ...sshTo({ user: ssh.user, host: address, port: ssh.port }, words)];
}

/**
 * @param {Pick<SshNode, "ssh">} node
 * @param {string} command a line for a shell, run as root
 */
export function asRoot({ ssh }, command) {
  return ssh && ssh.user !== "root" ? `sudo -n ${command}` : command;
}

/**
 * Runs docker for an engine: a node's, by its own command, or that of this computer.
 * @param {{folder: string, env: NodeJS.ProcessEnv, node?: SshNode | undefined, host?: string | undefined}} where `folder`: the
 *   stack's; `host`: this computer's engine, where it is not docker's default
 * @param {string[]} args
 */
export function dockerOn({ folder, env, node, host }, args) {
  const options = { env, deadlineMs: 60_000 };
  if (!node) return run("docker", [...(host ? ["--host", host] : []), ...args], options);
  const line = asRoot(node, ["docker", ...args.map(shellQuote)].join(" "));
  return run("ssh", [...sshToNode(folder, node), line], options);
}

/** @typedef {{user: string, host: string, port: number}} SshTarget */

/**
 * @param {string} text `USER@HOST:PORT`, an IPv6 address in brackets; the port may be left out (22)
 * @param {string} where the option it was given with, for the error
 * @returns {SshTarget}
 * @throws {UsageError}
 */
export function readTarget(text, where) {
  const match = /^([A-Za-z0-9_][\w.-]*\$?)@(?:\[([^\]]+)\]|([A-Za-z0-9][A-Za-z0-9.-]*))(?::(\d{1,5}))?$/.exec(
    text,
  );
  const [, user = "", six, name, digits = "22"] = match ?? [];
  const port = Number(digits);
  if (!match || (six !== undefined && !isIPv6(six)) || port < 1 || port > 65535) {
    throw new UsageError(
      `${where}: ${JSON.stringify(text)} is no SSH address. Allowed: USER@HOST:PORT, such as root@203.0.113.7:22 or root@[2001:db8::7]:22.`,
    );
  }
  return { user, host: six ?? name ?? "", port };
}

/** The environment variable with further arguments for ssh. */
export const SSH_OPTIONS = "BERTH_SSH_OPTIONS";

/** Arguments that say how to reach and whom to trust, and no more: none forwards, runs or writes something. */
const FLAGS = new Set(["-4", "-6", "-q"]);
const VALUED = new Set(["-i", "-F", "-J", "-b", "-c", "-m", "-o"]);

/**
 * The arguments for ssh that BERTH_SSH_OPTIONS holds, as JSON.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string[]} [] when there are none
 * @throws {UsageError} not a JSON array of strings, an argument that is none of those allowed, or one that would
 *   take an unknown host for the right one
 */
export function readSshOptions(env = process.env) {
  const text = env[SSH_OPTIONS];
  if (!text) return [];
  /** @param {string} what */
  const wrong = (what) =>
    new UsageError(
      `${SSH_OPTIONS}: ${what}. Allowed: a JSON array of ssh arguments, each word one string, out of ${[...VALUED, ...FLAGS].join(", ")}; such as ["-i", "/home/me/key", "-o", "UserKnownHostsFile=/home/me/known_hosts"].`,
    );
  /** @type {unknown} */
  let words;
  try {
    words = JSON.parse(text);
  } catch (error) {
    throw wrong(`it is no JSON (${error instanceof Error ? error.message : error})`);
  }
  if (!Array.isArray(words) || !words.every((word) => typeof word === "string")) {
    throw wrong("it is no array of strings");
  }
  for (let i = 0; i < words.length; i++) {
    const word = String(words[i]);
    if (FLAGS.has(word)) continue;
    const option = word.slice(0, 2);
    if (!VALUED.has(option)) throw wrong(`${JSON.stringify(word)} (entry ${i}) is not allowed`);
    const value = word.length > 2 ? word.slice(2) : String(words[i + 1] ?? "");
    if (!value) throw wrong(`a value is missing after ${JSON.stringify(option)} (entry ${i})`);
    if (word.length === 2) i++;
    if (option !== "-o") continue;
    const [, key = "", setting = ""] = /^\s*(\w+)\s*[=\s]\s*(.*?)\s*$/s.exec(value) ?? [];
    if (!key) throw wrong(`${JSON.stringify(value)} (entry ${i}) is no Key=value`);
    const strict = key.toLowerCase() !== "stricthostkeychecking" || /^"?(yes|true)"?$/i.test(setting);
    if (!strict || (key.toLowerCase() === "nohostauthenticationforlocalhost" && !/^"?no"?$/i.test(setting))) {
      throw new UsageError(
        `${SSH_OPTIONS}: ${JSON.stringify(value)} (entry ${i}) would trust any host that answers. Leave it out and put the host's key into a file: -o UserKnownHostsFile=FILE.`,
      );
    }
  }
  return words.map(String);
}

/**
 * The arguments for ssh up to the remote command. ssh takes the first of several values: what must hold stands
 * before `options`, what `options` may change after them.
 *
 * A connection of its own: a shared one (ControlMaster) would live on after the program, or end under it.
 * No compression: what goes over it is compressed already.
 * @param {SshTarget} target
 * @param {string[]} options see readSshOptions
 * @param {string} [forward] for -L
 * @returns {string[]}
 */
export function sshTo(target, options, forward) {
  const fixed = {
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    ControlMaster: "no",
    ControlPath: "none",
    Compression: "no",
    ExitOnForwardFailure: "yes",
    ...(forward === undefined ? { ClearAllForwardings: "yes" } : {}),
  };
  // A host that is gone without a word is noticed after a minute.
  const free = {
    ConnectTimeout: "15",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "4",
    LogLevel: "ERROR",
  };
  /** @param {Record<string, string>} settings */
  const words = (settings) => Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  return [
    "-T",
    ...words(fixed),
    ...options,
    ...words(free),
    ...(forward === undefined ? [] : ["-L", forward]),
    ...["-p", String(target.port), "--", `${target.user}@${target.host}`],
  ];
}

/**
 * @param {SshTarget} target
 * @returns {string} `USER@HOST:PORT`, for messages
 */
export function showTarget({ user, host, port }) {
  return `${user}@${host.includes(":") ? `[${host}]` : host}:${port}`;
}
