/** Brings half-done operations to an end: what runs is bound, what never ran is taken away, what is not there is given back. */
import { z } from "zod";
import { claim } from "../../../core/containers";
import type { Grant, Refusal, Result } from "../../../core/gpu";
import { type Engine, type Inspect, short } from "../docker";
import { type Operation, UNDO } from "../operations";
import { mapLimit } from "../waiting";
import type { Log } from "./log";
import type { Containers } from "./observe";
import type { Ledger } from "./options";
import type { ContainerRecord } from "./record";
import { textOf } from "./refusals";
import { DEFAULT_STOP_SECONDS } from "./spec";

/** Removals at a time: each may take as long as its container has between TERM and KILL. */
const PARALLEL = 4;

export interface RecoverOptions {
  engine: Engine;
  containers: Containers;
  ledger: Ledger;
  log: Log;
  /** Removes a container, and returns when nothing of it is left. */
  takeAway(id: string): Promise<void>;
}

/** The idempotency key under which a creation asks the ledger for its GPUs. */
export const grantKey = (creation: string): string => `create ${creation}`;

const creationBody = z.object({
  /** The container's. */
  name: z.string(),
  /** Whoever asked: keys belong to an actor. */
  actor: z.string(),
  /** The user's grant that it was to use; left out: it asked for one, or for none. */
  grant: z.string().optional(),
});
const removalBody = z.object({ container: z.string() });

/** Each step may be cut off and done again. @throws Error when dockerd or the ledger cannot do it now */
export async function recoverCreation(options: RecoverOptions, operation: Operation): Promise<void> {
  const { containers, engine, ledger, log, takeAway } = options;
  const { id: creation, step } = operation;
  const { name, actor, grant: own } = creationBody.parse(operation.body);
  const seen = containers.list(operation.owner).find((one) => one.creation === creation);
  // dockerd may have made it since it was looked at; another container may have the name.
  const found = await engine.inspect(seen?.id ?? name);
  const container = claim(found?.Config?.Labels).creation === creation ? found : undefined;
  const grant = own === undefined ? ledger.grantOf(actor, grantKey(creation)) : ledger.grant(own);
  const live = grant?.state === "released" ? undefined : grant;
  const began = container !== undefined && container.State.Status !== "created";
  if (began && step !== UNDO) {
    if (live === undefined || (await bound(options, container, live, own !== undefined))) {
      await containers.tell(container.Id);
      log.info({ creation, container: short(container.Id) }, "a creation that was cut off is whole");
    }
    return;
  }
  // Docker may have forgotten it while a process of it lives on: `takeAway` waits for its end.
  const made = container?.Id ?? seen?.id ?? (await goneHolder(engine, live));
  if (made !== undefined) await takeAway(made);
  if (live !== undefined)
    await backFromCutOff(options, { id: live.id, own: own !== undefined, container: made });
  log.info({ creation, name }, "a creation that was cut off was taken back");
}

/** The container that has the grant, where Docker has none such: whichever creation made it, nobody starts it any more. */
async function goneHolder(engine: Engine, grant: Grant | undefined): Promise<string | undefined> {
  const holder = grant?.container;
  if (holder === undefined || (await engine.inspect(holder)) !== undefined) return undefined;
  return holder;
}

/**
 * A removal that was cut off is carried out. One whose caller was told that it failed is not, but where its container went all the
 * same the grant is over.
 */
export async function recoverRemoval(options: RecoverOptions, operation: Operation): Promise<void> {
  const { engine, ledger, log, takeAway } = options;
  const { container } = removalBody.parse(operation.body);
  const found = await engine.inspect(container);
  if (found !== undefined) {
    if (operation.step === UNDO) return;
    await engine.stop(container, found.Config?.StopTimeout ?? DEFAULT_STOP_SECONDS);
  }
  // Also where Docker has none such: a process of it may live on.
  await takeAway(container);
  const gone = await ledger.containerGone(container);
  if (!gone.ok) throw new Error(gone.refusal.message);
  log.info({ container: short(container) }, "a removal that was cut off was carried out");
}

/**
 * Takes away containers that were created and never started, and that no operation stands for: dockerd made them after
 * their creation was given up.
 *
 * @throws Error with all that could not be done; the rest is.
 */
