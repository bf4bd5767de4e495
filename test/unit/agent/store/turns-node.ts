/** A ledger in memory over a real database whose commits fail when told to, driven by numbers: a few commands a turn. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { LedgerInput } from "../../../../agent/src/service/ledger-input";
import { LedgerTurn } from "../../../../agent/src/service/ledger-turn";
import { Queue } from "../../../../agent/src/service/queue";
import { Reservations } from "../../../../agent/src/service/reservations";
import { type Batch, Store, StoreError, Writer } from "../../../../agent/src/store";
import {
  type Ask,
  applyDeclared,
  type Ctx,
  createState,
  type DeclaredGrant,
  type Grant,
  type Inventory,
  type LedgerState,
  release,
  reserve,
} from "../../../../core/gpu";
import { gpu, limits, node } from "../../../lib/core-node";

/** One command: what, and two numbers to choose with. */
export type Command = readonly [what: number, a: number, b: number];
/** Commands of one turn, and what becomes of its commit. `late`: it fails once all was written, and is rolled back. */
export type Step = { commands: readonly Command[]; commit: "good" | "fails" | "late" };

const users = ["alice", "bob", "carol"];
const asks: Ask[] = [
  { kind: "gpu", count: 1 },
  { kind: "mig", count: 1 },
  { kind: "mig", count: 2 },
  { kind: "share", count: 1, memoryMiB: 30_000 },
];
const inventories: Inventory[] = [
  node(gpu(0), gpu(1, { mig: ["1g.10gb", "1g.10gb", "1g.10gb"] })),
  node(gpu(1, { mig: ["1g.10gb", "1g.10gb", "1g.10gb"] })),
  node(gpu(0, { quarantined: "Xid 79" }), gpu(1, { mig: ["3g.40gb"] })),
];

/** What a failed turn must leave as it was. Left out: the next token, which only grows, and the index, made from these. */
export function remembered({ nextToken: _, index: __, ...rest }: LedgerState) {
  return structuredClone(rest);
}

/** How the ledger would answer: what is looked up by its index. */
function answers(state: LedgerState, ctx: Ctx) {
  return asks.map((ask) => reserve(state, { ...ctx, newId: () => "g" }, { user: "dave", ask, purpose: "" }));
}

export class TurnsNode {
  readonly folder = mkdtempSync(join(tmpdir(), "berth-turns-"));
  readonly state = createState(inventories[0] as Inventory);
  /** Turns that failed, and those of them that had changed a grant. */
  readonly failed = { turns: 0, ofGrants: 0 };
  store = this.open();
  private now = 1_700_000_000_000;
  private ids = 0;
  private fate: Step["commit"] = "good";
  private before = { state: remembered(this.state), nextToken: this.state.nextToken };
  private last: LedgerTurn | undefined;
  private readonly queue = new Queue(() => void this.writer.submit(() => ({ ok: true, value: undefined })));
  /** Numbers of the lines in the event log. */
  readonly lines: number[] = [];
  readonly wrong: string[] = [];

  private readonly writer = new Writer<LedgerTurn>({
    store: {
      commit: (batch) => this.commit(batch),
      checkpoint: () => undefined,
    },
    log: { append: (lines) => this.lines.push(...lines.map(({ seq }) => seq)), written: 0 },
    nextEvent: 1,
    turn: (nextEvent) => {
      this.before = { state: remembered(this.state), nextToken: this.state.nextToken };
      this.last = new LedgerTurn(this.state, this.ctx, nextEvent);
      return this.last;
    },
    nextToken: () => this.state.nextToken,
    afterCommands: (turn) => this.queue.admit(turn),
    onTrouble: () => this.undone(),
    onRecovered: () => {},
  });

  private readonly input = new LedgerInput({
    writer: this.writer,
    queue: this.queue,
    touch: () => {},
    state: this.state,
    log: pino({ level: "silent" }),
  });

  private readonly reservations = new Reservations({
    writer: this.writer,
    queue: this.queue,
    answered: { find: (...args) => this.store.tables.answered.find(...args) },
    grant: (id) => this.state.grants.get(id) ?? this.store.tables.grants.get(id),
    release: (id, reason, force) =>
      this.writer.submit((turn) => turn.take(release(turn.state, turn.ctx, id, reason, force))),
    newId: () => `q${++this.ids}`,
    now: () => this.now,
  });

  private get ctx(): Ctx {
    return {
      now: this.now,
      newId: () => `g${++this.ids}`,
      wasGiven: (id, token) => this.store.tables.grants.has(id, token),
      wasDeclared: (key) => this.store.tables.grants.hadKey(key),
      limitsOf: (user) => limits(user, { gpu_hold_after_stop: user === "alice" ? 0 : 900 }),
      strategy: "least-allocated",
      allowShared: true,
    };
  }

  private open(): Store {
    return Store.open({ file: join(this.folder, "ledger.db"), now: 1_700_000_000_000 });
  }

  private commit(batch: Batch): void {
    if (this.fate === "fails") throw new StoreError("full", "no room");
    // A row that the database refuses, after all the others.
    const token = { id: "late", hash: "late", role: "admin" as const, createdAt: undefined as never };
    const late = { table: "tokens" as const, row: { ...token, hash: null as never } };
    this.store.commit(this.fate === "late" ? { ...batch, puts: [...batch.puts, late] } : batch);
  }

