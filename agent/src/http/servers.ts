import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { dirname } from "node:path";
import type { NodeConfig } from "../config";
import { peerCredentials } from "../libc";
import type { Logger } from "../log";
import type { AgentPaths } from "../paths";
import { userSocket } from "../paths";
import type { App, Connection } from "./app";
import { root } from "./identity";

export interface ServersOptions {
  app: App;
  paths: AgentPaths;
  node(): NodeConfig;
  log: Logger;
}

/** A whole request has to be here within so many milliseconds; what the answer takes is not counted. */
const requestTimeout = 30_000;
const headersTimeout = 10_000;
const keepAliveTimeout = 75_000;
/** Until an address that could not be had is tried again. */
const retryAfter = 2000;
/** Connections at a time: nobody takes them all. */
const most = { main: 2048, user: 256, tcp: 1024 };

/** Where berthd listens: the main socket, one socket for each user, and TCP. */
export class Servers {
  private main: Server | undefined;
  private tcp: { server: Server; at: string } | undefined;
  private readonly users = new Map<string, Server>();
  private again: NodeJS.Timeout | undefined;
  /** Set: why the TCP API is not there although the stack wants it. */
  problem: string | undefined;
  private readonly open = new Set<Socket>();
  private closing = false;

  constructor(private readonly options: ServersOptions) {}

  async start(): Promise<void> {
    const { paths } = this.options;
    mkdirSync(paths.runFolder, { recursive: true });
    chmodSync(paths.runFolder, 0o755);
    mkdirSync(paths.usersFolder, { recursive: true });
    // Whoever reaches a user's socket is that user: on the node itself that is root alone, and in a workspace, which has
    // the folder inside mounted, whoever is there. Accounts of the node have the main socket, which asks who they are.
    chmodSync(paths.usersFolder, 0o700);
    this.main = await this.listenUnix(paths.socket, most.main, (socket) => this.byPeer(socket));
    await this.apply();
  }

  /** Sockets come and go as the stack's users do. */
  async apply(): Promise<void> {
    const { paths, node, log } = this.options;
    const wanted = new Set(node().users.map(({ name }) => name));
    for (const [user, server] of this.users) {
      if (wanted.has(user)) continue;
      this.users.delete(user);
      await this.end(server, userSocket(paths, user));
      log.info({ user }, "the user's socket is closed: the stack names the user no more");
    }
    for (const user of wanted) {
      if (this.users.has(user)) continue;
      try {
        const connection: Connection = {
          kind: "known",
          identity: { role: "user", user, actor: `user:${user}` },
        };
        this.users.set(user, await this.listenUnix(userSocket(paths, user), most.user, () => connection));
      } catch (error) {
        // The others have theirs all the same.
        log.error({ err: error, user }, "the user's socket cannot be opened");
      }
    }
    clearTimeout(this.again);
    try {
      await this.applyTcp();
      this.problem = undefined;
    } catch (error) {
      // The address may come up later; who is on the node is served all the same.
      const why = `the API cannot be offered over TCP: ${(error as Error).message}`;
      if (this.problem !== why) log.error({ err: error }, "the API cannot be offered over TCP; tried again");
      this.problem = why;
      if (!this.closing) this.again = setTimeout(() => void this.apply(), retryAfter).unref();
    }
  }

  private async applyTcp(): Promise<void> {
    const { listen, port, privateAddress } = this.options.node();
    const host = listen === "off" ? undefined : listen === "loopback" ? "127.0.0.1" : privateAddress;
    const at = host === undefined ? undefined : `${host} ${port}`;
    if (at === this.tcp?.at) return;
    if (this.tcp) await this.end(this.tcp.server);
    this.tcp = undefined;
    if (host === undefined || at === undefined) return;
    const server = this.makeServer(most.tcp, () => ({ kind: "tcp" }));
    await listening(server, () => server.listen(port, host));
    this.tcp = { server, at };
    this.options.log.info({ address: server.address() }, "the API is offered over TCP, to bearers of tokens");
  }

