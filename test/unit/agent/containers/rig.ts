/** A creator over a fake dockerd, and a ledger made of the real core, without a database. */
import { Containers, Creator, type Processes } from "../../../../agent/src/containers";
import type { Ledger } from "../../../../agent/src/containers/options";
import { Engine } from "../../../../agent/src/docker";
import { Operations } from "../../../../agent/src/operations";
import type { OperationRow } from "../../../../agent/src/store";
import {
  adopt,
  apply,
  bind,
  bindOwn,
  type Ctx,
  containerGone,
  containerStarted,
  containerStopped,
  createState,
  type Decision,
  type EffectiveLimits,
  type Grant,
  type Inventory,
  type Result,
  release,
  releaseOf,
  reserve,
  unbind,
  usableGrant,
} from "../../../../core/gpu";
import { defaultLimitsDocument, resolveLimits } from "../../../../core/limits";
import { FakeDockerd } from "../../../fakes/dockerd";

export const GPU0 = "GPU-00000000-0000-0000-0000-000000000000";
export const GPU1 = "GPU-11111111-1111-1111-1111-111111111111";
export const MIG0 = "MIG-00000000-0000-0000-0000-000000000000";
export const MIG1 = "MIG-11111111-1111-1111-1111-111111111111";

/** GPU 0 whole; GPU 1 divided in two. */
export const inventory: Inventory = {
  source: "declared",
  gpus: [
    {
      uuid: GPU0,
      index: 0,
      model: "NVIDIA H100 80GB HBM3",
      memoryMiB: 81559,
      mig: false,
      instances: [],
      nvlink: [],
    },
    {
      uuid: GPU1,
      index: 1,
      model: "NVIDIA H100 80GB HBM3",
      memoryMiB: 81559,
      mig: true,
      instances: [
        { uuid: MIG0, profile: "1g.10gb", memoryMiB: 9856, gi: 7, ci: 0 },
        { uuid: MIG1, profile: "1g.10gb", memoryMiB: 9856, gi: 8, ci: 0 },
      ],
      nvlink: [],
    },
  ],
};

/** alice is a researcher, sam a student; hold after stop a quarter of an hour. */
export function limitsOf(user: string): EffectiveLimits | undefined {
  const group = { alice: "researcher", bob: "researcher", sam: "student" }[user];
  if (group === undefined) return undefined;
  const limits = resolveLimits(defaultLimitsDocument, user, group);
  return {
    ...limits,
    memory: { value: 2 ** 33, rule: "defaults" },
    max_cpus: { value: 8, rule: "defaults" },
  };
}

export class CoreLedger implements Ledger {
  readonly state = createState(inventory);
  hold: number | null = 900;
  private ids = 0;
  private readonly keys = new Map<string, string>();
  private readonly over = new Map<string, Result<Grant>>();

  private ctx(): Ctx {
    return {
      now: Date.now(),
      newId: () => `g${++this.ids}`,
      limitsOf: (user) => {
        const limits = limitsOf(user);
        return limits && { ...limits, gpu_hold_after_stop: { value: this.hold, rule: "defaults" } };
      },
      strategy: "least-allocated",
      allowShared: false,
    };
  }

  private async take<T>(decide: () => Decision<T>): Promise<Result<T>> {
    // As the real one, which answers in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    const decision = decide();
    if (!decision.ok) return decision;
    apply(this.state, decision.changes);
    for (const { grant } of decision.changes) {
      if (grant.state === "released") this.over.set(grant.id, { ok: true, value: grant });
    }
    return { ok: true, value: decision.value };
  }

  limitsOf = (user: string) => this.ctx().limitsOf(user);
  reserve = async (request: Parameters<Ledger["reserve"]>[0]) => {
    const { user, ask, purpose, containers, actor, idempotencyKey } = request;
    const made = await this.take(() => reserve(this.state, this.ctx(), { user, ask, purpose, containers }));
    if (made.ok) this.keys.set(`${actor} ${idempotencyKey}`, made.value.id);
    return made;
  };
  grantOf = (actor: string, key: string) => this.grant(this.keys.get(`${actor} ${key}`) ?? "");
  /** Why nothing is granted at the moment. */
  why: string | undefined;
  closed = () => this.why;
  usable = (own: Parameters<Ledger["usable"]>[0]) => usableGrant(this.state, this.ctx(), own);
  bindOwn = (request: Parameters<Ledger["bindOwn"]>[0]) =>
    this.take(() => bindOwn(this.state, this.ctx(), request));
  unbind = (request: Parameters<Ledger["unbind"]>[0]) =>
    this.take(() => unbind(this.state, this.ctx(), request));
  bind = (request: Parameters<Ledger["bind"]>[0]) => this.take(() => bind(this.state, this.ctx(), request));
  release = (id: string, reason?: string, force?: boolean) =>
    this.take(() => release(this.state, this.ctx(), id, reason, force));
  releaseOf = (own: Parameters<Ledger["releaseOf"]>[0], reason: string) =>
    this.take(() => releaseOf(this.state, this.ctx(), own, reason));
  containerGone = (container: string) => this.take(() => containerGone(this.state, this.ctx(), container));
  containerStopped = (container: string) =>
    this.take(() => containerStopped(this.state, this.ctx(), container));
  grants = () => [...this.state.grants.values()];
  grant = (id: string) => {
    const live = this.state.grants.get(id);
    const over = this.over.get(id);
    return live ?? (over?.ok ? over.value : undefined);
  };

