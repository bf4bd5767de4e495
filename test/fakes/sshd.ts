/** A real OpenSSH server on loopback, for tests: own keys, own configuration, its log read back. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { programPath } from "../lib/programs";

export interface Sshd {
  readonly port: number;
  readonly user: string;
  /** OpenSSH text of a key that may sign in. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…` of the server. */
  readonly hostKey: string;
  /** Path of the key, for the `ssh` program. */
  readonly keyPath: string;
  /** TCP connections that the server has seen so far (this module's own knock excluded). */
  connections(): number;
  /** Successful sign-ins so far. */
  logins(): number;
  log(): string;
  stop(): Promise<void>;
}

/** Makes an ed25519 key pair and gives its path. */
export function makeKey(folder: string, name: string): string {
  const path = join(folder, name);
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path]);
  return path;
}

/**
 * Starts `sshd`.
 *
 * @param extra lines of sshd_config; each takes the place of the default one.
 */
export async function startSshd(extra: readonly string[] = []): Promise<Sshd> {
  const program = programPath("sshd");
  // sshd as root wants its empty directory for privilege separation; packages make it only when they start sshd.
  if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const folder = mkdtempSync(join(tmpdir(), "berth-sshd-"));
  const hostPath = makeKey(folder, "host");
  const keyPath = makeKey(folder, "user");
  const port = await freePort();
  const own = extra.map((line) => line.split(" ")[0]);
  const config = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${hostPath}`,
    `AuthorizedKeysFile ${keyPath}.pub`,
    `PidFile ${join(folder, "pid")}`,
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "LogLevel VERBOSE",
    "MaxStartups 100",
  ];
  const rest = config.filter((line) => !own.includes(line.split(" ")[0]));
  writeFileSync(join(folder, "config"), `${[...extra, ...rest].join("\n")}\n`);
  const child: ChildProcess = spawn(program, ["-D", "-e", "-f", join(folder, "config")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const knocks = await untilListening(port, child, () => log).catch((error: unknown) => {
    child.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const count = (pattern: RegExp): number => [...log.matchAll(pattern)].length;
  return {
    port,
    user: userInfo().username,
    keyPath,
    privateKey: readFileSync(keyPath, "utf8"),
    hostKey: readFileSync(`${hostPath}.pub`, "utf8").trim(),
    connections: () => count(/^Connection from /gm) - knocks,
    logins: () => count(/^Accepted /gm),
    log: () => log,
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Knocks until someone answers and has logged it; gives the number of knocks that were logged. */
async function untilListening(port: number, child: ChildProcess, log: () => string): Promise<number> {
  const end = Date.now() + 10_000;
  while (!log().includes("Connection from")) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`sshd did not start:\n${log()}`);
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.destroy());
      socket.on("error", () => {});
      socket.on("close", () => setTimeout(resolve, 100));
    });
  }
  return [...log().matchAll(/^Connection from /gm)].length;
}
