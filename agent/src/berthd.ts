import { type FSWatcher, watch } from "node:fs";
import { explainLimits } from "../../core/limits";
import { isManagedCreation } from "../../core/names";
import { version } from "../package.json";
import { defaultContainerPorts, isNamed, mayGo, type NodeConfig, readNode } from "./config";
import { type Containers, Creator, createSchema, openContainers } from "./containers";
import { EventFollower } from "./event-follow";
import { EventLog, healEventLog } from "./events";
import { openInventory } from "./gpus";
import { makeApp, Servers, Tokens } from "./http";
import { MigGuard } from "./inventory";
import { loadLibc } from "./libc";
import type { Logger } from "./log";
import { ManagerParts } from "./manager-parts";
import { makeMetrics } from "./metrics";
import { NodeSlices } from "./node-slices";
import { type Notifier, notifier } from "./notify";
import { fault, Operations } from "./operations";
import type { AgentPaths } from "./paths";
import type { InventoryPort } from "./service";
import { Ledger } from "./service/ledger";
import { LimitsSource } from "./service/limits";
import { type InstanceLock, Store, takeLock } from "./store";

export interface BerthdOptions {
  paths: AgentPaths;
  log: Logger;
  env: NodeJS.ProcessEnv;
  /** The process must end: the next start mends it. */
  onFatal(error: Error): void;
}

/** Milliseconds that requests under way get when berthd ends. */
const grace = 5000;
const tidyEvery = 600_000;

interface Parts {
  store: Store;
  events: EventLog;
  limits: LimitsSource;
  inventory: InventoryPort;
  containers: Containers;
  ledger: Ledger;
  creator: Creator;
  tokens: Tokens;
  forTenants: ManagerParts;
  slices: NodeSlices;
  servers: Servers;
}

/** All the parts of one node's daemon, put together. */
export class Berthd {
  private node: NodeConfig;
  private lock: InstanceLock | undefined;
  private parts: Parts | undefined;
  private notify: Notifier | undefined;
  private watcher: FSWatcher | undefined;
  private reloading: NodeJS.Timeout | undefined;
  private tidying: NodeJS.Timeout | undefined;
  private lastBeat = Date.now();

  /** @throws {FileProblem} */
  constructor(private readonly options: BerthdOptions) {
    this.node = readNode(options.paths.nodeFile);
  }

  /** Returns when it answers requests; new grants are made once GPUs and containers are known. @throws {StoreError} */
  async start(): Promise<void> {
    const { paths, log, env } = this.options;
    loadLibc();
    this.lock = takeLock(paths.lockFile, paths.pidFile);
    const parts = await this.build();
    this.parts = parts;
    await parts.forTenants.restore();
    await parts.servers.start();
    this.watchConfig();
    this.notify = notifier(
      env,
      // The loop of the ledger has to go round too.
      () => Date.now() - this.lastBeat < 20_000,
      (error) => log.warn({ err: error }, "systemd cannot be told how berthd is"),
    );
    this.tidying = setInterval(() => this.tidy(), tidyEvery).unref();
    parts.forTenants.start();
    parts.containers.follow();
    parts.ledger.start().then(
      () => this.notify?.status(parts.ledger.closed() ?? "new grants are made"),
      (error: unknown) => this.options.onFatal(error as Error),
    );
    this.notify.ready("answers requests");
    log.info(
      { socket: paths.socket, node: this.node.node, stack: this.node.stack, version },
      "berthd answers requests",
    );
  }

