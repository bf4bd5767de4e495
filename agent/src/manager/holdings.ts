/** What tenants have of the manager's own, as it is removed when one has left. */
import type { ManagedRow, Store } from "../store";
import type { Book, WriteTurn } from "./book";
import type { Holding } from "./former";
import { accountOf } from "./key";
import type { Maker } from "./maker";
import type { Volumes } from "./volumes";

interface HoldingsOptions {
  book: Book;
  maker: Pick<Maker, "dispose">;
  volumes: Volumes;
  answered: Pick<Store["tables"]["answered"], "of" | "actors">;
  /** Milliseconds since the epoch. */
  now(): number;
  write(decide: (turn: WriteTurn) => { ok: true; value: undefined }): Promise<{ ok: boolean }>;
}

export const holdingsOf = (options: HoldingsOptions): Record<"containers" | "volumes" | "keys", Holding> => ({
  containers: {
    owners: () => options.book.all().flatMap(({ owner }) => owner ?? []),
    removeOf: (owner) => removeContainers(options, owner),
  },
  volumes: options.volumes,
  keys: { owners: () => ownersOfKeys(options), removeOf: (owner) => forgetKeys(options, owner) },
});

function ownersOfKeys({ answered, now }: HoldingsOptions): string[] {
  const prefix = accountOf("");
  return answered.actors(prefix, now()).map((actor) => actor.slice(prefix.length));
}

async function removeContainers({ book, maker }: HoldingsOptions, owner: string): Promise<void> {
  const problems: string[] = [];
  await Promise.all(
    book.of(owner).map(async ({ id }: ManagedRow) => {
      const gone = await maker.dispose(id).catch((error: Error) => ({ ok: false, refusal: error }) as const);
      if (!gone.ok && book.get(id) !== undefined) problems.push(gone.refusal.message);
    }),
  );
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/** Whoever has the name later may use the same keys for other requests. */
async function forgetKeys({ answered, write }: HoldingsOptions, owner: string): Promise<void> {
  const rows = answered.of(accountOf(owner));
  if (rows.length === 0) return;
  const done = await write((turn) => {
    for (const row of rows) turn.put("answered", { ...row, at: 0 });
    return { ok: true, value: undefined };
  });
  if (!done.ok) throw new Error("idempotency keys could not be forgotten");
}
