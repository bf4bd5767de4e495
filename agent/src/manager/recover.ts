/** Brings the manager's rows and Docker's containers to agree, after a berthd that was killed or a dockerd that was away. */
import type { Result } from "../../../core/gpu";
import { isManagedCreation } from "../../../core/names";
import type { ContainerRecord, Containers, Creator, Log } from "../containers";
import type { Engine } from "../docker";
import type { Operations } from "../operations";
import type { Book, ManagedRow, WriteTurn } from "./book";
import type { Maker } from "./maker";

export interface RecoverOptions {
  book: Book;
  maker: Maker;
  write<T>(decide: (turn: WriteTurn) => Result<T>): Promise<Result<T>>;
  creator: Pick<Creator, "recover" | "remove">;
  containers: Pick<Containers, "current" | "list" | "get">;
  engine: Pick<Engine, "inspect">;
  operations: Pick<Operations, "has">;
  isTenant(name: string): boolean;
  /** Undefined: the node has no manager. */
  config(): object | undefined;
  /** The ledger was lost before this berthd began: rows are missing that containers had. */
  lost: boolean;
  log: Log;
}

/** @throws Error with all that could not be done; the rest is */
export async function recoverManaged(options: RecoverOptions): Promise<void> {
  const { book, containers, creator } = options;
  const problems: string[] = [];
  const note = (error: unknown) => problems.push(error instanceof Error ? error.message : String(error));
  await creator.recover().catch(note);
  await containers.current();
  for (const row of book.all()) await settle(options, row).catch(note);
  for (const record of orphans(options)) await adopt(options, record).catch(note);
  if (problems.length > 0) throw new Error(problems.join("; "));
}

async function settle(options: RecoverOptions, row: ManagedRow): Promise<void> {
  const { book, maker, isTenant } = options;
  const { id, owner, state } = row;
  if (maker.isAt(id) || book.get(id) !== row) return;
  if (state === "leaving" || (owner !== undefined && !isTenant(owner))) return done(await maker.dispose(id));
  if (state === "making") return settleMaking(options, row);
  return settleGone(options, row);
}

/** Nobody makes it any more: what runs is whole, and what is not there was never made. */
async function settleMaking(
  { containers, maker, operations, log }: RecoverOptions,
  row: ManagedRow,
): Promise<void> {
  const { id, owner } = row;
  // The creator has not brought its part to an end yet.
  if (operations.has(id)) return;
  const record = containers.list().find(({ creation }) => creation === id);
  if (record === undefined || record.state === "created") {
    done(await maker.forget(id, "its making was cut off"));
    return;
  }
  const state = owner === undefined ? ("warming" as const) : ("ready" as const);
  const made = { state, container: record.id };
  done(await maker.change(id, (now, turn) => ({ ...now, ...made, ranAt: record.startedAt ?? turn.now })));
  log.info({ managed: id, container: record.id }, "a container whose making was cut off is whole");
}

/** Somebody took its container away. */
async function settleGone(
  { containers, engine, maker, log }: RecoverOptions,
  row: ManagedRow,
): Promise<void> {
  const { id, container = "" } = row;
  if (containers.get(container) !== undefined || (await engine.inspect(container)) !== undefined) return;
  if (maker.isAt(id)) return;
  done(await maker.forget(id));
  log.warn({ managed: id, container }, "a container was removed by somebody else");
}

/** Containers of the manager's that no row stands for. */
function orphans({ config, containers, book, maker, operations }: RecoverOptions): ContainerRecord[] {
  if (config() === undefined) return [];
  return containers.list().filter(({ creation }) => {
    if (creation === undefined || !isManagedCreation(creation)) return false;
    return book.get(creation) === undefined && !maker.isAt(creation) && !operations.has(creation);
  });
}

/** Where the ledger was lost, a tenant keeps what its label says is theirs; what nobody has is taken away. */
async function adopt(options: RecoverOptions, record: ContainerRecord): Promise<void> {
  const { book, creator, isTenant, log, lost, write } = options;
  const { id, owner, creation = "", state } = record;
  if (!lost || owner === undefined || !isTenant(owner) || state === "created") {
    const gone = await creator.remove(id, { actor: "manager" });
    if (!gone.ok && gone.refusal.code !== "not-found") throw new Error(gone.refusal.message);
    log.info({ managed: creation, container: id }, "a container that nobody has was removed");
    return;
  }
  done(
    await write((turn) => {
      const row = rowOf(record, owner);
      book.put(turn, row);
      turn.log("managed-found", { managed: creation, owner, container: id });
      return { ok: true, value: row };
    }),
  );
}

const rowOf = (record: ContainerRecord, owner: string): ManagedRow => ({
  id: record.creation ?? "",
  owner,
  name: record.creation ?? "",
  state: "ready",
  container: record.id,
  image: record.image,
  ports: record.ports.map(({ container, host, protocol }) => ({
    ...{ container, host, protocol: protocol === "udp" ? ("udp" as const) : ("tcp" as const) },
  })),
  memoryMiB: Math.ceil((record.memory ?? 0) / 2 ** 20),
  cpus: record.cpus ?? 0,
  ...{ pids: 0, diskMiB: 0, gpus: record.usesGpus, pooled: false },
  createdAt: record.createdAt,
});

function done(result: Result<unknown>): void {
  if (!result.ok && result.refusal.code !== "not-found") throw new Error(result.refusal.message);
}