  private async build(): Promise<Parts> {
    const { paths, log, env } = this.options;
    const end = healEventLog(paths.events);
    const floor = { ...end, event: end.seq };
    const store = Store.open({ file: paths.ledger, now: Date.now(), floor, reached: fault });
    const events = new EventLog(paths.events, end.seq);
    let ledger: Ledger | undefined;
    const limits = new LimitsSource({
      file: paths.limitsFile,
      lastGood: paths.limitsLastGood,
      account: (user) => {
        const found = this.node.users.find(({ name }) => name === user);
        const known = found !== undefined || this.isTenant(user);
        return { known, ...(found?.group !== undefined && { group: found.group }) };
      },
      onEvent: (level, event, message) => {
        log[level]({ event }, message);
        // What the first look finds is told when the ledger is there.
        setImmediate(() => void ledger?.emit({ event, message }));
      },
    });
    const inventory = openInventory(paths, log);
    const { engine, containers } = openContainers({
      inventory: () => inventory.watch.state.inventory,
      log,
      ...(env.BERTH_DOCKER_SOCKET && { socket: env.BERTH_DOCKER_SOCKET }),
    });
    const metrics = makeMetrics({
      grants: () => ledger?.live() ?? [],
      queueLength: () => ledger?.queueLength() ?? 0,
      gpus: () => {
        const { gpus } = inventory.watch.state.inventory;
        return {
          total: gpus.length,
          quarantined: gpus.filter((gpu) => gpu.quarantined !== undefined).length,
        };
      },
      inventoryAge: () => ledger?.inventoryAge(),
      open: () => ledger?.closed() === undefined,
      degraded: () => ledger?.health().status !== "ok",
      eventBacklog: () => events.backlog,
      kept: () => this.parts?.forTenants.kept ?? {},
    });
    const mig = new MigGuard({
      file: paths.migLock,
      refresh: () => inventory.refresh(),
      changed: () => ledger?.review(),
    });
    const made = new Ledger({
      store,
      events,
      inventory,
      containers,
      limits,
      node: () => this.node,
      log,
      onCommit: metrics.commit,
      onRefusal: metrics.refused,
      onBeat: () => {
        this.lastBeat = Date.now();
        metrics.heartbeat();
      },
      problems: () => [
        ...(this.parts?.servers.problem === undefined ? [] : [this.parts.servers.problem]),
        ...(this.parts?.forTenants.problems ?? []),
        ...(store.problem === undefined ? [] : [store.problem]),
        ...inventory.watch.state.warnings,
      ],
      busy: () => mig.look(),
      onOpen: () => {
        this.parts?.creator.recoverSoon();
        this.parts?.forTenants.opened();
        this.noteOrphans();
      },
      onFatal: this.options.onFatal,
    });
    ledger = made;
    const slices = new NodeSlices({ document: () => limits.document, users: () => this.node.users, log });
    limits.onChange(() => slices.apply());
    slices.apply();
    const operations = new Operations({
      loaded: store.tables.operations.all(),
      write: (decide) => made.write(decide),
      log,
    });
    const isUser = (name: string) => isNamed(this.node, "user", name);
    const creator = new Creator({
      engine,
      containers,
      ledger: made,
      log,
      stack: this.node.stack,
      node: this.node.node,
      operations,
      isUser,
      isManaged: isManagedCreation,
      isTaken: (port) => forTenants.manager.hasPort(port),
      addresses: ["127.0.0.1", ...(this.node.privateAddress === undefined ? [] : [this.node.privateAddress])],
      ports: () => this.node.ports?.containers ?? defaultContainerPorts,
      images: () => this.node.images ?? [],
      cgroupParent: (user, group, driver) => slices.parent(user, group, driver),
    });
    const forTenants: ManagerParts = new ManagerParts({
      ...{ store, engine, containers, creator, operations, ledger: made, paths, log },
      node: () => this.node,
      isTenant: (name) => this.isTenant(name),
      mayGo: (name) => mayGo(this.node, name),
      isService: env.NOTIFY_SOCKET !== undefined,
    });
    if (operations.unhandled.length > 0)
      throw new Error(`Nobody brings operations to an end: ${operations.unhandled.join(", ")}`);
    const tokens = new Tokens(
      store.tables.tokens,
      (...args) => made.saveTokens(...args),
      (what, name) => isNamed(this.node, what, name),
      (tenant) => !mayGo(this.node, tenant),
    );
    tokens.endOrphans();
    const app = await makeApp({
      ledger: made,
      tokens,
      events: new EventFollower(events),
      node: () => this.node,
      quarantine: (uuid, reason) =>
        inventory.watch.quarantine(uuid, reason)
          ? undefined
          : {
              code: "not-found",
              message: `This node has no GPU ${uuid}.`,
              fix: "See the UUIDs: berth gpu status --json",
            },
      restore: (uuid) => {
        const done = inventory.watch.unquarantine(uuid);
        return done.ok ? undefined : { code: "conflict", message: done.reason };
      },
      figures: () => inventory.watch.state.readings,
      explain: (user) => explainLimits(limits.document, user, limits.group(user)),
      limitsProblem: () => limits.problem,
      containers,
      creator: { port: creator, schema: createSchema },
      forTenants,
      log,
      metrics,
      version,
    });
    const servers = new Servers({ app, paths, node: () => this.node, log });
    return {
      ...{ store, events, limits, inventory, containers, ledger: made },
      ...{ creator, forTenants, tokens, slices, servers },
    };
  }

