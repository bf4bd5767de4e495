import {
  adopt,
  bind,
  containerGone,
  containerStarted,
  containerStopped,
  defaultReserveSeconds,
  setInventory,
  tick,
} from "../core";
import type { Grant, Inventory, Result } from "../core/model";
import type { Logger } from "../log";
import type { ContainerEvent, InventoryReading, SeenContainer } from "./ports";
import type { LedgerService } from "./types";
import type { WaitingRoom } from "./waiting";
import type { Writer } from "./writer";

export interface WorldOptions {
  writer: Writer;
  room: WaitingRoom;
  /** Something happened to the container: a look that is under way is too old for it. */
  touch(container: string): void;
  /** True: no GPU is known yet. */
  blind(): boolean;
  log: Logger;
}

/** Who did it, in the event log. */
const by = "docker";

/** What happens by itself, as the ledger takes it: containers come and go, GPUs change, time passes. */
export class World {
  /** Set: the inventory in force has changes to grants that could not be written yet. */
  private unwritten: Inventory | undefined;
  /** Containers that were bound and not seen yet, and until when they count as there: one may be bound before it starts. */
  private readonly coming = new Map<string, number>();

  constructor(private readonly options: WorldOptions) {}

  /** `skip`: containers to which something happened during the look; what it saw of them is old. */
  reconcile(seen: readonly SeenContainer[], skip: ReadonlySet<string>): Promise<Result<Grant[]>> {
    return this.options.writer.submit((turn) => {
      const current = seen.filter(({ container }) => !skip.has(container));
      for (const { container } of seen) this.coming.delete(container);
      for (const [container, until] of this.coming) {
        if (until <= turn.ctx.now) this.coming.delete(container);
      }
      // Those that were skipped, and those that are still to start, count as there, as the ledger knows them.
      const kept = [...turn.state.grants.values()].flatMap((grant): SeenContainer[] =>
        grant.container !== undefined && (skip.has(grant.container) || this.coming.has(grant.container))
          ? [
              {
                container: grant.container,
                name: grant.purpose,
                user: grant.user,
                units: grant.units.map(({ uuid }) => uuid),
                grant: grant.key ?? grant.id,
                ...(grant.key === undefined && { token: grant.token }),
                running: grant.state === "bound",
              },
            ]
          : [],
      );
      const result = turn.take(adopt(turn.state, turn.ctx, [...current, ...kept]), "reconcile");
      if (!result.ok) return result;
      const { adopted, bound, stopped, gone, conflicts } = result.value;
      for (const { uuid, grants } of conflicts) {
        this.options.log.error(
          { uuid, grants },
          "one GPU is held by more than one container; nothing new is granted on it",
        );
      }
      return { ok: true, value: [...adopted, ...bound, ...stopped, ...gone] };
    });
  }

  /** `by`: whoever says so over the API, maybe before the container starts. Left out: it runs. */
  bind(request: Parameters<LedgerService["bind"]>[0], by?: string): Promise<Result<Grant>> {
    return this.options.writer.submit((turn) => {
      const bound = turn.take(bind(turn.state, turn.ctx, request), by);
      if (!bound.ok) return bound;
      this.options.touch(request.container);
      const seconds = turn.ctx.reserveSeconds ?? defaultReserveSeconds;
      if (by !== undefined) this.coming.set(request.container, turn.ctx.now + seconds * 1000);
      return bound;
    });
  }

  started(seen: Parameters<LedgerService["containerStarted"]>[0]): Promise<Result<Grant[]>> {
    this.told(seen.container);
    return this.options.writer.submit((turn) => turn.take(containerStarted(turn.state, turn.ctx, seen), by));
  }

  stopped(container: string): Promise<Result<Grant[]>> {
    this.told(container);
    return this.options.writer.submit((turn) =>
      turn.take(containerStopped(turn.state, turn.ctx, container), by),
    );
  }

  gone(container: string): Promise<Result<Grant[]>> {
    this.told(container);
    return this.options.writer.submit((turn) =>
      turn.take(containerGone(turn.state, turn.ctx, container), by),
    );
  }

  /** Something is known of the container that is newer than a look under way. */
  private told(container: string): void {
    this.coming.delete(container);
    this.options.touch(container);
  }

  /** What Docker told of one container. */
  async event(event: Exclude<ContainerEvent, { kind: "unsure" }>): Promise<void> {
    if (event.kind === "stopped") await this.stopped(event.container);
    else if (event.kind === "gone") await this.gone(event.container);
    else {
      const { container, units, grant, token } = event.seen;
      this.told(container);
      await this.options.writer.submit((turn) => {
        const started = turn.take(
          containerStarted(turn.state, turn.ctx, { container, units, grant, token }),
          by,
        );
        if (started.ok) return started;
        this.options.log.warn(
          { container, refusal: started.refusal },
          "a container started without a grant of its own",
        );
        // It runs, whatever the ledger says: what it has is not free.
        const adopted = turn.take(adopt(turn.state, turn.ctx, [event.seen], { complete: false }), by);
        return adopted.ok ? { ok: true, value: adopted.value.adopted } : adopted;
      });
    }
  }

  async inventoryChanged(reading: InventoryReading): Promise<void> {
    const { inventory, problem } = reading;
    // What was read before stays in force; nothing new is granted meanwhile.
    if (problem !== undefined && !(this.options.blind() && inventory.gpus.length > 0)) return;
    this.unwritten = inventory;
    const result = await this.options.writer.submit((turn) => {
      const news = turn.take(setInventory(turn.state, turn.ctx, inventory), "inventory");
      this.options.room.kick();
      return news;
    });
    if (!result.ok) return;
    if (this.unwritten === inventory) this.unwritten = undefined;
    const { lost, resliced, quarantined } = result.value;
    for (const grant of [...lost, ...resliced, ...quarantined]) {
      this.options.log.error(
        { grant: grant.id, user: grant.user },
        grant.reason ?? "a GPU changed under its holder",
      );
    }
  }

  /** Reservations and holds that are over. */
  async tick(): Promise<void> {
    await this.options.writer
      .submit((turn) => {
        if (this.unwritten) {
          const again = turn.take(setInventory(turn.state, turn.ctx, this.unwritten), "inventory");
          if (again.ok) turn.freed = true;
        }
        return turn.take(tick(turn.state, turn.ctx));
      })
      .then((result) => {
        if (result.ok) this.unwritten = undefined;
      });
  }
}
