/** The set-ups of managed containers: asked for, queued, done, and brought to an end where berthd was cut off. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { type Refusal, type Result, refuse } from "../../../core/gpu";
import { isOver, type OwnImage, type RepositoryHost } from "../../../core/manager";
import type { CallbackTargets } from "../callbacks";
import { DockerError, type Engine } from "../docker";
import {
  type Holding,
  isLeaving,
  type ManagedContainer,
  type ManagedContainers,
  noContainer,
  notMadeYet,
  type Setups as SetupsOfManager,
} from "../manager";
import type { Operation, Operations, Step } from "../operations";
import { PlacesOfEach } from "../places";
import type { MainImageRow, SetupRow } from "../store";
import { within } from "../waiting";
import { SetupFailed, tooLong, wordsOf } from "./failed";
import { LogFollower } from "./follow";
import { Inside, type InsideOptions, type StartCommand } from "./inside";
import { type KeeperOptions, StartKeeper } from "./keeper";
import { MainImages, type MainImagesOptions } from "./main-images";
import type { SetupView } from "./ports";
import { readWish, type SetupRequest, type Wish } from "./request";
import { defaultTimes, NOTHING_TO_START, Run, type RunParts, type SetupTimes, startAndSee } from "./run";
import { keptBytes, SetupStates, type StatesOptions } from "./states";

/** How many set-ups are done at a time, and how many may wait. */
export interface SetupPlaces {
  /** At a time. @default 4 */
  all: number;
  /** Of those, of one owner. @default 2 */
  owner: number;
  /** At a time or waiting. @default 128 */
  mostOfAll: number;
  /** Of those, of one owner. @default 16 */
  mostOfOwner: number;
}

export const defaultPlaces: SetupPlaces = { all: 4, owner: 2, mostOfAll: 128, mostOfOwner: 16 };

export interface SetupsOptions
  extends Omit<StatesOptions, "rows" | "logs">,
    Omit<InsideOptions, "engine">,
    Pick<KeeperOptions, "lookEveryMs">,
    Pick<RunParts, "repositories" | "packages"> {
  /** What the database has. */
  rows: { setups: readonly SetupRow[]; mainImages: readonly MainImageRow[] };
  engine: Engine;
  managed: ManagedContainers;
  logs: ConstructorParameters<typeof LogFollower>[1];
  operations: Pick<Operations, "run" | "handle">;
  /** Waited for before a set-up begins or goes on. @default nothing */
  ready?(): Promise<void>;
  /** As the operator has them now. */
  hosts(): readonly RepositoryHost[];
  targets: Pick<CallbackTargets, "problems">;
  log: { info(data: object, message: string): void; warn(data: object, message: string): void };
  places?: Partial<SetupPlaces>;
  times?: Partial<SetupTimes>;
  mainImages?: Pick<
    MainImagesOptions,
    "unusedHours" | "maxBytes" | "maxBytesOfOwner" | "maxOfOwner" | "waitMs" | "now"
  >;
}

interface UnderWay {
  owner: string;
  /** That it has to be kept. */
  bytes: number;
  ended: AbortController;
  /** Whether it is noted, and with it answered. */
  begun: Promise<Result<SetupView>>;
  noted: boolean;
  done: Promise<void>;
}

interface Begun {
  container: ManagedContainer;
  wish: Wish;
  one: UnderWay;
  answer(result: Result<SetupView>): void;
}

const operationBody = z.object({ container: z.string() });
/** Bytes of the variables and lines of all set-ups of one owner: berthd keeps them in its memory, which is 256 MB. */
const MOST_KEPT = 8 * 2 ** 20;
const tooMuchKept: Refusal = {
  code: "over-limit",
  message: "the variables and start commands of your set-ups are too large together",
  allowed: `${MOST_KEPT} bytes for all containers of one owner`,
  fix: "delete a container, or put what is large into a file of the repository",
};
const CUT_OFF = "it was cut off in the middle, as berthd or dockerd ended; ask for the set-up again";

