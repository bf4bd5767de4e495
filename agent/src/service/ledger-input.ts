import {
  adopt,
  bind,
  bindOwn,
  containerGone,
  containerStarted,
  containerStopped,
  type Grant,
  type KeptState,
  type Result,
  releaseOf,
  reviewInventory,
  tick,
  unbind,
} from "../../../core/gpu";
import type { Logger } from "../log";
import type { LedgerWriter } from "./ledger-turn";
import type { InventoryReading, OneContainerEvent, SeenContainer } from "./ports";
import type { Queue } from "./queue";
import type { LedgerService } from "./types";

export interface LedgerInputOptions {
  writer: LedgerWriter;
  queue: Queue;
  /** Something happened to the container: a look that is under way is too old for it. */
  touch(container: string): void;
  /** Is told which GPUs there are; all else that changes in it is decided in turns. */
  state: KeptState;
  log: Logger;
}

/** Who did it, in the event log. */
const by = "docker";

/** What happens by itself, as the ledger takes it: containers come and go, GPUs change, time passes. */
export class LedgerInput {
  /** True: the GPUs in force mean changes to grants that could not be written yet. */
  private unwritten = false;

  constructor(private readonly options: LedgerInputOptions) {}

  /** `skip`: containers to which something happened during the look; what it saw of them is old. */
  reconcile(seen: readonly SeenContainer[], skip: ReadonlySet<string>): Promise<Result<Grant[]>> {
    return this.options.writer.submit((turn) => {
      const current = seen.filter(({ container }) => !skip.has(container));
      // Those that were skipped count as the ledger knows them.
      const found = adopt(turn.state, turn.ctx, current, { unsure: skip });
      const result = turn.take(found, "reconcile");
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
      const awaited = by !== undefined;
      const bound = turn.take(bind(turn.state, turn.ctx, { ...request, awaited }), by);
      if (bound.ok) this.options.touch(request.container);
      return bound;
    });
  }

  bindOwn(request: Parameters<LedgerService["bindOwn"]>[0], by: string): Promise<Result<Grant>> {
    return this.options.writer.submit((turn) => {
      const bound = turn.take(bindOwn(turn.state, turn.ctx, request), by);
      if (bound.ok) this.options.touch(request.container);
      return bound;
    });
  }

  unbind(request: Parameters<LedgerService["unbind"]>[0]): Promise<Result<Grant>> {
    this.options.touch(request.container);
    return this.options.writer.submit((turn) => turn.take(unbind(turn.state, turn.ctx, request)));
  }

  releaseOf(own: Parameters<LedgerService["releaseOf"]>[0], reason: string): Promise<Result<Grant>> {
    return this.options.writer.submit((turn) => turn.take(releaseOf(turn.state, turn.ctx, own, reason)));
  }

  started(seen: Parameters<LedgerService["containerStarted"]>[0]): Promise<Result<Grant[]>> {
    this.options.touch(seen.container);
    return this.options.writer.submit((turn) => turn.take(containerStarted(turn.state, turn.ctx, seen), by));
  }

  stopped(container: string): Promise<Result<Grant[]>> {
    this.options.touch(container);
    return this.options.writer.submit((turn) =>
      turn.take(containerStopped(turn.state, turn.ctx, container), by),
    );
  }

  gone(container: string): Promise<Result<Grant[]>> {
    this.options.touch(container);
    return this.options.writer.submit((turn) =>
      turn.take(containerGone(turn.state, turn.ctx, container), by),
    );
  }

  /** What Docker told of one container. */
  async event(event: OneContainerEvent): Promise<void> {
    if (event.kind === "stopped") await this.stopped(event.container);
    else if (event.kind === "gone") await this.gone(event.container);
    else {
      const { container, units, grant, token } = event.seen;
      this.options.touch(container);
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
    const { state, writer, queue } = this.options;
    const blind = state.inventory.gpus.length === 0;
    // What was read before stays in force; nothing new is granted meanwhile.
    if (problem !== undefined && !(blind && inventory.gpus.length > 0)) return;
    // In force at once, as it is a fact. What it means for the holders waits for the disk.
    state.inventory = inventory;
    this.unwritten = true;
    const result = await writer.submit((turn) => {
      const news = turn.take(reviewInventory(turn.state), "inventory");
      queue.lookAgain();
      return news;
    });
    this.unwritten = !result.ok;
    if (!result.ok) return;
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
          const again = turn.take(reviewInventory(turn.state), "inventory");
          if (again.ok) turn.freed = true;
        }
        return turn.take(tick(turn.state, turn.ctx));
      })
      .then((result) => {
        if (result.ok) this.unwritten = false;
      });
  }
}
