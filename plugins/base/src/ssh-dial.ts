/** One try to connect and sign in to an SSH server. */
import type { Duplex } from "node:stream";
import type { AuthenticationType, Client, ConnectConfig } from "ssh2";
import { keyForSsh2 } from "../../../core/private-key";
import { fingerprint, type HostKey, hostKeyAlgorithms, parseHostKeys } from "./hostkey";
import { SshError, type SshProxy } from "./ssh-types";

/** Official default of `port`, `user`, `dialErrorLimit`, `perDialTimeout` (pulumi-command, schema.json). */
export const dialDefaults = { port: 22, user: "root", dialErrorLimit: 10, perDialTimeout: 15 } as const;

/** Loaded with the first connection: a preview without changes makes none. */
const ssh2 = async () => (await import("ssh2")).default;

/** `user@host:port`, as every message names a server. */
export function addressOf(to: SshProxy): string {
  const host = to.host.includes(":") ? `[${to.host}]` : to.host;
  return `${to.user ?? dialDefaults.user}@${host}:${to.port ?? dialDefaults.port}`;
}

/**
 * Checks what can be checked without a network: key, host key text, a way to sign in.
 *
 * @throws SshError of kind `config`, which no retry can mend.
 */
export async function prepare(
  to: SshProxy,
): Promise<{ config: ConnectConfig; expected: HostKey[] | undefined }> {
  const where = addressOf(to);
  const fail = (message: string): never => {
    throw new SshError("config", `${where}: ${message}`);
  };
  let expected: HostKey[] | undefined;
  if (to.hostKey !== undefined) {
    try {
      expected = parseHostKeys(to.hostKey);
    } catch (error) {
      fail((error as Error).message);
    }
  }
  const config: ConnectConfig = {
    host: to.host,
    port: to.port ?? dialDefaults.port,
    username: to.user ?? dialDefaults.user,
    readyTimeout: 0, // the try's own clock, which starts before the TCP connect
    // Without these a dead peer is noticed after TCP's own two hours.
    keepaliveInterval: 15_000,
    keepaliveCountMax: 4,
  };
  const ways: AuthenticationType[] = [];
  if (to.privateKey !== undefined) {
    const { utils } = await ssh2();
    const privateKey = keyForSsh2(to.privateKey);
    const parsed = utils.parseKey(privateKey);
    if (parsed instanceof Error) {
      // The parser's text names the format's fault, never the key's bytes.
      fail(`privateKey cannot be used: ${parsed.message}`);
    }
    config.privateKey = privateKey;
    ways.push("publickey");
  }
  const agent = to.agentSocketPath ?? process.env.SSH_AUTH_SOCK;
  if (agent !== undefined && agent !== "") {
    config.agent = agent;
    ways.push("agent");
  }
  config.authHandler = ways.length === 0 ? ["none"] : ways;
  if (expected !== undefined) {
    config.algorithms = { serverHostKey: hostKeyAlgorithms(expected) as never };
  }
  return { config, expected };
}

/** The host key's verdict: undefined is fine, else what is wrong with it. */
function judge(blob: Buffer, expected: HostKey[] | undefined, where: string): string | undefined {
  if (expected === undefined) return undefined;
  const shown = expected.find((key) => key.blob.equals(blob));
  if (shown !== undefined && !shown.revoked) return undefined;
  const wanted = expected
    .filter((key) => !key.revoked)
    .map((key) => `${key.type} ${fingerprint(key.blob)}`)
    .join(" or ");
  const type = blob.length > 4 ? blob.toString("latin1", 4, 4 + blob.readUInt32BE(0)) : "unknown";
  return (
    `${where} showed the host key ${type} ${fingerprint(blob)}${shown?.revoked ? ", which is revoked" : ""}; ` +
    `hostKey expects ${wanted}. Not connected. If the machine was re-installed, give its new key as hostKey`
  );
}

export interface DialOptions {
  /** Seconds for the whole try; 0: no limit. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** A stream to speak over (through a bastion) instead of an own TCP connection. */
  readonly sock?: Duplex;
}

/**
 * Connects and signs in, once.
 *
 * @throws SshError: `hostkey` and `config` are final, `auth` and `dial` may be tried again.
 */
export async function dialOnce(to: SshProxy, options: DialOptions): Promise<Client> {
  const where = addressOf(to);
  const { config, expected } = await prepare(to);
  const client = new (await ssh2()).Client();
  let denied: string | undefined;
  config.hostVerifier = (blob: Buffer): boolean => {
    denied = judge(blob, expected, where);
    return denied === undefined;
  };
  if (options.sock !== undefined) config.sock = options.sock;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      let agentSaid = "";
      const fail = (error: Error & { level?: string }): void => {
        // An agent that does not answer is one way of signing in less, and ssh2 goes on with the others.
        if (error.level === "agent") agentSaid = `; the agent: ${error.message}`;
        else reject(classify(error, where, denied, agentSaid));
      };
      onAbort = () => reject(new SshError("cancelled", `connecting to ${where} was cancelled`));
      if (options.signal.aborted) return onAbort();
      options.signal.addEventListener("abort", onAbort, { once: true });
      if (options.timeout > 0) {
        timer = setTimeout(
          () => reject(new SshError("dial", `no SSH session within ${options.timeout} s`)),
          options.timeout * 1000,
        );
      }
      client.once("ready", () => resolve());
      client.on("error", fail);
      client.once("close", () => fail(new Error("the server closed the connection during the handshake")));
      try {
        client.connect(config);
      } catch (error) {
        fail(error as Error);
      }
    });
  } catch (error) {
    client.destroy();
    options.sock?.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) options.signal.removeEventListener("abort", onAbort);
  }
  client.setNoDelay(true);
  return client;
}

function classify(
  error: Error & { level?: string },
  where: string,
  denied: string | undefined,
  agentSaid: string,
): SshError {
  if (denied !== undefined) return new SshError("hostkey", denied);
  if (/no matching host key format/i.test(error.message)) {
    return new SshError(
      "hostkey",
      `${where} has no host key of the type that hostKey names. Not connected. Give one of its own keys as hostKey`,
    );
  }
  if (error.level === "client-authentication") {
    return new SshError(
      "auth",
      `${error.message} (check user, privateKey, or the agent's keys${agentSaid})`,
      error,
    );
  }
  return new SshError("dial", error.message, error);
}
