/** The container manager with all that works for it: set-ups, commands, logs, messages to back-ends, and what is kept for all of them. */
import { existsSync } from "node:fs";
import { GIT_ACCOUNT, type RepositoryHost } from "../../core/manager";
import { Callbacks, CallbackTargets } from "./callbacks";
import { Commands } from "./commands";
import { defaultContainerPorts, type ManagerConfig, type NodeConfig } from "./config";
import { ContainerLogs } from "./container-logs";
import type { Containers, Creator } from "./containers";
import type { Engine } from "./docker";
import type { Logger } from "./log";
import { FormerTenants, Manager } from "./manager";
import { ManagerPackages } from "./manager-packages";
import type { Operations } from "./operations";
import { resolvePublic } from "./outgoing";
import { throughSystemd } from "./packages";
import type { AgentPaths } from "./paths";
import { RepositoryCache } from "./repositories";
import type { Ledger } from "./service/ledger";
import { Setups } from "./setup";
import type { Store } from "./store";

export interface ManagerPartsOptions {
  store: Store;
  engine: Engine;
  containers: Containers;
  creator: Creator;
  operations: Operations;
  ledger: Ledger;
  paths: AgentPaths;
  log: Logger;
  node(): NodeConfig;
  isTenant(name: string): boolean;
  /** Whether the stack says that all that a tenant had, which it names no more, is to be removed. */
  mayGo(name: string): boolean;
  /** Whether berthd is a service of systemd's, which gave it bounds and mounts of its own. */
  isService: boolean;
}

/** Of what is started beside the containers; the stack makes it. */
const SLICE = "berth-manager.slice";
/** Git is not to count as berthd, which has 256 MiB. */
const GIT_SCOPE = [
  ...["systemd-run", "--quiet", "--scope", "--collect", `--slice=${SLICE}`],
  ...["--property=MemoryMax=2G", "--property=TasksMax=128", "--"],
];
const MOST_OF_REPOSITORIES = 20 * 2 ** 30;

const stays = (owner: string) =>
  `${owner} is no tenant of this node any more: its containers are stopped, and all that it had stays. Name it in berth:manager.tenants again, or, to have all of it removed for good, in berth:manager.purge`;

export class ManagerParts {
  readonly manager: Manager;
  readonly setups: Setups;
  readonly commands: Commands;
  readonly logs: ContainerLogs;
  /** Of pages that may open streams of containers with a ticket. */
  readonly origins = () => this.config?.origins ?? [];
  private readonly former: FormerTenants;
  private readonly callbacks: Callbacks;
  private readonly repositories: RepositoryCache;
  private readonly packages: ManagerPackages;
  private readonly closing = new AbortController();
  private readonly closed: Promise<void>;
  /** What is wrong, by what it is wrong with. */
  private readonly wrong = new Map<string, string>();
  private restored: Promise<void> | undefined;
  private prepared: Promise<void> | undefined;
  private goesOn = false;

