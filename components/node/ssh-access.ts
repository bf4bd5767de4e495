/**
 * How a bare-metal node is reached from the operator's computer: by a key file, the agent or the stack's own key,
 * directly or through a jump host, and never without a host key that is known beforehand.
 */
import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { type BaremetalNodePlan, isPlaceholder, type KeyPlan, PLAIN_PATH } from "../../config";
import { privateKeyProblem } from "../../core/private-key";
import type { SshKeyPair, StackFiles } from "../secrets";
import { dockerSshOptions, knownHostsLine, type SshServer, type SshTarget } from "./connection";

export interface BaremetalAccess {
  /** For `sshConnection`. A jump host is opened with the same key as the node. */
  target: SshTarget;
  /** For a docker.Provider. Nothing secret: paths and names. */
  sshOptions: string[];
  /** Lines for `files.knownHosts`, each with its line break: the node, and its jump host. */
  knownHosts: string[];
}

export interface AccessContext {
  /** @default process.env */
  env?: Readonly<Record<string, string | undefined>>;
  /**
   * True: a key or an agent that is missing is a warning, for a preview may run where neither is (on a pull request);
   * a key that is there and of no use is an error all the same.
   * The key is then unknown, so the preview shows the stages as changed. @default pulumi.runtime.isDryRun()
   */
  preview?: boolean;
  /** Gets the warning. @default pulumi.log.warn */
  warn?: (message: string) => void;
}

/** A key or an agent that cannot be used; the message says which, and what to do. Never a key's text. */
export class SshAccessError extends Error {
  /** @param absent true where nothing is there to judge: a preview goes on without it. */
  constructor(
    node: string,
    problem: string,
    readonly absent = false,
  ) {
    super(`node ${node}: ${problem}`);
    this.name = "SshAccessError";
  }
}

/**
 * @param stackKey the stack's own key pair, for `key: { from: "stack" }`.
 * @throws SshAccessError for a key file that is missing, cannot be read, is open to others or has a passphrase, for
 * an agent that does not run, and for a path that OpenSSH's ProxyCommand cannot carry.
 */
export function baremetalAccess(
  plan: BaremetalNodePlan,
  files: StackFiles,
  stackKey: pulumi.Input<SshKeyPair>,
  context: AccessContext = {},
): BaremetalAccess {
  const privateKey = signIn(plan, stackKey, context);
  const { jump } = plan;
  const server = (address: string, port: number, user: string, hostKey: string): SshServer => ({
    address,
    port,
    user,
    ...(privateKey === undefined ? {} : { privateKey }),
    hostKey,
  });
  return {
    target: {
      ...server(plan.address, plan.sshPort, plan.sshUser, plan.hostKey),
      ...(jump ? { jump: server(jump.host, jump.port, jump.user, jump.hostKey) } : {}),
    },
    sshOptions: sshOptions(plan, files),
    knownHosts: [
      knownHostsLine(plan.address, plan.sshPort, plan.hostKey),
      ...(jump ? [knownHostsLine(jump.host, jump.port, jump.hostKey)] : []),
    ],
  };
}

/** The private key as a secret; undefined where the agent signs in. */
function signIn(
  plan: BaremetalNodePlan,
  stackKey: pulumi.Input<SshKeyPair>,
  context: AccessContext,
): pulumi.Output<string> | undefined {
  const { key, name } = plan;
  if (key.from === "stack") return pulumi.secret(pulumi.output(stackKey).privateKey);
  try {
    if (key.from === "agent") return checkAgent(name, context.env ?? process.env);
    return pulumi.secret(readPrivateKey(name, key.path));
  } catch (error) {
    const goOn =
      error instanceof SshAccessError && error.absent && (context.preview ?? pulumi.runtime.isDryRun());
    if (!goOn) throw error;
    (context.warn ?? ((text) => pulumi.log.warn(text)))(`${error.message}. An update will need it.`);
    return key.from === "agent" ? undefined : pulumi.secret(pulumi.output(pulumi.unknown)).apply(String);
  }
}

function checkAgent(node: string, env: Readonly<Record<string, string | undefined>>): undefined {
  const socket = env.SSH_AUTH_SOCK;
  if (socket === undefined || socket === "") {
    throw new SshAccessError(
      node,
      "it is opened with a key of the SSH agent (agent: true), and no agent is known here: SSH_AUTH_SOCK is not " +
        'set. Start one and add the key (eval "$(ssh-agent)"; ssh-add KEY), or name a key file (keyFile: …)',
      true,
    );
  }
  try {
    if (statSync(socket).isSocket()) return undefined;
  } catch {
    // Told below: what is there is no agent either way.
  }
  throw new SshAccessError(
    node,
    `it is opened with a key of the SSH agent (agent: true), and SSH_AUTH_SOCK names ${socket}, where no agent ` +
      "listens. Log in again, or start one and add the key",
    true,
  );
}

