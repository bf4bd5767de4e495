/**
 * A container manager over a real database, the real writer and the real creator, with a fake dockerd, and with a node of 16 GB
 * that is not this one. Its tenants are `web` and `bench`.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type ManagerConfig, managerSchema } from "../../../../agent/src/config";
import { Containers, Creator } from "../../../../agent/src/containers";
import { Engine } from "../../../../agent/src/docker";
import {
  FormerTenants,
  type Holding,
  type ManagedRequest,
  Manager,
  managedSchema,
  type Setups,
} from "../../../../agent/src/manager";
import { Operations } from "../../../../agent/src/operations";
import type { ManagedRow } from "../../../../agent/src/store";
import { isManagedCreation } from "../../../../core/names";
import { FakeDockerd } from "../../../fakes/dockerd";
import { until } from "../../../lib/until";
import { logInto } from "../containers/rig";
import { inventoryOf, makeRig, newFolder, type Rig } from "../service/rig";

/** Milliseconds: far above what anything takes on a busy computer. */
export const SOON = 30_000;

export const NODE = `sha256:${"aa".repeat(32)}`;
export const PYTHON = `sha256:${"bb".repeat(32)}`;

/** A template whose pool keeps two, unless the test says more. */
export const template = (more: object = {}) => ({
  ...{ name: "node", image: "node:24-slim", targetSize: 2, minSize: 1, maxCreating: 2 },
  ...more,
});

export const configOf = (more: object = {}): ManagerConfig =>
  managerSchema.parse({
    listen: { address: "127.0.0.1", port: 0 },
    publish: { address: "127.0.0.1" },
    url: "http://node.test:8080",
    templates: [],
    images: { default: "node:24-slim", allowed: ["node:*", "python:*"] },
    repositories: { hosts: [] },
    callbacks: { allowed: [] },
    reserveMiB: 1024,
    mainImages: { unusedHours: 168 },
    ...more,
  });

/** In a node where nothing was set up yet. */
export const noSetups: Setups = {
  phaseOf: () => undefined,
  end: async () => {},
  started: () => {},
  imagesOf: () => [],
  useImage: () => {},
};

export class ManagerRig {
  readonly dockerd = new FakeDockerd();
  readonly folder = newFolder();
  readonly lines: Parameters<typeof logInto>[0] = [];
  config: ManagerConfig | undefined = configOf();
  tenants = ["web", "bench"];
  range = { start: 20_000, end: 29_999 };
  measured = { memoryMiB: 15_990, cpus: 16, pids: 4_000_000, diskFreeMiB: 200_000, at: 0 };
  setups: Setups | undefined;
  mostOfTenant: number | undefined;
  mostVolumes: number | undefined;
  /** Whose things are to be removed, once `tenants` does not name them. */
  purge: string[] | true = [];
  /** Who has some of what is not the manager's own. */
  readonly held = { images: new Set<string>(), packages: new Set<string>(), logs: new Set<string>() };
  former!: FormerTenants;
  /** Whose log is whose, over restarts. */
  readonly owners = new Map<string, string>();
  /** What is added to the clock, in milliseconds. */
  later = 0;
  rig!: Rig;
  manager!: Manager;
  engine!: Engine;
  private containers!: Containers;
  private creator!: Creator;

  async start(): Promise<void> {
    await this.dockerd.start();
    for (const [name, id] of [
      ["node:24-slim", NODE],
      ["python:3.13", PYTHON],
    ] as const) {
      this.dockerd.images.set(name, id);
      this.dockerd.images.set(id, id);
    }
    await this.begin();
  }

  now = () => Date.now() + this.later;

  /** Another berthd over the same files; the one before has ended well. */
  async restart(): Promise<void> {
    await this.end();
    await this.begin();
  }

  /** As `restart`, where the one before was killed: it says nothing to anybody any more. */
  async kill(): Promise<void> {
    this.dockerd.calm();
    await this.containers.close();
    await this.rig.crash();
    void this.manager.close();
    void this.creator.close();
    await this.begin();
  }