  /** Of the container manager's. */
  private isTenant(name: string): boolean {
    return this.node.manager !== undefined && isNamed(this.node, "tenant", name);
  }

  private watchConfig(): void {
    const { paths, log } = this.options;
    try {
      this.watcher = watch(paths.configFolder, () => {
        // A file is replaced in several steps.
        clearTimeout(this.reloading);
        this.reloading = setTimeout(() => this.reload(), 100);
      });
      this.watcher.on("error", (error) =>
        log.warn({ err: error }, "changes of the configuration are not seen; send SIGHUP"),
      );
    } catch (error) {
      log.warn({ err: error }, "changes of the configuration are not seen; send SIGHUP");
    }
  }

  /** Reads limits and node.json again. What is wrong with them changes nothing, and is said loudly. */
  reload(): void {
    const { parts } = this;
    if (!parts) return;
    const { paths, log } = this.options;
    try {
      const before = JSON.stringify(this.node);
      const next = readNode(paths.nodeFile);
      if (JSON.stringify(next) !== before) {
        this.node = next;
        log.info("node.json changed and is in force");
        parts.limits.accountsChanged();
        parts.tokens.endOrphans();
        this.noteOrphans();
        parts.creator.recoverSoon();
        parts.forTenants.manager.configChanged();
        parts.servers
          .apply()
          .catch((error: unknown) => log.error({ err: error }, "the sockets could not be changed"));
      }
    } catch (error) {
      log.error({ err: error }, "node.json is not usable; what was read before stays in force");
    }
    parts.limits.reload();
  }

  /** Not before the ledger was open: an update of berthd that failed until then goes back to the ledger as it was before. */
  private noteOrphans(): void {
    const { parts } = this;
    if (!parts || parts.ledger.closed() !== undefined) return;
    const failed = (reason: unknown) =>
      this.options.log.error({ reason }, "tokens of who left are ended, which could not be written down");
    parts.tokens.noteOrphans().then((noted) => noted.ok || failed(noted.refusal.message), failed);
  }

  private tidy(): void {
    this.noteOrphans();
    this.parts?.slices.finish();
    void this.parts?.forTenants.tidy();
    try {
      this.parts?.store.prune(Date.now());
    } catch (error) {
      this.options.log.error({ err: error }, "old records could not be removed");
    }
  }

  async stop(why: string): Promise<void> {
    this.notify?.stopping();
    this.watcher?.close();
    clearTimeout(this.reloading);
    clearInterval(this.tidying);
    if (this.parts) {
      const { servers, ledger, creator, forTenants, containers, inventory, events, store } = this.parts;
      const closed = servers.close(grace);
      // A creation under way still binds what it started.
      await Promise.all([forTenants.close(), creator.close()]);
      await ledger.stop();
      await closed;
      await containers.close();
      await inventory.close();
      await events.close();
      store.close();
    }
    this.notify?.close();
    this.lock?.release();
    this.options.log.info({ why }, "berthd has ended");
  }
}
