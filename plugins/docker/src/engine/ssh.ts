/** From an `ssh://` address and the provider's `sshOpts` to a connection whose host key is known. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ProviderError, type SshConnection, type SshProxy } from "@berth/plugin-base";
import type { Host } from "../config/host";
import { knownHostLines, knownHostName } from "../config/knownhosts";
import type { SshOptions } from "../config/sshopts";

/** OpenSSH's own names, in its order. */
const DEFAULT_KEYS = ["id_rsa", "id_ecdsa", "id_ed25519"];
const DEFAULT_KNOWN_HOSTS = join("~", ".ssh", "known_hosts");
/** Seconds of one try to connect. */
const CONNECT_SECONDS = 15;

/**
 * Reads key and known_hosts files anew, so that a run that rotates them needs no new plugin process.
 *
 * @throws ProviderError naming the file that is missing or the host that is not known, and what to do.
 */
export async function sshConnection(
  host: Extract<Host, { kind: "ssh" }>,
  options: SshOptions,
): Promise<SshConnection> {
  const { jump } = options;
  const target = await server(host.host, host.port, host.user, options);
  if (jump === undefined) return target;
  return { ...target, proxy: await server(jump.host, undefined, undefined, jump.options) };
}

async function server(
  host: string,
  givenPort: number | undefined,
  givenUser: string | undefined,
  options: SshOptions,
): Promise<SshProxy> {
  const port = givenPort ?? options.port ?? 22;
  const user = givenUser ?? options.user;
  const agent = agentSocket(options);
  const privateKey = await readKey(options, agent);
  return {
    host,
    port,
    ...(user === undefined ? {} : { user }),
    ...(privateKey === undefined ? {} : { privateKey }),
    agentSocketPath: agent,
    hostKey: await hostKey(host, port, options),
    perDialTimeout: options.connectTimeout ?? CONNECT_SECONDS,
  };
}

/** "" turns the agent off, as `IdentitiesOnly=yes` does. */
function agentSocket(options: SshOptions): string {
  const { identityAgent, identitiesOnly } = options;
  const environment = process.env.SSH_AUTH_SOCK ?? "";
  if (identitiesOnly || identityAgent === "none") return "";
  if (identityAgent === undefined) return environment;
  if (identityAgent !== "SSH_AUTH_SOCK") return expand(identityAgent);
  if (environment === "") {
    throw new ProviderError(
      "sshOpts: the key is to come from the SSH agent, and SSH_AUTH_SOCK is not set: start an agent, add the key (ssh-add), and run again from that shell",
    );
  }
  return environment;
}

async function readKey(options: SshOptions, agent: string): Promise<string | undefined> {
  if (options.identityFile === "none") return undefined;
  if (options.identityFile !== undefined) {
    const path = expand(options.identityFile);
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      throw new ProviderError(`sshOpts: cannot read the key ${path} given with -i: ${code(error)}`);
    }
  }
  if (agent !== "") return undefined;
  for (const name of DEFAULT_KEYS) {
    try {
      return await readFile(join(homedir(), ".ssh", name), "utf8");
    } catch {
      // Not there: the next one.
    }
  }
  return undefined;
}

async function hostKey(host: string, port: number, options: SshOptions): Promise<string> {
  const files = (options.knownHostsFiles.length > 0 ? options.knownHostsFiles : [DEFAULT_KNOWN_HOSTS]).map(
    expand,
  );
  const lines: string[] = [];
  for (const file of files) {
    try {
      lines.push(knownHostLines(await readFile(file, "utf8"), host, port));
    } catch (error) {
      if (code(error) !== "ENOENT") throw new ProviderError(`sshOpts: cannot read ${file}: ${code(error)}`);
    }
  }
  const known = lines.filter((text) => text !== "").join("\n");
  if (known !== "") return known;
  throw new ProviderError(
    `no host key of ${knownHostName(host, port)} in ${files.join(", ")}; add it (ssh-keyscan -p ${port} ${host}, compared with ` +
      `the machine's own /etc/ssh/ssh_host_ed25519_key.pub)`,
  );
}

function expand(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

function code(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}
