import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Refusal } from "../../../core/gpu";
import { isNamed, type NodeConfig } from "../config";
import { peerCredentials } from "../libc";
import type { Logger } from "../log";
import type { AgentPaths } from "../paths";
import { userSocket } from "../paths";
import type { App } from "./app";
import { Bodies, bytesOf } from "./bodies";
import { type Connection, toManager, type Who } from "./door";
import { type Guests, network } from "./guests";
import { accountOf, type Identity, type Payer, root } from "./identity";
import { crowded, lastWord, noRoom, refuse } from "./last-words";
import { listening, removeStale } from "./sockets";
import { TcpListeners } from "./tcp-listeners";
import { Connections, type Encryption, httpServer } from "./tls";
import { Turns } from "./turns";

export interface ServersOptions {
  app: App;
  paths: AgentPaths;
  node(): NodeConfig;
  log: Logger;
  /** Between two looks at a certificate, in milliseconds. @default 5000 */
  certificateEvery?: number;
}

/** What a server is made with. */
interface Listener {
  /** Who came; undefined: there is no room for them. */
  meet(socket: Socket): Who | undefined;
  /** On TCP, where connections are counted by what they show. */
  guests?: Guests;
  tls?: Encryption | undefined;
}

/** A whole request has to be here within so many milliseconds; what the answer takes is not counted. */
const requestTimeout = 30_000;
const headersTimeout = 10_000;
const keepAliveTimeout = 75_000;
/** How often those limits are looked at. */
const connectionsCheckingInterval = 5000;
/** Whoever is turned away anyway has less time to ask. */
const strangerTimeout = 5000;
/** Until an address that could not be had is tried again. */
const retryAfter = 2000;
/** Connections at a time: nobody takes them all. `account`: to the main socket, which has no other limit, for root. */
const most = { account: 128, user: 256 };

/** Where berthd listens: the main socket, one socket for each user, TCP, and TCP for tenants alone. */
export class Servers {
  private main: Server | undefined;
  private readonly tcp: TcpListeners;
  private readonly users = new Map<string, Server>();
  private again: NodeJS.Timeout | undefined;
  private readonly open = new Map<Server, Set<Socket>>();
  private readonly turns = new Turns();
  private readonly bodies = new Bodies();
  /** Connections to the main socket, by uid; strangers together. */
  private readonly accounts = new Map<number | "strangers", number>();
  private applying: Promise<void> = Promise.resolve();
  private closing = false;

  constructor(private readonly options: ServersOptions) {
    this.tcp = new TcpListeners({
      ...options,
      make: (door, guests, tls) => {
        const who = () => ({ kind: "tcp" as const, tenants: door === "manager" });
        return this.makeServer({ meet: (socket) => (guests.enter(socket) ? who : undefined), guests, tls });
      },
      end: (server) => this.end(server),
    });
  }

  /** Why something that the stack wants is not as it should be. */
  get problem(): string | undefined {
    const all = [...this.tcp.problems, ...this.options.app.tokenProblems()];
    return all.length > 0 ? all.join("; ") : undefined;
  }

  async start(): Promise<void> {
    const { paths } = this.options;
    mkdirSync(paths.runFolder, { recursive: true });
    chmodSync(paths.runFolder, 0o755);
    mkdirSync(paths.usersFolder, { recursive: true });
    // Whoever reaches a user's socket is that user: on the node itself that is root alone, and in a workspace, which has
    // the folder inside mounted, whoever is there. Accounts of the node have the main socket, which asks who they are.
    chmodSync(paths.usersFolder, 0o700);
    this.main = await this.listenUnix(paths.socket, (socket) => this.meet(socket));
    await this.apply();
  }

  /** Sockets come and go as the stack's users do. One change after another, each by what the stack says then. */
  apply(): Promise<void> {
    const applied = this.applying.then(() => this.applyNow());
    this.applying = applied.catch(() => {});
    return applied;
  }

  private async applyNow(): Promise<void> {
    const { app, paths, node, log } = this.options;
    // Those of users that are gone, before their sockets are.
    app.streams.review();
    const gone = [...this.users].filter(([user]) => !this.isUser(user));
    await Promise.all(
      gone.map(async ([user, server]) => {
        this.users.delete(user);
        await this.end(server, userSocket(paths, user));
        log.info({ user }, "the user's socket is closed: the stack names the user no more");
      }),
    );
    // Only now: closing takes its time, and the stack may have changed meanwhile.
    for (const { name: user } of node().users) {
      if (this.closing) return;
      if (this.users.has(user)) continue;
      try {
        const server = await this.listenUnix(userSocket(paths, user), () => () => this.byName(user));
        server.maxConnections = most.user;
        this.users.set(user, server);
      } catch (error) {
        // The others have theirs all the same.
        log.error({ err: error, user }, "the user's socket cannot be opened");
      }
    }
    if (this.closing) return;
    clearTimeout(this.again);
    const known = await app.declareTokens();
    const whole = await this.tcp.apply();
    if (!(known && whole) && !this.closing)
      this.again = setTimeout(() => void this.apply(), retryAfter).unref();
  }

