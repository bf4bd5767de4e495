/** An SSH server inside the test's process, whose behaviour the test decides. Real protocol, no OpenSSH. */
import { generateKeyPairSync } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import { connect } from "node:net";
import { type Connection, Server, type ServerChannel, utils } from "ssh2";

export interface FakeServer {
  readonly port: number;
  /** authorized_keys line of the host key. */
  readonly hostKey: string;
  /** TCP connections and successful sign-ins so far. */
  connections: number;
  logins: number;
  /** Refused sign-ins so far. */
  refusals: number;
  /** Sessions open now, and the most there were at once. */
  sessions: number;
  mostSessions: number;
  readonly open: Set<Connection>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  /** Refuses this many sign-ins before it looks at them. */
  readonly refuse?: number;
  /** Refuses a session while this many are open. */
  readonly maxSessions?: number;
  /** Counts an ended session so many milliseconds longer, as an sshd does that has not waited for its process yet. */
  readonly countsEndedMs?: number;
  /** Reuse a port, for a server that comes back. */
  readonly port?: number;
  readonly key?: string;
  /** What a command does. Default: prints the command to stdout and ends with 0. */
  readonly onExec?: (command: string, channel: ServerChannel) => void;
}

/** A host key in the format that ssh2's server reads (it has no reader for PKCS#8 ed25519). */
export function makeHostKey(): { privateKey: string; publicKey: string } {
  // ssh2 cuts leading zeros off a key: one of 200 that it makes it cannot read itself.
  for (;;) {
    const pair = utils.generateKeyPairSync("ed25519");
    const readable = [pair.private, pair.public].every((key) => !(utils.parseKey(key) instanceof Error));
    if (readable) return { privateKey: pair.private, publicKey: pair.public };
  }
}

/** An RSA key as PEM, encrypted if a passphrase is given. */
export function makePemKey(passphrase?: string): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const cipher = passphrase === undefined ? {} : { cipher: "aes-128-cbc", passphrase };
  return privateKey.export({ type: "pkcs1", format: "pem", ...cipher }) as string;
}

export async function startServer(options: ServerOptions = {}): Promise<FakeServer> {
  const key = options.key ?? makeHostKey().privateKey;
  const parsed = utils.parseKey(key);
  if (parsed instanceof Error) throw parsed;
  const state = {
    port: 0,
    hostKey: `${parsed.type} ${parsed.getPublicSSH().toString("base64")}`,
    connections: 0,
    logins: 0,
    refusals: 0,
    sessions: 0,
    mostSessions: 0,
    open: new Set<Connection>(),
    stop: async () => {
      for (const connection of state.open) connection.end();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  let refuse = options.refuse ?? 0;
  const sockets = new Set<Socket>();
  const server = new Server({ hostKeys: [key] }, (connection) => {
    state.connections++;
    state.open.add(connection);
    connection.on("error", () => {});
    connection.on("close", () => state.open.delete(connection));
    connection.on("authentication", (context) => {
      if (context.method === "none") return context.reject(["publickey"]);
      if (refuse > 0 || context.method !== "publickey") {
        if (context.method === "publickey") refuse--;
        state.refusals++;
        return context.reject();
      }
      context.accept();
    });
    connection.on("ready", () => {
      state.logins++;
    });
    connection.on("tcpip", (accept, _reject, info) => {
      const out = connect(info.destPort, info.destIP);
      out.on("error", () => {});
      const channel = accept();
      channel.on("error", () => {});
      out.pipe(channel).pipe(out);
    });
    connection.on("session", (accept, reject) => {
      if (state.sessions >= (options.maxSessions ?? Infinity)) return reject();
      const session = accept();
      state.sessions++;
      state.mostSessions = Math.max(state.mostSessions, state.sessions);
      session.on("close", () => {
        if (options.countsEndedMs === undefined) state.sessions--;
        else setTimeout(() => state.sessions--, options.countsEndedMs);
      });
      session.on("exec", (acceptExec, _reject, info) => {
        const channel = acceptExec();
        channel.on("error", () => {});
        if (info.command.includes("berth-stop")) {
          channel.exit(4); // there are no processes here
          return channel.end();
        }
        if (options.onExec !== undefined) return options.onExec(info.command, channel);
        channel.write(info.command);
        channel.exit(0);
        channel.end();
      });
    });
  });
  server.on("connection", () => {});
  (server as unknown as { _srv?: { on(event: string, listen: (socket: Socket) => void): void } })._srv?.on(
    "connection",
    (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    },
  );
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  state.port = (server.address() as AddressInfo).port;
  return state;
}