  /** As the daemon does it: events one by one, and a whole look when told. */
  follow(containers: Containers): void {
    containers.onEvent((event) => {
      if (event.kind === "stopped") void this.containerStopped(event.container);
      else if (event.kind === "gone") void this.containerGone(event.container);
      else if (event.kind === "started") {
        const { container, seen } = event;
        const { grant, token, units } = seen;
        void this.take(() => containerStarted(this.state, this.ctx(), { container, grant, token, units }));
      } else if (event.kind === "unsure") void this.look(containers).catch(() => {});
    });
  }

  async look(containers: Containers): Promise<void> {
    const seen = await containers.listLive();
    await this.take(() => adopt(this.state, this.ctx(), seen));
  }
}

export interface Line {
  level: "info" | "warn";
  data: object;
  message: string;
}

export function logInto(lines: Line[]) {
  return {
    info: (data: object, message: string) => void lines.push({ level: "info", data, message }),
    warn: (data: object, message: string) => void lines.push({ level: "warn", data, message }),
  };
}

export const IMAGE = `sha256:${"ab".repeat(32)}`;

export class Rig {
  readonly dockerd = new FakeDockerd();
  readonly lines: Line[] = [];
  ledger = new CoreLedger();
  engine!: Engine;
  containers!: Containers;
  creator!: Creator;
  operations!: Operations;
  /** The journal as it is on the disk. */
  readonly rows = new Map<string, OperationRow>();
  /** As the kernel has it; undefined: nothing can be told. */
  processes: Processes["running"] = (asked) =>
    new Set([...asked.keys()].filter((id) => this.dockerd.processes.has(id)));
  retryMs = 10;
  probeSeconds = 60;
  endSeconds = 1;
  /** That the operator allows. */
  images: string[] = [];
  /** Of the node. */
  users = ["alice", "bob", "sam"];

  async start(): Promise<void> {
    this.dockerd.images.set(IMAGE, IMAGE);
    await this.dockerd.start();
    await this.restart();
  }

  /** A berthd that knows nothing but what is written down: the ledger and the journal. */
  async restart(deadlines: Partial<Engine["deadlines"]> = {}): Promise<void> {
    await this.containers?.close();
    const log = logInto(this.lines);
    // Far above what any answer takes on a busy computer, unless it was told not to come.
    const short = { read: 2000, create: 2000, start: 2000, stop: 2000, remove: 2000, ...deadlines };
    this.engine = new Engine({ socket: this.dockerd.socket, deadlines: short });
    this.containers = new Containers({
      engine: this.engine,
      processes: { running: (ids) => this.processes(ids) },
      inventory: () => inventory,
      log,
      retryMs: this.retryMs,
      probeSeconds: this.probeSeconds,
    });
    this.operations = new Operations({
      loaded: [...this.rows.values()],
      write: async (decide) => {
        await new Promise((resolve) => setImmediate(resolve));
        return decide({
          put: (_, row) => {
            const { id, over } = row as OperationRow;
            if (over) this.rows.delete(id);
            else this.rows.set(id, structuredClone(row as OperationRow));
          },
        });
      },
      log,
    });
    this.creator = new Creator({
      engine: this.engine,
      containers: this.containers,
      ledger: this.ledger,
      log,
      stack: "test",
      node: "node-0",
      operations: this.operations,
      isUser: (name) => this.users.includes(name),
      ports: () => ({ start: 20_000, end: 29_999 }),
      images: () => this.images,
      endSeconds: this.endSeconds,
    });
  }

  async close(): Promise<void> {
    await this.containers.close();
    await this.dockerd.close();
  }
}