  constructor(private readonly options: ManagerPartsOptions) {
    const { store, engine, containers, operations, ledger, paths, log, isService } = options;
    this.closed = new Promise((resolve) => {
      this.closing.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const write: Ledger["write"] = (decide) => ledger.write(decide);
    const { tables } = store;
    this.logs = new ContainerLogs({ folder: paths.containerLogs, log });
    this.callbacks = new Callbacks({ rows: tables.callbacks.all(), write, resolve: this.callable, log });
    this.repositories = this.openRepositories();
    this.packages = new ManagerPackages({
      folder: paths.packages,
      ...(isService && { prefix: throughSystemd(SLICE) }),
      log,
    });
    const ready = () => this.ready();
    this.former = this.openFormer();
    this.manager = this.openManager(ready);
    const managed = this.manager;
    this.commands = new Commands({ engine, managed, people: containers, log });
    this.setups = new Setups({
      rows: { setups: tables.setups.all(), mainImages: tables.mainImages.all() },
      ...{ write, callbacks: this.callbacks, logs: this.logs, engine, repositories: this.repositories },
      ...{ operations, managed, log, packages: this.packages, ready },
      hosts: () => this.hosts,
      targets: new CallbackTargets(this.targetRules()),
      url: () => this.config?.url ?? "",
      publishAddress: () => this.config?.publish.address ?? "127.0.0.1",
      environment: this.commands.environment,
      mainImages: { unusedHours: () => this.config?.mainImages.unusedHours },
    });
  }

  /** What is wrong, for `health`. */
  get problems(): string[] {
    const staying = this.former.staying.map(stays);
    return [...this.manager.problems, ...this.wrong.values(), ...this.logs.problems(), ...staying];
  }

  /** What is kept for tenants' next containers, by what it is. */
  get kept(): Record<string, { count: number; bytes: number }> {
    if (this.prepared === undefined) return {};
    const { repositories, bytes } = this.repositories.usage();
    const packages = this.packages.usage();
    return {
      repositories: { count: repositories, bytes },
      ...(packages && { packages: { count: packages.caches.length, bytes: packages.bytes } }),
    };
  }

  /** Before anything is answered: what containers printed can be read from then on. */
  async restore(): Promise<void> {
    if (this.manager.isUsed) await this.restoreLogs();
  }

  /** Once requests are answered. */
  start(): void {
    this.callbacks.start();
    if (this.manager.isUsed) void this.ready();
  }

  /** Grants are made: what a berthd before this one left half-done is brought to an end, and what ran goes on. */
  opened(): void {
    void this.manager.recoverSoon().then(() => this.goOn());
  }

  /** To be called regularly. */
  async tidy(): Promise<void> {
    if (this.prepared === undefined || this.closing.signal.aborted) return;
    await this.prepared;
    if (!this.packages.isUsable) await this.recoverPackages();
    await this.attempt("logs of containers", () => this.logs.prune());
    await this.attempt("the size of the repository cache", () => this.repositories.evict());
    await this.attempt("the size of the package caches", () => this.packages.evict());
    await this.lookAtGit();
    await this.attempt("versions of the image that stands in for others", () => this.manager.tidy());
    await this.setups.tidy();
  }

  /** Ends what is under way, while there is still a ledger to write it down. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.all([this.commands.close(), this.setups.close(), this.manager.close()]);
    await this.callbacks.close();
    await this.logs.close();
  }

  private get config(): ManagerConfig | undefined {
    return this.options.node().manager;
  }

  private get hosts(): readonly RepositoryHost[] {
    return this.config?.repositories.hosts ?? [];
  }

  private get ids(): string[] {
    return this.manager.all().map(({ id }) => id);
  }

  private openRepositories(): RepositoryCache {
    const { paths, log, isService } = this.options;
    const hosts = () => this.hosts;
    return new RepositoryCache({
      folder: paths.repositories,
      maxBytes: MOST_OF_REPOSITORIES,
      ...(process.getuid?.() === 0 && { account: GIT_ACCOUNT }),
      ...(isService && { prefix: GIT_SCOPE }),
      get hosts() {
        return hosts();
      },
      resolve: ({ host, internal }) => resolvePublic(host, { allowed: internal ? [host] : [] }),
      log,
    });
  }

  private openManager(ready: () => Promise<void>): Manager {
    const { store, engine, containers, creator, operations, ledger, log, node, isTenant } = this.options;
    const { former } = this;
    return new Manager({
      ...{ store, engine, containers, creator, operations, ledger, log, ready, former },
      isTenant: (name) => isTenant(name) && !former.leaves(name),
      ...{ logs: this.logs, caches: this.packages },
      write: (decide) => ledger.write(decide),
      stack: node().stack,
      config: () => this.config,
      ports: () => node().ports?.containers ?? defaultContainerPorts,
      // They need the manager.
      setups: () => this.setups,
      probeEnv: () => this.commands.environment,
    });
  }

  private openFormer(): FormerTenants {
    const { operations, isTenant, mayGo, log, paths } = this.options;
    const isUnread = () => this.restored === undefined && existsSync(paths.containerLogs);
    const holdings = () => {
      const { packages, logs } = this;
      return {
        ...{ ...this.manager.holdings, images: this.setups.holding(), packages },
        logs: { owners: () => logs.allOwners(), removeOf: (owner: string) => logs.removeOf(owner), isUnread },
      };
    };
    return new FormerTenants({ operations, holdings, isTenant, mayGo, log });
  }

  private readonly callable = (host: string) =>
    resolvePublic(host, { allowed: this.config?.callbacks.allowed ?? [] });

  private targetRules(): ConstructorParameters<typeof CallbackTargets>[0] {
    const allowed = () => this.config?.callbacks.allowed ?? [];
    return {
      get allowed() {
        return allowed();
      },
      resolve: this.callable,
      log: this.options.log,
    };
  }

  /** Resolves when containers can be made and set up, or berthd is stopping. */
  private ready(): Promise<void> {
    this.prepared ??= this.prepare();
    return Promise.race([this.prepared, this.closed]);
  }

  private async prepare(): Promise<void> {
    await this.restoreLogs();
    await this.attempt("kept repositories", () => this.repositories.recover());
    await this.lookAtGit();
    await this.recoverPackages();
  }

  private restoreLogs(): Promise<void> {
    this.restored ??= this.attempt("logs of containers", async () => {
      await this.logs.restore(this.ids, this.options.store.rebuilding === "labels");
      for (const { id, owner } of this.manager.all()) this.logs.open(id, owner);
    });
    return this.restored;
  }

  private recoverPackages(): Promise<void> {
    return this.attempt("kept packages", async () => this.packages.recover(await this.idsThere()));
  }

  /** Where the ledger was lost, containers may be there that have no row yet. */
  private async idsThere(): Promise<string[]> {
    const { store, containers } = this.options;
    if (store.rebuilding === undefined) return this.ids;
    await containers.current();
    return [...this.ids, ...containers.list().flatMap(({ creation }) => creation ?? [])];
  }

  private lookAtGit(): Promise<void> {
    return this.attempt("git", async () => {
      const problem = await this.repositories.problem();
      if (problem !== undefined) throw new Error(problem);
    });
  }

  /** What fails is said, and keeps nothing else from going on. */
  private async attempt(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.wrong.delete(what);
    } catch (error) {
      const { message } = error as Error;
      this.wrong.set(what, `container manager, ${what}: ${message}`);
      this.options.log.warn({ what, reason: message }, "a part of the container manager does not work");
    }
  }

  private goOn(): void {
    if (this.goesOn || this.closing.signal.aborted) return;
    this.goesOn = true;
    this.setups.start();
    const theirs = this.manager.all().flatMap(({ container }) => container ?? []);
    const peoples = this.options.containers.list().filter(({ kind }) => kind === "created");
    // It logs what it cannot do.
    void this.commands.recover(new Set([...theirs, ...peoples.map(({ id }) => id)]));
  }
}
