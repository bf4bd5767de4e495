/** Brings half-done creations to an end: what runs is bound, what never ran is taken away, what is not there is given back. */
import { claim } from "../../../core/containers";
import type { Grant } from "../../../core/gpu";
import type { Ledger } from "./create";
import { type Engine, short } from "./engine";
import type { Journal, JournalEntry } from "./journal";
import type { Containers, Log } from "./observe";
import type { Inspect } from "./shapes";

export interface RecoverOptions {
  engine: Engine;
  containers: Containers;
  ledger: Ledger;
  journal: Journal;
  log: Log;
  /** Whether this berthd is at it. */
  underWay(creation: string): boolean;
  /** Removes a container, and returns when nothing of it is left. */
  takeAway(id: string): Promise<void>;
}

/**
 * Each step may be cut off and done again: the note of a creation goes last.
 *
 * @throws Error with all that could not be done; the rest is.
 */
export async function recover(options: RecoverOptions): Promise<void> {
  const { containers, journal, log, underWay } = options;
  await containers.current();
  const entries = journal
    .read((file) => log.warn({ file }, "a note of a creation was damaged; what it reserved ends by itself"))
    .filter(({ creation }) => !underWay(creation));
  const made = new Map(
    containers.list().flatMap((one) => (one.creation === undefined ? [] : [[one.creation, one] as const])),
  );
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  for (const entry of entries) {
    const container = made.get(entry.creation)?.id;
    made.delete(entry.creation);
    await attempt(`creation ${entry.creation}`, () => finish(options, entry, container));
  }
  for (const [creation, container] of made) {
    // Without a note: dockerd made it after its creation was given up.
    if (container.state !== "created" || underWay(creation)) continue;
    await attempt(`container ${short(container.id)}`, () =>
      takeAwayUnstarted(options, container.id, creation),
    );
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

async function finish(options: RecoverOptions, entry: JournalEntry, seen: string | undefined): Promise<void> {
  const { containers, engine, journal, ledger, log, takeAway } = options;
  // dockerd may have made it since it was looked at.
  const found = await engine.inspect(seen ?? entry.name);
  // Another container may have the name.
  const container = claim(found?.Config?.Labels).creation === entry.creation ? found : undefined;
  const grant = ledger.grants({ user: entry.user }).find(({ purpose }) => purpose === entry.purpose);
  const began = container !== undefined && container.State.Status !== "created";
  if (began && entry.abandoned === undefined) {
    if (grant === undefined || (await bound(options, container, grant))) {
      await containers.tell(container.Id);
      log.info(
        { creation: entry.creation, container: short(container.Id) },
        "a creation that was cut off is whole",
      );
    }
  } else {
    if (container !== undefined) await takeAway(container.Id);
    if (grant !== undefined) await giveBack(options, grant);
    log.info({ creation: entry.creation, name: entry.name }, "a creation that was cut off was taken back");
  }
  journal.remove(entry.creation);
}

/** False: it was not its grant's any more, and has been taken away. */
async function bound(options: RecoverOptions, container: Inspect, grant: Grant): Promise<boolean> {
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
  await giveBack(options, grant);
  return false;
}

async function giveBack({ ledger }: RecoverOptions, grant: Grant): Promise<void> {
  const released = await ledger.release(grant.id, "its creation was cut off", true);
  if (!released.ok && released.refusal.code !== "not-found") throw new Error(released.refusal.message);
}

async function takeAwayUnstarted(options: RecoverOptions, id: string, creation: string): Promise<void> {
  const found = await options.engine.inspect(id);
  // Looked at again: a creation may have begun, or it may have been started, since the list was made.
  if (found === undefined || found.State.Status !== "created" || options.underWay(creation)) return;
  await options.takeAway(id);
  const labels = claim(found.Config?.Labels);
  const grant = labels.grant === undefined ? undefined : options.ledger.grant(labels.grant);
  if (grant !== undefined && grant.token === labels.token && grant.state === "reserved")
    await giveBack(options, grant);
  options.log.info({ container: short(id), creation }, "a container that was never started was removed");
}