export async function takeAwayUnstarted(
  options: RecoverOptions & {
    /** Whether this berthd is at it. */
    underWay(creation: string): boolean;
  },
): Promise<void> {
  const { containers, engine, log, takeAway, underWay } = options;
  const problems: string[] = [];
  for (const { id, creation, state } of containers.list()) {
    if (creation === undefined || state !== "created" || underWay(creation)) continue;
    try {
      const found = await engine.inspect(id);
      // Looked at again: a creation may have begun, or it may have been started, since it was seen.
      if (found === undefined || found.State.Status !== "created" || underWay(creation)) continue;
      await takeAway(id);
      log.info({ container: short(id), creation }, "a container that was never started was removed");
    } catch (error) {
      problems.push(`container ${short(id)}: ${textOf(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/**
 * Removes what berthd made for those who are no users of the node any more; nobody else would, and it has their GPUs.
 *
 * @throws Error with all that could not be done; the rest is.
 */
export async function removeOfThoseWhoLeft(
  options: Pick<RecoverOptions, "containers" | "log"> & {
    isUser(name: string): boolean;
    isManaged?(creation: string): boolean;
    underWay(creation: string): boolean;
    /** As its owner would. */
    remove(record: ContainerRecord): Promise<Result<{ id: string }>>;
  },
): Promise<void> {
  const { containers, isUser, isManaged, log, remove, underWay } = options;
  const left = containers.list().filter(({ creation, owner }) => {
    if (creation === undefined || owner === undefined || isManaged?.(creation)) return false;
    return !isUser(owner) && !underWay(creation);
  });
  const problems = await mapLimit(left, PARALLEL, async (record): Promise<string[]> => {
    const { id, owner } = record;
    const failed = (why: string) => [`container ${short(id)} of ${owner}, who left: ${why}`];
    try {
      const gone = await remove(record);
      if (!gone.ok && gone.refusal.code !== "not-found") return failed(gone.refusal.message);
      log.info({ container: short(id), user: owner }, "a container of somebody who left was removed");
      return [];
    } catch (error) {
      return failed(textOf(error));
    }
  });
  if (problems.flat().length > 0) throw new Error(problems.flat().join("; "));
}

/** False: it was not its grant's any more, and has been taken away. */
async function bound(
  options: RecoverOptions,
  container: Inspect,
  grant: Grant,
  own: boolean,
): Promise<boolean> {
  const { containers, ledger, log, takeAway } = options;
  if (grant.container === container.Id) return true;
  const { token } = claim(container.Config?.Labels);
  await containers.settled();
  const result = await ledger.bind({ id: grant.id, token: token ?? 0, container: container.Id });
  if (result.ok) return true;
  if (result.refusal.code === "closed") throw new Error(result.refusal.message);
  log.warn(
    { container: short(container.Id), reason: result.refusal.message },
    "a created container has no grant",
  );
  await takeAway(container.Id);
  await backFromCutOff(options, { id: grant.id, own, container: container.Id });
  return false;
}

async function backFromCutOff({ ledger }: RecoverOptions, grant: GrantBack): Promise<void> {
  const refusal = await giveBack(ledger, grant, "its creation was cut off");
  if (refusal !== undefined) throw new Error(refusal.message);
}

/** A grant that a creation has, and that its container does not come to have. */
interface GrantBack {
  id: string;
  /** Its user asked for it before: it stays theirs. */
  own: boolean;
  /** May have it, and is gone; left out: none was made. */
  container?: string;
}

/**
 * Undefined: done. A grant that is over already is what is wanted, and one that another container has by now is that one's.
 *
 * @param why for its history
 */
export async function giveBack(
  ledger: Pick<Ledger, "releaseOf" | "unbind">,
  { id, own, container }: GrantBack,
  why: string,
): Promise<Refusal | undefined> {
  if (own && container === undefined) return undefined;
  const back =
    own && container !== undefined
      ? await ledger.unbind({ id, container })
      : await ledger.releaseOf({ id, ...(container === undefined ? {} : { container }) }, why);
  return back.ok || ["not-found", "conflict"].includes(back.refusal.code) ? undefined : back.refusal;
}