export class Setups implements SetupsOfManager {
  private readonly states: SetupStates;
  private readonly most: SetupPlaces;
  private readonly places: PlacesOfEach;
  private readonly parts: RunParts;
  private readonly underWay = new Map<string, UnderWay>();
  private readonly stopListening: () => void;
  private readonly closed = new AbortController();

  constructor(private readonly options: SetupsOptions) {
    const { engine, logs, operations, managed, log, rows, lookEveryMs } = options;
    this.states = new SetupStates({ ...options, rows: rows.setups });
    this.most = { ...defaultPlaces, ...options.places };
    this.places = new PlacesOfEach(this.most.owner, Number.POSITIVE_INFINITY, this.most.all);
    const inside = new Inside(options);
    const follower = new LogFollower(engine, logs);
    this.parts = {
      ...{ engine, logs, log, inside, follower, states: this.states, repositories: options.repositories },
      ...(options.packages !== undefined && { packages: options.packages }),
      images: new MainImages({
        ...options.mainImages,
        engine,
        write: options.write,
        log,
        rows: rows.mainImages,
      }),
      keeper: new StartKeeper({
        engine,
        inside,
        follower,
        log,
        ...(lookEveryMs !== undefined && { lookEveryMs }),
      }),
      times: { ...defaultTimes, ...options.times },
    };
    operations.handle("setup", (operation) => this.recover(operation));
    this.stopListening = managed.onGone((id) => void this.gone(id));
  }

  /** Once the managed containers are known: what was set up is kept running again. */
  start(): void {
    for (const row of this.states.all()) {
      const container = this.options.managed.find(row.owner, row.container);
      if (container === undefined) void this.gone(row.container);
      else if (row.phase === "ready") this.keep(row, container);
    }
  }

  /**
   * Has a container set up; answered once that is noted. The same key with the same request is the same set-up.
   *
   * Refusals: bad-request, not-allowed: the request is not right; not-found: the container; conflict: it is not ready, it is being set
   * up, or the key was used for another request; full: too many wait; closed: berthd is ending, or cannot write.
   */
  async ask(owner: string, id: string, body: SetupRequest): Promise<Result<SetupView>> {
    if (this.options.managed.find(owner, id) === undefined) return refuse(noContainer(id));
    const { hosts, targets } = this.options;
    const wish = await readWish(body, {
      hosts: hosts(),
      targetProblems: (target) => targets.problems(`tenant:${owner}`, target),
    });
    if (!wish.ok) return wish;
    // The same request may be on its way to the disk.
    for (let one = this.underWay.get(id); one?.noted === false; one = this.underWay.get(id)) await one.begun;
    // Looked at after the last wait: what holds now holds until it is noted.
    const container = this.options.managed.find(owner, id);
    if (container === undefined) return refuse(noContainer(id));
    const same = this.sameAs(id, wish.value);
    if (same !== undefined) return same;
    const refusal = this.refusalOf(container, wish.value);
    return refusal === undefined ? this.begin(container, wish.value) : refuse(refusal);
  }

  phaseOf(id: string): SetupView | undefined {
    return this.states.view(id);
  }

  async end(id: string): Promise<void> {
    const under = this.underWay.get(id);
    under?.ended.abort(new SetupFailed("the container is removed"));
    await under?.done;
    await this.parts.keeper.drop(id);
  }

  started(id: string): void {
    this.parts.keeper.wake(id);
  }

  imagesOf(owner: string): OwnImage[] {
    return this.parts.images.imagesOf(owner);
  }

  useImage(owner: string, image: string): void {
    this.parts.images.use(owner, image);
  }

  /** Main images, as something that tenants have. */
  holding = (): Holding => this.parts.images;

  /** To be called regularly: takes away main images that are too old or too much. */
  async tidy(): Promise<void> {
    try {
      await this.parts.images.prune();
    } catch (error) {
      this.options.log.warn({ reason: (error as Error).message }, "old main images are not looked for");
    }
  }