  async begin(): Promise<void> {
    const log = logInto(this.lines);
    const short = { read: 5000, create: 5000, start: 5000, stop: 5000, remove: 5000, write: 5000 };
    this.engine = new Engine({ socket: this.dockerd.socket, deadlines: short });
    this.containers = new Containers({
      engine: this.engine,
      processes: {
        running: (ids) => new Set([...ids.keys()].filter((id) => this.dockerd.processes.has(id))),
      },
      inventory: () => inventoryOf(1),
      log,
      retryMs: 20,
    });
    this.rig = await makeRig({
      folder: this.folder,
      options: { containers: this.containers, now: this.now },
    });
    for (const name of this.tenants) this.rig.limits.users.set(name, { group: "staff", priority: 0 });
    const { ledger, store } = this.rig;
    const operations = new Operations({
      loaded: store.tables.operations.all(),
      write: (decide) => ledger.write(decide),
      log,
    });
    this.creator = new Creator({
      ...{ engine: this.engine, containers: this.containers, ledger, log, operations },
      ...{ stack: "test", node: "n1", isUser: () => false, isManaged: isManagedCreation },
      ports: () => this.range,
      isTaken: (port) => this.manager.hasPort(port),
      endSeconds: 2,
    });
    const isTenant = (name: string) => this.config !== undefined && this.tenants.includes(name);
    this.former = new FormerTenants({
      ...{ operations, log, isTenant },
      holdings: () => ({
        ...this.manager.holdings,
        ...{ images: holding(this.held.images), packages: holding(this.held.packages) },
        logs: holding(this.held.logs),
      }),
      mayGo: (name) => this.purge === true || this.purge.includes(name),
    });
    this.manager = new Manager({
      ...{
        store,
        engine: this.engine,
        containers: this.containers,
        creator: this.creator,
        operations,
        ledger,
        log,
      },
      write: (decide) => ledger.write(decide),
      stack: "test",
      config: () => this.config,
      ports: () => this.range,
      isTenant: (name) => isTenant(name) && !this.former.leaves(name),
      former: this.former,
      measure: { measure: () => this.measured },
      setups: () => this.setups,
      ...(this.mostOfTenant !== undefined && { mostOfTenant: this.mostOfTenant }),
      mostVolumes: this.mostVolumes,
      logs: {
        open: (id, owner) => void (owner !== undefined && this.owners.set(id, owner)),
        end: async () => {},
        ownerOf: (id) => this.owners.get(id),
      },
      now: this.now,
    });
    this.containers.follow();
    await this.manager.recover();
  }

  /** What a disk loses, once berthd has ended. @param files of its folder, with all that SQLite has beside them */
  lose(...files: string[]): void {
    for (const file of files)
      for (const suffix of ["", "-wal", "-shm"]) rmSync(join(this.folder, file + suffix), { force: true });
  }

  /** A row of a container that a disk damaged, in the ledger's copy. */
  spoilCopy(id: string): void {
    const db = new DatabaseSync(join(this.folder, "tenants.db"));
    const { changes } = db.prepare("UPDATE kept SET body = '{' WHERE name = 'managed' AND key = ?").run(id);
    db.close();
    if (changes !== 1) throw new Error(`the copy has no row of ${id}`);
  }

  /** As a berthd that ends well. */
  async end(): Promise<void> {
    await Promise.all([this.manager.close(), this.creator.close()]);
    await this.rig.crash();
    await this.containers.close();
  }

  create(more: object = {}, owner = "web", signal?: AbortSignal) {
    const request = managedSchema.parse({ name: "app", ...more }) as ManagedRequest;
    return this.manager.create(request, { owner, actor: `token:${owner}` }, signal);
  }

  claim(more: object = {}, owner = "web") {
    return this.manager.claim(more, { owner, actor: `token:${owner}` });
  }

  /** Those that are written down and not gone. */
  rows(): ManagedRow[] {
    return this.rig.store.tables.managed.all().filter(({ state }) => state !== "gone");
  }

  /** Docker's word of a container. */
  state = (id: string): string | undefined =>
    [...this.dockerd.containers.values()].find(({ Config }) => Config?.Labels?.["berth.creation"] === id)
      ?.State.Status;

  ready = (count: number) =>
    until(`${count} stand ready`, SOON, () => this.pool().ready === count && this.pool().warming === 0);

  pool = () => {
    const pool = this.manager.pools()[0];
    if (pool === undefined) throw new Error("there is no pool");
    return pool;
  };

  /** Each container has one row, each row that is ready a container that runs, and no port of the node two owners. */
  problems(): string[] {
    const rows = this.rows();
    const containers = [...this.dockerd.containers.values()];
    const labels = containers.map(({ Config }) => Config?.Labels?.["berth.creation"]);
    const ports = containers.flatMap(({ HostConfig }) =>
      Object.values(HostConfig.PortBindings ?? {}).flatMap((all) =>
        (all ?? []).map(({ HostPort }) => HostPort),
      ),
    );
    return [
      ...labels.filter((id) => !rows.some((row) => row.id === id)).map((id) => `${id} has no row`),
      ...rows
        .filter(
          ({ id, container = "" }) =>
            this.dockerd.containers.get(container)?.Config?.Labels?.["berth.creation"] !== id,
        )
        .map(({ id, state }) => `${id} is ${state} and has no container`),
      ...(new Set(ports).size === ports.length ? [] : [`a port has two owners: ${ports.join(", ")}`]),
      ...this.rig.store.tables.operations.all().map(({ kind, id }) => `${kind} ${id} is noted still`),
    ];
  }

  agreed = () =>
    until(
      `rows and containers agree: ${this.problems().join("; ")}`,
      SOON,
      () => this.problems().length === 0,
    );

  async close(): Promise<void> {
    await Promise.all([this.manager.close(), this.creator.close()]);
    await this.containers.close();
    await this.rig.close();
    await this.dockerd.close();
  }
}

const holding = (owners: Set<string>): Holding => ({
  owners: () => owners,
  removeOf: async (owner) => void owners.delete(owner),
});
