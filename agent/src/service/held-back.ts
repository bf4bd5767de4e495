import type { Logger } from "../log";
import type { LedgerInput } from "./ledger-input";
import type { ContainersPort, SeenContainer } from "./ports";
import type { HeldBackContainer } from "./types";

export interface HeldBackOptions {
  containers: Pick<ContainersPort, "start">;
  input: Pick<LedgerInput, "started" | "stopped">;
  /** Why nothing is granted at the moment. */
  closed(): string | undefined;
  /** Asks for another look at the containers. */
  look(): void;
  log: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Milliseconds until the next try, by the number of those that failed: dockerd knows its CDI devices within seconds. */
const PAUSES = [2000, 5000, 15_000, 60_000, 600_000, 3_600_000] as const;

/**
 * Starts containers that Docker held back (`SeenContainer.heldBack`). Their GPUs are taken for them in the ledger
 * before they run, as the stack may have promised them to somebody else by now: then they stay down.
 */
export class HeldBack {
  private readonly tries = new Map<string, { failed: number; next: number; trouble?: string }>();
  private down: readonly SeenContainer[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: HeldBackOptions) {}

  /** @param seen all containers, as a look just found them */
  async bringBack(seen: readonly SeenContainer[]): Promise<void> {
    const down = seen.filter(({ heldBack, running }) => heldBack !== undefined && !running);
    this.down = down;
    const ids = new Set(down.map(({ container }) => container));
    for (const id of this.tries.keys()) if (!ids.has(id)) this.tries.delete(id);
    for (const one of down) {
      const { next = 0 } = this.tries.get(one.container) ?? {};
      if (this.options.closed() === undefined && next <= this.options.now()) await this.start(one);
    }
    this.again();
  }

  /** Those that are down as of the last look, and what keeps them so. */
  list(): HeldBackContainer[] {
    const closed = this.options.closed();
    return this.down.flatMap(({ container, name, user, heldBack = "" }) => {
      const { trouble, next } = this.tries.get(container) ?? {};
      const why = trouble ?? (closed === undefined ? undefined : `nothing is started now: ${closed}`);
      return [{ container, name, user, why: why ?? heldBack, ...(next !== undefined && { next }) }];
    });
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private async start({ container, name, units, grant, token, heldBack }: SeenContainer): Promise<void> {
    const { input, containers, log } = this.options;
    const taken = await input.started({
      ...{ container, units },
      ...(grant === undefined ? {} : { grant }),
      ...(token === undefined ? {} : { token }),
    });
    if (!taken.ok) {
      this.failed(container, `its GPUs are not its own: ${taken.refusal.message}`, () =>
        log.warn(
          { name, heldBack, refusal: taken.refusal },
          "a container stays down: its GPUs are not its own",
        ),
      );
      return;
    }
    try {
      await containers.start(container);
      this.down = this.down.filter((other) => other.container !== container);
      log.info({ name, heldBack }, "a container that Docker could not start was started");
    } catch (error) {
      await input.stopped(container);
      this.failed(container, (error as Error).message, () =>
        log.warn({ name, err: error }, "a container cannot be started yet"),
      );
    }
  }

  /** @param tell called at the first failure alone */
  private failed(container: string, trouble: string, tell: () => void): void {
    const failed = (this.tries.get(container)?.failed ?? 0) + 1;
    const pause = PAUSES[Math.min(failed, PAUSES.length) - 1] ?? 0;
    this.tries.set(container, { failed, next: this.options.now() + pause, trouble });
    if (failed === 1) tell();
  }

  private again(): void {
    clearTimeout(this.timer);
    const next = Math.min(...[...this.tries.values()].map((one) => one.next));
    if (!Number.isFinite(next)) return;
    this.timer = setTimeout(() => this.options.look(), Math.max(0, next - this.options.now()));
    this.timer.unref();
  }
}