  /** Ends those under way: they have failed, and that is told. What runs in containers stays. */
  async close(): Promise<void> {
    this.closed.abort(new Error("berthd is stopping"));
    this.stopListening();
    const all = [...this.underWay.values()];
    for (const { ended } of all) ended.abort(new SetupFailed("berthd is stopping; ask for the set-up again"));
    await Promise.all(all.map(({ done }) => done));
    await this.parts.keeper.close();
  }

  private sameAs(id: string, { key, fingerprint }: Wish): Result<SetupView> | undefined {
    const row = this.states.get(id);
    if (key === undefined || row?.key !== key) return undefined;
    const view = this.states.view(id);
    return view !== undefined && row.fingerprint === fingerprint
      ? { ok: true, value: view }
      : refuse({
          code: "conflict",
          message: "this idempotency_key was used for another set-up of the container",
          fix: "use a new key for a new request",
        });
  }

  private refusalOf({ id, owner, state }: ManagedContainer, wish: Wish): Refusal | undefined {
    if (this.closed.signal.aborted)
      return { code: "closed", message: "berthd is stopping", fix: "ask again in a few seconds" };
    if (state !== "ready") return state === "making" ? notMadeYet(id) : isLeaving(id);
    const row = this.states.get(id);
    if (this.underWay.has(id) || (row !== undefined && !isOver(row.phase)))
      return {
        code: "conflict",
        message: `container ${id} is being set up`,
        fix: "wait for ready or failed, or delete the container",
      };
    if (this.keptOf(owner, id) + keptBytes(wish) > MOST_KEPT) return tooMuchKept;
    return this.noRoom(owner);
  }

  /** Bytes of all of an owner's but that of one container, whose next one takes its place. */
  private keptOf(owner: string, except: string): number {
    const coming = [...this.underWay].filter(([, one]) => one.owner === owner && !one.noted);
    // One that is on its way to the disk may be among the noted already.
    const noted = this.states.bytesOf(owner, new Set([except, ...coming.map(([id]) => id)]));
    return coming.reduce((sum, [, { bytes }]) => sum + bytes, noted);
  }

  private noRoom(owner: string): Refusal | undefined {
    const { mostOfOwner, mostOfAll } = this.most;
    const all = [...this.underWay.values()];
    const own = all.filter((one) => one.owner === owner).length;
    if (own < mostOfOwner && all.length < mostOfAll) return undefined;
    return {
      code: "full",
      message:
        own < mostOfOwner ? "too many set-ups wait on this node" : `${own} set-ups of yours are under way`,
      allowed: `${mostOfOwner} of one owner, ${mostOfAll} of all`,
      fix: "ask again when some of them are done",
    };
  }

  private begin(container: ManagedContainer, wish: Wish): Promise<Result<SetupView>> {
    const { id, owner } = container;
    let answer: (result: Result<SetupView>) => void = () => {};
    const begun = new Promise<Result<SetupView>>((resolve) => {
      answer = (result) => {
        one.noted = true;
        resolve(result);
      };
    });
    const ended = new AbortController();
    const one: UnderWay = {
      ...{ owner, bytes: keptBytes(wish), ended, begun, noted: false, done: Promise.resolve() },
    };
    const operation = { id: `setup-${randomBytes(8).toString("hex")}`, owner, body: { container: id } };
    one.done = this.options.operations
      .run("setup", operation, (step) => this.noteAndDo(step, { container, wish, one, answer }))
      .then(
        (result) => void (result.ok || answer(result)),
        (error: Error) => {
          const reason = error.message;
          this.options.log.warn({ container: id, reason }, "a set-up was cut off; it is looked after later");
          answer(refuse({ code: "closed", message: "the set-up could not be noted", fix: "ask again" }));
        },
      )
      .finally(() => this.underWay.delete(id));
    this.underWay.set(id, one);
    return begun;
  }