  /** The TCP port of the API that is really open; undefined: none. */
  get port(): number | undefined {
    return this.tcp.port("api");
  }

  /** The same of the container manager. */
  get managerPort(): number | undefined {
    return this.tcp.port("manager");
  }

  private isUser(name: string): boolean {
    return isNamed(this.options.node(), "user", name);
  }

  private byName(user: string): Connection {
    if (this.isUser(user)) return { kind: "known", identity: { role: "user", user, actor: `user:${user}` } };
    return { kind: "stranger", why: `${user} is not one of this node's users any more.` };
  }

  private byUid(uid: number | undefined): Connection {
    if (uid === undefined) return { kind: "stranger", why: "The system does not say who calls." };
    if (uid === 0) return { kind: "known", identity: root };
    const user = this.options.node().users.find((one) => one.uid === uid);
    if (user) return this.byName(user.name);
    return { kind: "stranger", why: `The account with uid ${uid} is not one of this node's users.` };
  }

  /** Who came to the main socket; undefined: its account has too many connections. Root always gets in. */
  private meet(socket: Socket): Who | undefined {
    const uid = peerCredentials(socket)?.uid;
    const who = () => this.byUid(uid);
    if (uid === 0) return who;
    // Strangers together: in a user namespace one account has thousands of uids.
    const account = uid !== undefined && who().kind === "known" ? uid : "strangers";
    const count = this.accounts.get(account) ?? 0;
    if (count >= most.account) return undefined;
    this.accounts.set(account, count + 1);
    socket.once("close", () => {
      const left = (this.accounts.get(account) ?? 1) - 1;
      if (left > 0) this.accounts.set(account, left);
      else this.accounts.delete(account);
    });
    return who;
  }

  private makeServer({ meet, guests, tls }: Listener): Server {
    const { app } = this.options;
    const callers = new WeakMap<Socket, Who>();
    const begin = (request: IncomingMessage, response: ServerResponse): void => {
      const { socket } = request;
      const who = callers.get(socket);
      // What comes with the rest of a chunk, of a connection that was ended meanwhile.
      if (!who || socket.destroyed) return;
      // Now, not when its turn comes: what waits is kept as well.
      const identity = this.identityOf(request, who());
      const payer = payerOf(identity, socket);
      const over = guests && { guests, tcp: connections.tcp(socket) };
      const refusal = this.refusalOf(request, response, { identity, payer }, over);
      this.turns.take({
        ...{ socket, payer, response },
        begin: () => {
          if (refusal) {
            refuse(response, refusal);
            return;
          }
          if (this.closing || who().kind === "stranger") response.setHeader("connection", "close");
          app.handle(request, response);
        },
      });
    };
    const limits = { requestTimeout, headersTimeout, keepAliveTimeout, connectionsCheckingInterval };
    const shouldUpgradeCallback = (request: IncomingMessage) => app.streams.upgradable(request);
    const server = httpServer({ ...limits, noDelay: true, shouldUpgradeCallback }, tls, begin);
    server.on("upgrade", (request, stream, head) => {
      const socket = stream as Socket;
      // The connection is not HTTP's any more: an error of it would end berthd.
      socket.on("error", () => socket.destroy());
      // No client sends one behind a request that is not answered yet.
      if (this.turns.busy(socket)) {
        socket.destroy();
        return;
      }
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      // It was refused like any other request.
      response.once("finish", () => socket.destroySoon());
      app.streams.upgrading(request, socket, head);
      begin(request, response);
    });
    const sockets = new Set<Socket>();
    this.open.set(server, sockets);
    server.once("close", () => this.open.delete(server));
    const known = (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    };
    const connections = new Connections(server, tls !== undefined, {
      entered: (socket) => {
        known(socket);
        const who = meet(socket);
        if (who) callers.set(socket, who);
        else if (tls) socket.destroy();
        else lastWord(socket, "503 Service Unavailable", crowded(most.account, guests));
        return who !== undefined;
      },
      ready: (socket, tcp) => {
        const who = callers.get(tcp);
        if (!who) return;
        if (socket !== tcp) known(socket);
        callers.set(socket, who);
        app.introduce(socket, who);
        if (who().kind === "stranger") socket.setTimeout(strangerTimeout);
      },
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (error.code === "ECONNRESET" || !socket.writable || !connections.speaks(socket as Socket)) {
        socket.destroy();
        return;
      }
      const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
      lastWord(socket as Socket, tooLarge ? "431 Request Header Fields Too Large" : "400 Bad Request", {
        code: "bad-request",
        message: tooLarge ? "The headers are too large." : "This is not HTTP.",
      });
    });
    return server;
  }

