import {
  type Assignment,
  applyDeclared,
  type Ctx,
  type DeclaredGrant,
  type Grant,
  type LedgerState,
  planDeclared,
  type Result,
} from "../../../core/gpu";
import type { Logger } from "../log";
import type { LedgerWriter } from "./ledger-turn";
import type { LedgerOptions } from "./options";
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

export interface DeclaredOptions {
  writer: LedgerWriter;
  state: LedgerState;
  context(): Ctx;
  /** What keeps anything new from being granted for the moment. */
  busy: NonNullable<LedgerOptions["busy"]>;
  containers: ContainersPort;
  stopped(container: string): Promise<Result<Grant[]>>;
  log: Logger;
}

/** The grants that the stack declares: what they are, what they would be, and how they come to be so. */
export class Declared {
  constructor(private readonly options: DeclaredOptions) {}

  /** Resolves once GPUs that were changed a moment ago are read; after 30 s in any case. */
  settled(): Promise<void> {
    return whileBusy(() => this.options.busy()?.passes === true);
  }

  /** As the ledger has them. */
  now(): DeclaredGrant[] {
    return [...this.options.state.grants.values()].flatMap(({ key, dropped, user, ask }) =>
      key === undefined || dropped ? [] : [{ key, user, ask }],
    );
  }

  /** @param declared left out: what is declared already */
  plan(declared: readonly DeclaredGrant[] = this.now()) {
    const { context, state } = this.options;
    const { strategy, allowShared, limitsOf } = context();
    return planDeclared({
      inventory: state.inventory,
      grants: [...state.grants.values()],
      declared,
      limitsOf,
      strategy,
      allowShared,
    });
  }

  /**
   * Commits the declared grants: exactly `expect`, or nothing. Where a unit that somebody is to have is still in a
   * container of a grant that the stack dropped, that container is stopped first.
   */
  async apply(
    declared: readonly DeclaredGrant[],
    expect?: Assignment,
    by?: string,
  ): Promise<Result<DeclaredView>> {
    const { busy, containers, log, stopped, writer } = this.options;
    await whileBusy(() => busy() !== undefined);
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
}

/** Waits while `busy`, and not for ever: whoever asked is told then what is wrong. */
async function whileBusy(busy: () => boolean): Promise<void> {
  const end = Date.now() + busyFor;
  while (busy() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, busyEvery));
}
