/** Brings the manager's rows and Docker's containers to agree, after a berthd that was killed or a dockerd that was away. */
import { SYSTEM } from "../../../core/containers";
import type { Result } from "../../../core/gpu";
import { isManagedCreation } from "../../../core/names";
import type { ContainerRecord, Containers, Creator, Log } from "../containers";
import type { Engine } from "../docker";
import type { Operations } from "../operations";
import type { Rebuilding } from "../store";
import type { Book, ManagedRow, WriteTurn } from "./book";
import { reached } from "./faults";
import type { FormerTenants } from "./former";
import { answer } from "./key";
import type { Maker } from "./maker";
import type { Logs } from "./ports";

export interface RecoverOptions {
  book: Book;
  maker: Maker;
  write<T>(decide: (turn: WriteTurn) => Result<T>): Promise<Result<T>>;
  creator: Pick<Creator, "recover" | "remove">;
  containers: Pick<Containers, "current" | "list" | "get" | "tell">;
  engine: Pick<Engine, "inspect" | "stop">;
  operations: Pick<Operations, "has">;
  isTenant(name: string): boolean;
  /** Undefined: the node has no manager. */
  config(): object | undefined;
  /** The ledger was lost, and not all is found yet: rows may be missing that containers had. Left out: it was not. */
  rebuilding?: Rebuilding;
  logs?: Pick<Logs, "ownerOf">;
  former?: Pick<FormerTenants, "leaves">;
  log: Log;
}

/** Between TERM and KILL, of what a tenant has. */
export const STOP_SECONDS = 10;

/** @throws Error with all that could not be done; the rest is */
export async function recoverManaged(options: RecoverOptions): Promise<void> {
  const { book, containers, creator } = options;
  const problems: string[] = [];
  const note = (error: unknown) => problems.push(error instanceof Error ? error.message : String(error));
  await creator.recover().catch(note);
  await containers.current();
  for (const row of book.all()) await settle(options, row).catch(note);
  for (const record of orphans(options)) await adopt(options, record).catch(note);
  if (options.rebuilding !== undefined) await rememberKeys(options).catch(note);
  if (problems.length > 0) throw new Error(problems.join("; "));
}

async function settle(options: RecoverOptions, row: ManagedRow): Promise<void> {
  const { book, maker, isTenant, former } = options;
  const { id, owner, state } = row;
  if (maker.isAt(id) || book.get(id) !== row || former?.leaves(owner ?? "")) return;
  if (state === "leaving") return done(await maker.dispose(id));
  if (state === "making") return settleMaking(options, row);
  await settleGone(options, row);
  if (owner !== undefined && !isTenant(owner)) await standStill(options, row);
}

/** Of a tenant that the stack names no more, and does not say of that all it has may go: it may have been taken out by mistake. */
async function standStill(
  { containers, engine, log }: RecoverOptions,
  { id, owner, container = "" }: ManagedRow,
): Promise<void> {
  if (containers.get(container)?.runs !== true) return;
  await engine.stop(container, STOP_SECONDS);
  await containers.tell(container);
  log.warn(
    { managed: id, owner },
    "a container of a tenant that the stack names no more was stopped; it stays",
  );
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

/** Where the ledger was lost, a tenant keeps what is theirs; what nobody has is taken away. */
async function adopt(options: RecoverOptions, record: ContainerRecord): Promise<void> {
  const { creator, log, rebuilding } = options;
  const { id, owner: labelled = "", creation = "", state } = record;
  const mayBeTheirs = rebuilding !== undefined && state !== "created";
  const owner = mayBeTheirs ? ownerOf(options, record) : undefined;
  if (owner !== undefined) return found(options, record, owner);
  // With the whole copy of the ledger at hand it is one that stood ready; without it, nobody can tell.
  if (mayBeTheirs && rebuilding === "labels" && labelled === SYSTEM)
    throw new Error(maySomebodyHave(creation));
  const gone = await creator.remove(id, { actor: "manager" });
  if (!gone.ok && gone.refusal.code !== "not-found") throw new Error(gone.refusal.message);
  log.info({ managed: creation, container: id }, "a container that nobody has was removed");
}

/** By its label; of one that was claimed, whose label is of before, by its log. Be it of a tenant that the stack names no more. */
const ownerOf = ({ logs }: RecoverOptions, { owner, creation = "" }: ContainerRecord): string | undefined =>
  owner === SYSTEM ? logs?.ownerOf(creation) : owner;

const maySomebodyHave = (creation: string) =>
  `container ${creation} was made for a pool, and may be a tenant's since: the ledger is lost, and its copy is too, or a part of it. It is left as it is; look into it, and remove it if nobody needs it: berth container remove`;

async function found({ book, write }: RecoverOptions, record: ContainerRecord, owner: string): Promise<void> {
  reached("manager:before-adopt");
  const row = rowOf(record, owner);
  done(
    await write((turn) => {
      book.put(turn, row);
      turn.log("managed-found", { managed: row.id, owner, container: record.id });
      return { ok: true, value: row };
    }),
  );
  reached("manager:after-adopt");
}

/** Requests that are sent again are still known by their keys. */
async function rememberKeys({ book, write }: RecoverOptions): Promise<void> {
  const asked = book.all().flatMap(({ id, key, claimedAt, createdAt }) => {
    const { account = "", key: name = "", fingerprint } = key ?? {};
    return fingerprint === undefined
      ? []
      : [{ id, key: { account, key: name, fingerprint }, at: claimedAt ?? createdAt }];
  });
  if (asked.length === 0) return;
  done(
    await write((turn) => {
      for (const { id, key, at } of asked) answer(turn, key, id, at);
      return { ok: true, value: undefined };
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
  ...{ pids: 0, diskMiB: 0, gpus: record.usesGpus, pooled: record.owner === SYSTEM },
  createdAt: record.createdAt,
});

function done(result: Result<unknown>): void {
  if (!result.ok && result.refusal.code !== "not-found") throw new Error(result.refusal.message);
}