  /** Why a request is not let in: its account has too many connections over TCP, or sends too much at a time. */
  private refusalOf(
    request: IncomingMessage,
    response: ServerResponse,
    { identity, payer }: { identity: Identity | undefined; payer: Payer },
    over: { guests: Guests; tcp: Socket } | undefined,
  ): Refusal | undefined {
    const full = over && payer.known ? over.guests.prove(over.tcp, payer.name) : undefined;
    if (over && full) {
      response.setHeader("connection", "close");
      return noRoom(full, over.guests);
    }
    const bytes = bytesOf(request);
    // An operator sends what a stack needs, and could do worse.
    if (bytes === 0 || identity?.role === "admin") return undefined;
    const done = this.bodies.take(payer.name, bytes, payer.known);
    if (typeof done === "string") {
      return {
        code: "busy",
        message:
          done === "account"
            ? "Your account has as much under way to berthd as it may have: other requests are not here whole yet."
            : "All accounts together have as much under way to berthd as they may have: other requests are not here whole yet.",
        allowed: this.bodies.allowed,
        fix:
          done === "account"
            ? "Let those end, then send this one again."
            : "Let your own end, or wait a while, then send this one again.",
      };
    }
    for (const stream of [request, response]) stream.once("close", done);
    request.once("end", done);
    return undefined;
  }

  /** Who sends a request; over TCP whose token it brings. At the container manager's listener nobody's but a tenant's counts. */
  private identityOf(request: IncomingMessage, caller: Connection): Identity | undefined {
    if (caller.kind !== "tcp") return caller.kind === "known" ? caller.identity : undefined;
    const identity = this.options.app.presented(request);
    return toManager(caller) && identity?.role !== "tenant" ? undefined : identity;
  }

  private async listenUnix(path: string, meet: (socket: Socket) => Who | undefined): Promise<Server> {
    // The folder is root's alone, so that nobody puts a socket of their own in its place.
    mkdirSync(dirname(path), { recursive: true });
    chmodSync(dirname(path), 0o755);
    await removeStale(path);
    const server = this.makeServer({ meet });
    await listening(server, () => server.listen(path));
    // Whoever reaches it may connect: the peer's credentials, or the folder it lies in, say who that is.
    chmodSync(path, 0o666);
    return server;
  }

  private async end(server: Server, path?: string): Promise<void> {
    if (path !== undefined) rmSync(path, { force: true });
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const sockets = this.open.get(server) ?? new Set();
    this.options.app.streams.endOn(sockets);
    // Their last words leave; then the connections count as idle.
    await setImmediate();
    server.closeIdleConnections();
    const late = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, 2000);
    await closed;
    clearTimeout(late);
  }

  /** No new connections; what is under way gets `graceMs` to end; then all sockets are closed and removed. */
  async close(graceMs: number): Promise<void> {
    this.closing = true;
    clearTimeout(this.again);
    this.options.app.streams.close();
    this.tcp.close();
    await setImmediate();
    const late = setTimeout(() => {
      for (const sockets of this.open.values()) for (const socket of sockets) socket.destroy();
    }, graceMs);
    await this.applying;
    const { paths } = this.options;
    const servers = [
      ...(this.main ? [{ server: this.main, path: paths.socket }] : []),
      ...this.tcp.servers.map((server) => ({ server })),
      ...[...this.users].map(([user, server]) => ({ server, path: userSocket(paths, user) })),
    ];
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

/** Strangers over TCP by what one machine has; on the main socket together: in a user namespace one account has thousands of uids. */
function payerOf(identity: Identity | undefined, { remoteAddress }: Socket): Payer {
  if (identity) return { name: accountOf(identity), known: true };
  return {
    name: remoteAddress === undefined ? "strangers" : `address ${network(remoteAddress)}`,
    known: false,
  };
}
