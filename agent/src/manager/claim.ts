/** One that stood ready is a tenant's from now on. */
import { type Result, refuse } from "../../../core/gpu";
import type { Book, ManagedRow, WriteTurn } from "./book";
import { answer } from "./key";
import type { Whose } from "./maker";
import { hasLeft } from "./refusals";
import type { Wanted } from "./request";
import { mayHave } from "./share";

/** @param most containers of one tenant */
export function handOut(
  turn: WriteTurn,
  row: ManagedRow,
  { name, env, pool }: Wanted,
  { owner, key, actor, may }: Whose & { owner: string },
  { book, most }: { book: Book; most?: number },
): Result<ManagedRow> {
  if (may?.() === false) return refuse(hasLeft(owner));
  const room = mayHave(book, owner, env, most);
  if (!room.ok) return room;
  const { id, container, template } = row;
  const claimed: ManagedRow = {
    ...row,
    ...{ owner, name: name ?? id, claimedAt: turn.now },
    ...(env !== undefined && { env }),
    ...(pool && { pool }),
    ...(key !== undefined && { key: { ...key } }),
  };
  book.put(turn, claimed);
  if (key !== undefined) answer(turn, key, id);
  turn.log("managed-claimed", { managed: id, owner, container, template, by: actor });
  return { ok: true, value: claimed };
}