  /** The TCP port that is really open; undefined: none. */
  get port(): number | undefined {
    return (this.tcp?.server.address() as AddressInfo | null | undefined)?.port;
  }

  private byPeer(socket: Socket): Connection {
    const peer = peerCredentials(socket);
    if (peer?.uid === 0) return { kind: "known", identity: root };
    const user = peer && this.options.node().users.find(({ uid }) => uid === peer.uid);
    if (user) {
      return { kind: "known", identity: { role: "user", user: user.name, actor: `user:${user.name}` } };
    }
    return {
      kind: "stranger",
      why: peer
        ? `The account with uid ${peer.uid} is not one of this node's users.`
        : "The system does not say who calls.",
    };
  }

  private makeServer(maxConnections: number, who: (socket: Socket) => Connection): Server {
    const { app } = this.options;
    const server = createServer(
      { requestTimeout, headersTimeout, keepAliveTimeout, noDelay: true },
      (request, response) => {
        if (this.closing) response.setHeader("connection", "close");
        app.handle(request, response);
      },
    );
    server.maxConnections = maxConnections;
    server.on("connection", (socket: Socket) => {
      this.open.add(socket);
      socket.once("close", () => this.open.delete(socket));
      app.introduce(socket, who(socket));
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (error.code === "ECONNRESET" || !socket.writable) {
        socket.destroy();
        return;
      }
      const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
      const status = tooLarge ? "431 Request Header Fields Too Large" : "400 Bad Request";
      const body = JSON.stringify({
        error: {
          code: "bad-request",
          message: tooLarge ? "The headers are too large." : "This is not HTTP.",
        },
      });
      socket.end(
        `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    });
    return server;
  }

  private async listenUnix(
    path: string,
    connections: number,
    who: (socket: Socket) => Connection,
  ): Promise<Server> {
    // The folder is root's alone, so that nobody puts a socket of their own in its place.
    mkdirSync(dirname(path), { recursive: true });
    chmodSync(dirname(path), 0o755);
    await removeStale(path);
    const server = this.makeServer(connections, who);
    await listening(server, () => server.listen(path));
    // Whoever reaches it may connect: the peer's credentials, or the folder it lies in, say who that is.
    chmodSync(path, 0o666);
    return server;
  }

  private async end(server: Server, path?: string): Promise<void> {
    if (path !== undefined) rmSync(path, { force: true });
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const late = setTimeout(() => server.closeAllConnections(), 2000);
    await closed;
    clearTimeout(late);
  }

  /** No new connections; what is under way gets `graceMs` to end; then all sockets are closed and removed. */
  async close(graceMs: number): Promise<void> {
    this.closing = true;
    clearTimeout(this.again);
    const { paths } = this.options;
    const servers = [
      ...(this.main ? [{ server: this.main, path: paths.socket }] : []),
      ...(this.tcp ? [{ server: this.tcp.server }] : []),
      ...[...this.users].map(([user, server]) => ({ server, path: userSocket(paths, user) })),
    ];
    const late = setTimeout(() => {
      for (const socket of this.open) socket.destroy();
    }, graceMs);
    await Promise.all(
      servers.map(async ({ server, path }: { server: Server; path?: string }) => {
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        server.closeIdleConnections();
        if (path !== undefined) rmSync(path, { force: true });
        // Those that were in the middle of something are idle afterwards.
        const sweep = setInterval(() => server.closeIdleConnections(), 20);
        await closed;
        clearInterval(sweep);
      }),
    );
    clearTimeout(late);
  }
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen();
  });
}

/** Removes a socket that nobody listens on any more. Throws when somebody does, or when it is no socket. */
async function removeStale(path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107) {
    throw new Error(`The path of the socket ${path} has more than 107 bytes, the most that Linux takes.`);
  }
  if (!existsSync(path) && !isLink(path)) return;
  if (!lstatSync(path).isSocket()) {
    throw new Error(
      `${path} is there and is no socket. Nothing was touched; move it away, then start berthd.`,
    );
  }
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
  if (answers) throw new Error(`Another program listens on ${path}. Stop it first: ss -xlp | grep berth`);
  rmSync(path, { force: true });
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}
