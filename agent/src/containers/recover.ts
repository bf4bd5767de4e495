/** Brings half-done operations to an end: what runs is bound, what never ran is taken away, what is not there is given back. */
import { z } from "zod";
import { claim } from "../../../core/containers";
import type { Grant, Refusal } from "../../../core/gpu";
import { type Engine, type Inspect, short } from "../docker";
import { type Operation, UNDO } from "../operations";
import type { Containers, Log } from "./observe";
import type { Ledger } from "./options";
import { DEFAULT_STOP_SECONDS } from "./spec";

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
  if (container !== undefined) await takeAway(container.Id);
  if (live !== undefined)
    await backFromCutOff(options, { id: live.id, own: own !== undefined, container: container?.Id });
  log.info({ creation, name }, "a creation that was cut off was taken back");
}

/** A removal that was cut off is carried out. One whose caller was told that it failed is not. */
export async function recoverRemoval(options: RecoverOptions, operation: Operation): Promise<void> {
  const { engine, ledger, log, takeAway } = options;
  if (operation.step === UNDO) return;
  const { container } = removalBody.parse(operation.body);
  const found = await engine.inspect(container);
  if (found !== undefined) {
    await engine.stop(container, found.Config?.StopTimeout ?? DEFAULT_STOP_SECONDS);
    await takeAway(container);
  }
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
      problems.push(`container ${short(id)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
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
