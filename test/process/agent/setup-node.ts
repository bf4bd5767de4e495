/** A berthd as far as it has to do with set-ups, over a folder, a Docker socket and a Git host that others provide. */
import { join } from "node:path";
import { Callbacks, CallbackTargets } from "../../../agent/src/callbacks";
import { ContainerLogs } from "../../../agent/src/container-logs";
import { Engine } from "../../../agent/src/docker";
import { procSessions } from "../../../agent/src/docker/sessions";
import type { ManagedContainer } from "../../../agent/src/manager";
import { Operations } from "../../../agent/src/operations";
import { Proc } from "../../../agent/src/proc";
import { RepositoryCache } from "../../../agent/src/repositories";
import { Setups, type SetupsOptions } from "../../../agent/src/setup";
import { Store, Turn, Writer } from "../../../agent/src/store";
import type { RepositoryHost } from "../../../core/manager";

/** What a process can be told as JSON. */
export interface SetupNodePlain {
  folder: string;
  socket: string;
  hosts: RepositoryHost[];
  containers: ManagedContainer[];
}

export interface SetupNodeOptions extends SetupNodePlain {
  more?: Partial<SetupsOptions>;
}

export class SetupNode {
  readonly logged: string[] = [];
  readonly containers: Map<string, ManagedContainer>;
  readonly logs: ContainerLogs;
  readonly callbacks: Callbacks;
  readonly repositories: RepositoryCache;
  readonly operations: Operations;
  readonly engine: Engine;
  readonly setups: Setups;
  private readonly store: Store;
  private readonly writer: Writer<Turn>;
  private readonly gone = new Set<(id: string) => void>();

  constructor({ folder, socket, hosts, containers, more = {} }: SetupNodeOptions) {
    this.containers = new Map(containers.map((one) => [one.id, one]));
    this.store = Store.open({ file: join(folder, "ledger.db"), now: Date.now() });
    const { tables, loaded } = this.store;
    this.writer = new Writer<Turn>({
      store: this.store,
      log: { append: () => {}, written: 0 },
      nextEvent: loaded.nextEvent,
      turn: (nextEvent) => new Turn(Date.now(), nextEvent),
      nextToken: () => loaded.nextToken,
      afterCommands: () => {},
      onTrouble: (error) => this.note(error.message),
      onRecovered: () => {},
    });
    const log = {
      info: (data: object, message: string) => this.note(message, data),
      warn: (data: object, message: string) => this.note(message, data),
      error: (data: object, message = "") => this.note(message, data),
    } as SetupsOptions["log"] & ConstructorParameters<typeof ContainerLogs>[0]["log"];
    const resolve = async () => ({ ok: true as const, value: ["127.0.0.1"] });
    const write: SetupsOptions["write"] = (decide) => this.writer.submit(decide);
    this.logs = new ContainerLogs({ folder: join(folder, "logs"), log });
    this.callbacks = new Callbacks({ rows: tables.callbacks.all(), write, resolve, log });
    this.repositories = new RepositoryCache({
      ...{ folder: join(folder, "cache"), maxBytes: 2 ** 30, hosts, resolve, log },
    });
    this.operations = new Operations({ loaded: tables.operations.all(), write, log });
    // The fake dockerd runs commands outside of any container.
    this.engine = new Engine({ socket, sessions: procSessions(new Proc(), () => true) });
    this.setups = new Setups({
      rows: { setups: tables.setups.all(), mainImages: tables.mainImages.all() },
      ...{ write, callbacks: this.callbacks, logs: this.logs, engine: this.engine, log },
      ...{ repositories: this.repositories, operations: this.operations },
      url: () => "http://192.0.2.1:8080",
      publishAddress: () => "192.0.2.7",
      managed: {
        find: (owner, id) => {
          const found = this.containers.get(id);
          return found?.owner === owner ? found : undefined;
        },
        onGone: (listener) => {
          this.gone.add(listener);
          return () => this.gone.delete(listener);
        },
      },
      hosts: () => hosts,
      targets: new CallbackTargets({ allowed: ["127.0.0.1"], resolve, log }),
      output: join(folder, "output"),
      stateFolder: folder,
      ...more,
    });
  }

  private note(message: string, data: object = {}): void {
    this.logged.push(`${message} ${JSON.stringify(data)}`);
  }

  async start(): Promise<this> {
    await this.logs.restore(this.containers.keys());
    await this.repositories.recover();
    this.callbacks.start();
    await this.operations.recover();
    this.setups.start();
    return this;
  }

  /** As the manager takes one away. */
  async remove(id: string): Promise<void> {
    await this.setups.end(id);
    this.containers.delete(id);
    for (const tell of this.gone) tell(id);
  }

  async close(): Promise<void> {
    await this.setups.close();
    await this.callbacks.close();
    await this.logs.close();
    await this.writer.drained();
    this.writer.close();
    this.store.close();
  }
}
