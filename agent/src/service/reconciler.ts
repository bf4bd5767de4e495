import type { Result } from "../../../core/gpu";
import type { Logger } from "../log";
import type {
  ContainerEvent,
  ContainersPort,
  InventoryPort,
  InventoryReading,
  OneContainerEvent,
  SeenContainer,
} from "./ports";

export interface ReconcilerOptions {
  containers: ContainersPort;
  inventory: InventoryPort;
  log: Logger;
  /** Milliseconds. */
  lookEvery: number;
  tickEvery: number;
  tick(): Promise<void>;
  reconcile(seen: readonly SeenContainer[], skip: ReadonlySet<string>): Promise<Result<unknown>>;
  /** Starts those of them that Docker held back, where it may. */
  bringBack(seen: readonly SeenContainer[]): Promise<void>;
  event(event: OneContainerEvent): Promise<void>;
  inventoryChanged(reading: InventoryReading): Promise<void>;
  /** What `problem` says may have changed. */
  closedChanged(): void;
}

const backoff = [250, 500, 1000, 2000, 5000, 10_000];

/**
 * Keeps the ledger in line with the world: follows containers and GPUs, looks at all of them now and then, and says
 * when they cannot be known.
 */
export class Reconciler {
  /** Set: GPUs or containers are not known at the moment. */
  get problem(): string | undefined {
    const { containersProblem, gpusProblem } = this;
    // Containers are not looked at before the GPUs are known: until then, it is the GPUs that are waited for.
    return this.following ? (containersProblem ?? gpusProblem) : (gpusProblem ?? containersProblem);
  }

  private get gpusProblem(): string | undefined {
    const reading = this.options.inventory.current();
    if (!reading) return "the GPUs have not been read yet";
    return reading.problem === undefined ? undefined : `the GPUs cannot be read: ${reading.problem}`;
  }

  private containersProblem: string | undefined = "the containers have not been compared with the ledger yet";
  private readonly stops: (() => void)[] = [];
  private readonly touched = new Set<string>();
  private looking: Promise<void> | undefined;
  private lookAgain = false;
  private timer: NodeJS.Timeout | undefined;
  private ticker: NodeJS.Timeout | undefined;
  private failures = 0;
  private stopped = false;
  /** True: containers are followed. */
  private following = false;

  constructor(private readonly options: ReconcilerOptions) {}

  async start(): Promise<void> {
    const { inventory, log } = this.options;
    this.stops.push(
      inventory.onChange((reading) => {
        this.options.closedChanged();
        this.run("an inventory change", this.take(reading));
      }),
    );
    this.ticker = setInterval(() => this.run("a tick", this.options.tick()), this.options.tickEvery);
    const reading = await inventory.refresh();
    if (reading.problem !== undefined) log.error({ problem: reading.problem }, "the GPUs cannot be read");
    this.options.closedChanged();
    await this.take(reading);
    await this.looking;
  }

  /**
   * Follows the containers once the GPUs are known: what containers have is judged by the GPUs, and without them it would
   * all be written down as lost. The look that this begins with finds what was missed.
   */
  private async take(reading: InventoryReading): Promise<void> {
    await this.options.inventoryChanged(reading);
    const known = reading.problem === undefined || reading.inventory.gpus.length > 0;
    if (!known || this.following || this.stopped) return;
    this.following = true;
    this.stops.push(this.options.containers.onEvent((event) => this.onEvent(event)));
    await this.look();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.ticker);
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
    await this.looking;
  }

  private run(what: string, work: Promise<void>): void {
    work.catch((error: unknown) => this.options.log.error({ err: error }, `${what} failed`));
  }

  private onEvent(event: ContainerEvent): void {
    if (this.stopped || event.kind === "looked") return;
    if (event.kind === "unsure") {
      this.run("a look at the containers", this.look());
      return;
    }
    this.run(`event ${event.kind} of container ${event.container}`, this.options.event(event));
  }

  /** Something happened to the container: a look that began before knows nothing of it. */
  touch(container: string): void {
    this.touched.add(container);
  }

  /** For whoever does not wait for it. */
  lookSoon(): void {
    if (!this.stopped) this.run("a look at the containers", this.look());
  }

  /** Compares all containers with the ledger; one look at a time. */
  look(): Promise<void> {
    if (this.looking) {
      // Something happened after this look began: what it finds may be older than that.
      this.lookAgain = true;
      return this.looking;
    }
    clearTimeout(this.timer);
    this.looking = this.lookOnce().finally(() => {
      this.looking = undefined;
      if (this.stopped) return;
      const again = this.lookAgain;
      this.lookAgain = false;
      const wait =
        this.failures > 0
          ? (backoff[Math.min(this.failures, backoff.length) - 1] ?? 10_000)
          : again
            ? 0
            : this.options.lookEvery;
      this.timer = setTimeout(() => this.run("a look at the containers", this.look()), wait);
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    this.touched.clear();
    let seen: SeenContainer[] = [];
    try {
      seen = await this.options.containers.listLive();
      // The set itself: what is decided in the turns until then counts too.
      const result = await this.options.reconcile(seen, this.touched);
      if (!result.ok) throw new Error(result.refusal.message);
      this.failures = 0;
      if (!this.lookAgain) this.containersProblem = undefined;
    } catch (error) {
      this.failures++;
      const why = (error as Error).message;
      if (this.failures === 1)
        this.options.log.error({ err: error }, "the containers cannot be compared with the ledger");
      this.containersProblem = `the containers cannot be compared with the ledger: ${why}`;
    }
    this.options.closedChanged();
    // Within the look, so that no other one sees them half started.
    if (this.failures === 0) await this.options.bringBack(seen);
  }
}
