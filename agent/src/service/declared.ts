import {
  type Assignment,
  applyDeclared,
  type DeclaredGrant,
  type Grant,
  type Result,
} from "../../../core/gpu";
import type { Logger } from "../log";
import type { LedgerWriter } from "./ledger-turn";
import type { ContainersPort } from "./ports";
import type { DeclaredView } from "./types";

/**
 * Milliseconds that the stack waits for GPUs that were divided anew a moment ago, by a stage of the same `up`: two
 * readings, of which each mostly takes a second or two.
 */
const busyFor = 30_000;
const busyEvery = 100;
/** Seconds that a container of a dropped grant gets to end, where somebody else was promised its GPU. */
const stopWithin = 30;

export interface DeclaredContext {
  writer: LedgerWriter;
  /** Whether nothing can be granted for the moment. */
  busy(): boolean;
  containers: ContainersPort;
  stopped(container: string): Promise<Result<Grant[]>>;
  log: Logger;
}

/** Waits while `busy`, and not for ever: whoever asked is told then what is wrong. */
export async function whileBusy(busy: () => boolean): Promise<void> {
  const end = Date.now() + busyFor;
  while (busy() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, busyEvery));
}

/**
 * Commits the declared grants: exactly `expect`, or nothing. Where a unit that somebody is to have is still in a
 * container of a grant that the stack dropped, that container is stopped first.
 */
export async function commitDeclared(
  { writer, busy, containers, stopped, log }: DeclaredContext,
  declared: readonly DeclaredGrant[],
  expect?: Assignment,
  by?: string,
): Promise<Result<DeclaredView>> {
  await whileBusy(busy);
  let holders: Grant[] = [];
  const result = await writer.submit((turn) => {
    const decided = turn.take(applyDeclared(turn.state, turn.ctx, { declared, expect }), by);
    if (!decided.ok) return decided;
    const needed = new Set(decided.value.waits.flatMap(({ units }) => units.map((unit) => unit.uuid)));
    holders = [...turn.state.grants.values()].filter(
      (grant) =>
        grant.dropped && grant.container !== undefined && grant.units.some(({ uuid }) => needed.has(uuid)),
    );
    return decided;
  });
  if (!result.ok || holders.length === 0) return result;
  const left = await Promise.all(
    holders.map(async (grant) => {
      const container = grant.container as string;
      try {
        log.info(
          { grant: grant.id, key: grant.key, container },
          "stopping a container whose grant the stack dropped",
        );
        await containers.stop(container, stopWithin);
        if (await containers.alive(container))
          return `${grant.key ?? grant.id}: container ${container} still runs`;
        const done = await stopped(container);
        return done.ok ? undefined : `${grant.key ?? grant.id}: ${done.refusal.message}`;
      } catch (error) {
        return `${grant.key ?? grant.id}: container ${container} could not be stopped: ${(error as Error).message}`;
      }
    }),
  );
  const failed = left.filter((why) => why !== undefined);
  if (failed.length === 0) return { ok: true, value: { ...result.value, waits: [] } };
  return {
    ok: false,
    refusal: {
      code: "conflict",
      message: `The grants are written down, but units are still in use: ${failed.join("; ")}. Their new holders cannot start until those containers are gone.`,
      fix: "Stop them on the node, then run up again.",
    },
  };
}