/**
 * The text of a private key that OpenSSH and both kinds of plugins sign in with.
 * @throws SshAccessError: of a key that is not there, or cannot be used.
 */
export function readPrivateKey(node: string, file: string): string {
  const path = expandHome(file);
  const fail = (problem: string, absent = false): never => {
    throw new SshAccessError(node, `keyFile ${path} ${problem}`, absent);
  };
  if (isPlaceholder(file)) fail("is still a placeholder: write the path of the private key there", true);
  let text = "";
  try {
    const found = statSync(path);
    if (found.isDirectory()) fail("is a folder: name the private key in it");
    // A pipe would be waited for; OpenSSH reads no more than 1 MiB either (MAX_KEY_FILE_SIZE).
    if (!found.isFile() || found.size > 2 ** 20) fail("is no SSH private key");
    const { mode, uid } = found;
    // OpenSSH's own rule (sshkey_perm_ok): it refuses such a key, so the Docker provider could not connect.
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) {
      fail(
        `can be read by others (mode ${(mode & 0o777).toString(8)}), and ssh refuses it: chmod 600 ${path}`,
      );
    }
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof SshAccessError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT")
      fail("does not exist on this computer: correct the path, or use the agent (agent: true)", true);
    if (code === "EACCES") fail("is not yours to read (EACCES): make it so, or name another", true);
    fail(`cannot be read: ${code ?? (error as Error).message}`, true);
  }
  const problem = privateKeyProblem(text, path);
  if (problem !== undefined) fail(problem);
  return text.endsWith("\n") ? text : `${text}\n`;
}

export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

/** Quoted, for the shell that runs a ProxyCommand would look for files of that name. */
const FORWARD = "'[%h]:%p'";

/** What OpenSSH needs for the same target: for a docker.Provider, which starts it for each connection. */
function sshOptions(plan: BaremetalNodePlan, files: StackFiles): string[] {
  const { key, jump, name } = plan;
  const path = keyPath(key, files);
  const plain = dockerSshOptions({ ...files, operatorKey: path ?? "" });
  const own = path === undefined ? agentOptions(plain) : plain;
  if (!jump) return own;
  const words = [
    "ssh",
    // Without it the hop would read the person's own configuration, which may send it elsewhere.
    ...["-F", "none"],
    ...hopOptions(own),
    ...["-l", jump.user, "-p", String(jump.port), "-W", FORWARD, jump.host],
  ];
  // What a placeholder stands for is not known yet; only a preview gets here with one.
  const plainWord = (word: string) => PLAIN_PATH.test(word) || isPlaceholder(word);
  const odd = words.find((word) => word !== FORWARD && !plainWord(word));
  if (odd !== undefined) {
    throw new SshAccessError(
      name,
      `behind a jump host, "${odd}" cannot be handed to ssh's ProxyCommand: letters, digits and _ @ + = : , . / ~ - ` +
        "alone. Move the key file, or set BERTH_HOME to another folder",
    );
  }
  return [...own, "-o", `ProxyCommand=${words.join(" ")}`];
}

function keyPath(key: KeyPlan, files: StackFiles): string | undefined {
  if (key.from === "agent") return undefined;
  return key.from === "file" ? key.path : files.operatorKey;
}

/** The same without a key file, and with the agent's keys alone: those of the person's configuration are not tried. */
function agentOptions(plain: readonly string[]): string[] {
  const others = plain.slice(2).filter((word, i, all) => {
    const option = word === "-o" ? all[i + 1] : word;
    return option !== "IdentitiesOnly=yes";
  });
  const own = { IdentityFile: "none", IdentitiesOnly: "no", IdentityAgent: "SSH_AUTH_SOCK" };
  return [...Object.entries(own).flatMap(([name, value]) => ["-o", `${name}=${value}`]), ...others];
}

/** All but what shares a connection: the hop lives and ends with the connection that it carries. */
function hopOptions(options: readonly string[]): string[] {
  return options.filter((word, i) => {
    const option = word === "-o" ? (options[i + 1] ?? "") : word;
    return !option.startsWith("Control");
  });
}