  /** A turn was taken back. */
  private undone(): void {
    this.failed.turns++;
    if (this.last?.rowsOf("grants").length) this.failed.ofGrants++;
    this.same("the state", remembered(this.state), this.before.state);
    if (this.state.nextToken < this.before.nextToken) this.wrong.push("a token may be given twice");
  }

  private same(what: string, a: unknown, b: unknown): void {
    const [found, wanted] = [a, b].map((value) => JSON.stringify(value, sorted));
    if (found !== wanted) this.wrong.push(`${what} is ${found}, not ${wanted}`);
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const { commands, commit } of steps) {
      this.fate = commit;
      const answered = commands.map((command) => this.command(command));
      await this.writer.drained();
      // What waits in the queue is not awaited.
      await Promise.race([Promise.all(answered), new Promise((resolve) => setImmediate(resolve))]);
      this.fate = "good";
      this.agrees();
    }
  }

  /** Memory and disk say the same, and so do the state and one that is made anew from its grants. */
  private agrees(): void {
    const live = [...this.state.grants.values()].sort((a, b) => a.token - b.token);
    this.same("the database", this.store.tables.grants.live(), live);
    const anew = createState(this.state.inventory, live, {
      nextToken: this.state.nextToken,
      closed: this.state.closed,
    });
    this.same("an answer", answers(this.state, this.ctx), answers(anew, this.ctx));
    for (const key of this.state.undeclared) {
      const dropped = live.some((grant) => grant.key === key && grant.dropped);
      if (!dropped && !this.store.tables.grants.hadKey(key)) this.wrong.push(`${key} was never dropped`);
    }
    // None is left out, and none is there twice.
    this.same(
      "the event log",
      this.lines,
      this.lines.map((_, at) => at + 1),
    );
  }

  private command([what, a, b]: Command): Promise<unknown> {
    const user = pick(users, a) as string;
    const ask = pick(asks, b) as Ask;
    const grant = pick([...this.state.grants.values()], a);
    const container = grant?.container ?? `c${b % 4}`;
    switch (what % 13) {
      case 0:
      case 1:
        return this.reservations.reserve({ user, ask, purpose: "job" });
      case 2:
        return this.reservations.reserve({ user, ask, purpose: "job", idempotencyKey: `k${b % 5}` });
      case 3:
        return this.reservations.reserve({ user, ask, purpose: "waits", waitSeconds: 3600 });
      case 4:
        if (!grant) return Promise.resolve();
        return this.input.bind({ id: grant.id, token: grant.token, container: `c${b % 4}` }, "somebody");
      case 5:
        return this.writer.submit((turn) =>
          turn.take(release(turn.state, turn.ctx, grant?.id ?? "none", "asked for", b % 2 === 0)),
        );
      case 6:
      case 7: {
        // Some of the keys, so that those of an earlier turn are dropped.
        const declared = users.flatMap((each, at): DeclaredGrant[] =>
          ((a >> at) & 1) === 0 ? [] : [{ key: `workspace/${each}`, user: each, ask }],
        );
        return this.writer.submit((turn) => turn.take(applyDeclared(turn.state, turn.ctx, { declared })));
      }
      case 8: {
        const labels = b % 3 === 0 ? { grant: `workspace/${user}` } : labelsOf(grant);
        const units = b % 3 === 0 ? [`MIG-1-${a % 3}`] : (grant?.units.map(({ uuid }) => uuid) ?? ["GPU-0"]);
        const seen = { container: `c${b % 4}`, name: "c", user, units, running: true, ...labels };
        return this.input.event({ kind: "started", container: seen.container, seen });
      }
      case 9:
        return b % 2 === 0 ? this.input.stopped(container) : this.input.gone(container);
      case 10: {
        const inventory = pick(inventories, a) as Inventory;
        return this.input.inventoryChanged({ inventory, readAt: this.now });
      }
      case 11: {
        const token = { id: `t${a % 3}`, hash: `hash-${a % 3}`, role: "service" as const, createdAt: b };
        return this.writer.submit((turn) => {
          turn.put("tokens", token);
          turn.emit({ event: "token-made", message: "a token" });
          return { ok: true, value: undefined };
        });
      }
      default:
        this.now += (a % 1200) * 1000;
        if (a % 7 === 0) this.state.closed = "nvidia-smi did not answer";
        else delete this.state.closed;
        return this.input.tick();
    }
  }

  /** What a start reads from the file. */
  reopened(): { live: Grant[]; nextToken: number; nextEvent: number } {
    this.store.close();
    this.store = this.open();
    return this.store.loaded;
  }

  close(): void {
    this.queue.endAll({ code: "closed", message: "the end" });
    this.writer.close();
    this.store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function labelsOf(grant: Grant | undefined): { grant?: string; token?: number } {
  if (!grant) return {};
  return grant.key === undefined ? { grant: grant.id, token: grant.token } : { grant: grant.key };
}

/** Maps, sets and objects as JSON, whatever the order in which they were filled. */
function sorted(_key: string, value: unknown): unknown {
  if (value instanceof Map) return [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  if (value instanceof Set) return [...value].sort();
  return value;
}

function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % items.length];
}