  private async noteAndDo(
    step: Step<"setup">,
    { container, wish, one, answer }: Begun,
  ): Promise<Result<void>> {
    const begun = await step("accept", () => this.states.begin(rowOf(container, wish)));
    if (!begun.ok) return begun;
    const view = this.states.view(container.id);
    answer(view === undefined ? refuse(noContainer(container.id)) : { ok: true, value: view });
    try {
      await this.inTurn(new Run(this.parts, container, wish, one.ended.signal), one, step);
    } catch (error) {
      // What cannot be written is thrown, and looked after later.
      await this.fail(container.id, error);
    }
    return begun;
  }

  private async inTurn(run: Run, { owner, ended }: UnderWay, step: Step<"setup">): Promise<void> {
    const milliseconds = this.parts.times.queued;
    const late = () => tooLong("the wait for its turn", milliseconds);
    const giveBack = await within({ milliseconds, signal: ended.signal, tooLong: late }, async (signal) => {
      await this.ready(signal);
      return this.places.take(owner, signal);
    });
    await run.all(step).finally(giveBack);
  }

  /** @throws the signal's reason */
  private async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const ended = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    await Promise.race([this.options.ready?.(), ended]);
  }

  private async fail(id: string, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error);
    if (!(error instanceof SetupFailed))
      this.options.log.warn(
        { container: id, reason },
        "a set-up failed by a fault of berthd's or of Docker's",
      );
    await this.states.enter(id, "failed", { message: wordsOf(error) });
  }

  /** Nobody is at it any more. Where all is installed, it goes on; else it has failed. */
  private async recover({ step, body }: Operation): Promise<void> {
    const { container: id } = operationBody.parse(body);
    await this.ready(this.closed.signal);
    const row = this.states.get(id);
    if (row === undefined || isOver(row.phase) || this.underWay.has(id)) return;
    const container = this.options.managed.find(row.owner, id);
    if (container === undefined) return this.gone(id);
    if (step === "image" || step === "start") return this.startAgain(row, container);
    await this.states.enter(id, "failed", { message: CUT_OFF });
  }

  /** @throws DockerError where dockerd cannot be asked now */
  private async startAgain(row: SetupRow, container: ManagedContainer): Promise<void> {
    const { container: id } = row;
    const command = commandOf(row, container);
    // Others are looked after next: it is not waited for.
    const parts = { ...this.parts, times: { ...this.parts.times, start: 0 } };
    try {
      const message = command === undefined ? NOTHING_TO_START : await startAndSee(parts, container, command);
      await this.states.enter(id, "ready", { message });
    } catch (error) {
      const refused = error instanceof DockerError && error.outcome === "refused";
      if (!refused && !(error instanceof SetupFailed)) throw error;
      await this.fail(id, error);
    }
  }

  private keep(row: SetupRow, container: ManagedContainer): void {
    const command = commandOf(row, container);
    if (command !== undefined) this.parts.keeper.keep(command);
  }

  private async gone(id: string): Promise<void> {
    await this.end(id);
    const forgotten = await this.states.forget(id);
    if (!forgotten.ok)
      this.options.log.warn(
        { container: id, reason: forgotten.refusal.message },
        "the set-up of a container that is gone stays noted",
      );
  }
}

function commandOf(
  { container: id, start: line, env: own, workdir }: SetupRow,
  { container, env }: ManagedContainer,
): StartCommand | undefined {
  return line === undefined ? undefined : { id, container, line, env: { ...env, ...own }, workdir };
}

function rowOf({ id, owner, name, hostPort }: ManagedContainer, wish: Wish) {
  const { repository, branch, callback, env, workdir, key, fingerprint } = wish;
  return {
    ...{ container: id, owner, name, repository, env, workdir, fingerprint },
    ...(hostPort > 0 && { hostPort }),
    ...(branch !== undefined && { branch }),
    ...(callback !== undefined && { callback }),
    ...(key !== undefined && { key }),
  };
}
