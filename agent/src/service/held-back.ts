import type { Logger } from "../log";
import type { ContainersPort, SeenContainer } from "./ports";
import type { World } from "./world";

export interface HeldBackOptions {
  containers: Pick<ContainersPort, "start">;
  world: Pick<World, "started" | "stopped">;
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
  private readonly tries = new Map<string, { failed: number; next: number }>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: HeldBackOptions) {}

  /** @param seen all containers, as a look just found them */
  async bringBack(seen: readonly SeenContainer[]): Promise<void> {
    const down = seen.filter(({ heldBack, running }) => heldBack !== undefined && !running);
    const ids = new Set(down.map(({ container }) => container));
    for (const id of this.tries.keys()) if (!ids.has(id)) this.tries.delete(id);
    for (const one of down) {
      const { next = 0 } = this.tries.get(one.container) ?? {};
      if (this.options.closed() === undefined && next <= this.options.now()) await this.start(one);
    }
    this.again();
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private async start({ container, name, units, grant, token, heldBack }: SeenContainer): Promise<void> {
    const { world, containers, log } = this.options;
    const taken = await world.started({
      ...{ container, units },
      ...(grant === undefined ? {} : { grant }),
      ...(token === undefined ? {} : { token }),
    });
    if (!taken.ok) {
      this.failed(container, () =>
        log.warn(
          { name, heldBack, refusal: taken.refusal },
          "a container stays down: its GPUs are not its own",
        ),
      );
      return;
    }
    try {
      await containers.start(container);
      log.info({ name, heldBack }, "a container that Docker could not start was started");
    } catch (error) {
      await world.stopped(container);
      this.failed(container, () => log.warn({ name, err: error }, "a container cannot be started yet"));
    }
  }

  /** @param tell called at the first failure alone */
  private failed(container: string, tell: () => void): void {
    const failed = (this.tries.get(container)?.failed ?? 0) + 1;
    const pause = PAUSES[Math.min(failed, PAUSES.length) - 1] ?? 0;
    this.tries.set(container, { failed, next: this.options.now() + pause });
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
