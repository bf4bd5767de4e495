/** Images of the main branches of repositories, ready to start from: made, found and taken away. */
import type { Result } from "../../../core/gpu";
import {
  type ImageQuestion,
  imageDecision,
  imagesToRemove,
  type OwnImage,
  type Repository,
  repositoryKey,
  shownName,
} from "../../../core/manager";
import type { Engine, ImageSummary, Inspect } from "../docker";
import type { ManagedContainer } from "../manager";
import { Places } from "../places";
import type { MainImageRow } from "../store";
import { within } from "../waiting";
import { tooLong } from "./failed";
import type { StatesOptions } from "./states";

export interface MainImagesOptions extends Pick<StatesOptions, "write"> {
  engine: Pick<Engine, "commit" | "images" | "inspect" | "removeImage">;
  /** Those that the database has. */
  rows: readonly MainImageRow[];
  log: { warn(data: object, message: string): void };
  /** After so many hours without use one goes. @default 168 */
  unusedHours?(): number | undefined;
  /** Of all together, beyond what they were made from, in bytes. @default 64 GiB */
  maxBytes?: number;
  /** Of one owner's together, in bytes, as above. @default half of `maxBytes` */
  maxBytesOfOwner?: number;
  /** Of one owner. @default 32 */
  maxOfOwner?: number;
  /** How long one waits for another that is being made. @default 60 s */
  waitMs?: number;
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
}

/** Labels of such an image; containers that are made from it have them too. */
const LABELS = {
  key: "berth.main-image",
  shown: "berth.main-image-name",
  base: "berth.main-image-base",
} as const;

const HOUR_MS = 3_600_000;
const SPARE_MS = 600_000;
const WAIT_MS = 60_000;
/** A use is written down so often at most. */
const NOTE_EVERY_MS = 60_000;
const fine: Result<void> = { ok: true, value: undefined };

/** What a container began with. */
export interface Origin {
  /** With the repository's main image, be it one that is old by now. */
  fromMain: boolean;
  /** The image, or what the main image began with. */
  base: string;
}

/** A container that may become an image. */
export interface Candidate extends Omit<ImageQuestion, "kept" | "now" | "fromMain"> {
  container: ManagedContainer;
  repository: Repository;
  origin: Origin;
  /** Of its set-up: no value of it gets into the image. */
  env: Readonly<Record<string, string>>;
  lock: string;
}

export class MainImages {
  private readonly rows: Map<string, MainImageRow>;
  /** One thing after another: what is made now is not looked for as nobody's. */
  private readonly turns = new Places(1, Number.POSITIVE_INFINITY);
  private readonly now: () => number;

  constructor(private readonly options: MainImagesOptions) {
    this.rows = new Map(options.rows.map((row) => [row.key, row]));
    this.now = options.now ?? Date.now;
  }

  /** A container is made from the image, which may be any. */
  use(owner: string, image: string): void {
    const row = [...this.rows.values()].find((one) => one.owner === owner && one.image === image);
    if (row !== undefined) this.used(row);
  }

  imagesOf(owner: string): OwnImage[] {
    return [...this.rows.values()]
      .filter((row) => row.owner === owner)
      .map(({ image: id, shown, outdated, base }) => ({ id, shown, ...(outdated && { instead: base }) }));
  }

  /** Who has some. */
  owners(): string[] {
    return [...this.rows.values()].map(({ owner }) => owner);
  }

  /** Removes all of an owner's. @throws Error where a container has one still */
  removeOf(owner: string): Promise<void> {
    return this.inTurn(undefined, async () => {
      for (const row of [...this.rows.values()].filter((one) => one.owner === owner)) {
        if (!(await this.remove(row.image)))
          throw new Error(`the main image ${row.shown} could not be removed`);
        await this.forget(row);
      }
    });
  }

  /** What the container began with. A main image that containers are made from is one that is used. */
  async originOf(container: ManagedContainer, repository: Repository): Promise<Origin> {
    const seen = await this.options.engine.inspect(container.container);
    const key = repositoryKey(container.owner, repository);
    const origin = originIn(seen, container, key);
    const row = this.rows.get(key);
    if (origin.fromMain && row !== undefined && !row.outdated) this.used(row);
    return origin;
  }

  /** Whether the container is to become the repository's main image. One that is old and cannot be made anew here is put aside. */
  async wanted({ container, repository, lock, build, isDefault, origin }: Candidate): Promise<boolean> {
    const key = repositoryKey(container.owner, repository);
    const kept = this.rows.get(key);
    const decision = imageDecision({
      ...{ isDefault, fromMain: origin.fromMain, now: { base: origin.base, lock } },
      ...(build !== undefined && { build }),
      // An outdated one is made anew, also where the repository has gone back to what it was made of.
      ...(kept !== undefined && !kept.outdated && { kept }),
    });
    if (decision === "outdate") await this.change(key, (row) => row && { ...row, outdated: true });
    return decision === "build";
  }

  /**
   * Makes the image. The container stands still meanwhile. A large one takes minutes: those of others do not wait for it.
   *
   * @throws SetupFailed where another one is still being made; the signal's reason before it has begun
   */
  build(
    { container, repository, env, lock, origin: { base } }: Candidate,
    signal: AbortSignal,
  ): Promise<Result<void>> {
    const milliseconds = this.options.waitMs ?? WAIT_MS;
    const late = () => tooLong("the wait for other main images", milliseconds);
    const wait = { milliseconds, signal, tooLong: late };
    return this.inTurn(wait, async () => {
      const { engine } = this.options;
      const key = repositoryKey(container.owner, repository);
      const shown = `${shownName(repository)}:main`;
      const seen = await engine.inspect(container.container);
      const image = await engine.commit(container.container, {
        ...{ repository: `berth-main/${key}`, tag: "main" },
        labels: { ...withoutOurs(seen), ...labelsOf({ key, shown, base }) },
        changes: blanks(seen, env),
      });
      const now = this.now();
      const old = this.rows.get(key)?.image;
      const row = { key, owner: container.owner, shown, image, base, lock, createdAt: now, usedAt: now };
      const noted = await this.change(key, () => row);
      // A set-up that is asked for again and again would leave one each time, until they are next looked for.
      if (noted.ok && old !== undefined && old !== image) await this.remove(old);
      return noted;
    });
  }

  /** Takes away what is too old or too much, and what nobody knows of any more; nothing that a container has. */
  prune(): Promise<void> {
    return this.inTurn(undefined, async () => {
      const there = await this.options.engine.images();
      const ours = there.filter(({ Labels }) => Labels?.[LABELS.key] !== undefined);
      await this.forgetGone(ours);
      const going = new Set(this.tooMuch(there));
      for (const { Id } of ours) {
        const row = [...this.rows.values()].find(({ image }) => image === Id);
        if (row === undefined) await this.remove(Id);
        else if (going.has(row.key) && (await this.remove(Id))) await this.forget(row);
      }
    });
  }

  private async inTurn<T>(
    wait: Parameters<typeof within>[0] | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const giveBack = await (wait ? within(wait, (until) => this.turns.take(until)) : this.turns.take());
    return work().finally(giveBack);
  }

  /** Somebody took it away by hand. */
  private async forgetGone(ours: readonly ImageSummary[]): Promise<void> {
    const ids = new Set(ours.map(({ Id }) => Id));
    for (const row of [...this.rows.values()]) if (!ids.has(row.image)) await this.forget(row);
  }

  private tooMuch(there: readonly ImageSummary[]): string[] {
    const { unusedHours, maxBytes = 64 * 2 ** 30, maxOfOwner = 32 } = this.options;
    const { maxBytesOfOwner = maxBytes / 2 } = this.options;
    const sizes = new Map(there.map(({ Id, Size }) => [Id, Size]));
    const images = [...this.rows.values()].map(({ key, owner, image, base, usedAt }) => ({
      ...{ key, owner, usedAt, bytes: Math.max(0, (sizes.get(image) ?? 0) - (sizes.get(base) ?? 0)) },
    }));
    const unusedMs = (unusedHours?.() ?? 168) * HOUR_MS;
    const bounds = { unusedMs, spareMs: SPARE_MS, maxBytes, maxBytesOfOwner };
    return imagesToRemove(images, { now: this.now(), ...bounds, maxOfOwner });
  }

  /** Whether it is gone. By its id, which stays where a container has it. */
  private async remove(image: string): Promise<boolean> {
    try {
      return await this.options.engine.removeImage(image);
    } catch (error) {
      this.options.log.warn({ image, reason: (error as Error).message }, "a main image could not be removed");
      return false;
    }
  }

  private used({ key, usedAt }: MainImageRow): void {
    const now = this.now();
    if (now - usedAt >= NOTE_EVERY_MS) void this.change(key, (row) => row && { ...row, usedAt: now });
  }

  private async forget({ key, image }: MainImageRow): Promise<void> {
    await this.change(key, (row) => (row?.image === image ? { ...row, over: true } : undefined));
  }

  /** @param next of the row as it is in that turn; undefined: nothing is to be written */
  private async change(
    key: string,
    next: (row: MainImageRow | undefined) => MainImageRow | undefined,
  ): Promise<Result<void>> {
    const written = await this.options.write((turn) => {
      const before = this.rows.get(key);
      const row = next(before);
      if (row === undefined) return fine;
      turn.put("mainImages", row);
      turn.onUndo(() => this.set(key, before));
      this.set(key, row.over ? undefined : row);
      return fine;
    });
    if (!written.ok)
      this.options.log.warn({ key, reason: written.refusal.message }, "a main image is not noted");
    return written;
  }

  private set(key: string, row: MainImageRow | undefined): void {
    if (row === undefined) this.rows.delete(key);
    else this.rows.set(key, row);
  }
}

/** By the labels that a container has of its image; `Image` is an id, where Docker says it. */
function originIn(
  seen: (Inspect & { Image?: string }) | undefined,
  { image }: ManagedContainer,
  key: string,
): Origin {
  const labels = seen?.Config?.Labels ?? {};
  const fromMain = labels[LABELS.key] === key;
  return { fromMain, base: (fromMain && labels[LABELS.base]) || (seen?.Image ?? image) };
}

const labelsOf = ({ key, shown, base }: { key: string; shown: string; base: string }) => ({
  ...{ [LABELS.key]: key, [LABELS.shown]: shown, [LABELS.base]: base },
});

/** Berth's labels of the container would say of each container made from the image what is true of this one. Empty ones count as none. */
function withoutOurs(seen: Inspect | undefined): Record<string, string> {
  const ours = Object.keys(seen?.Config?.Labels ?? {}).filter((name) => name.startsWith("berth."));
  return Object.fromEntries(ours.map((name) => [name, ""]));
}

/** What the container itself was given of the set-up's variables. */
function blanks(seen: Inspect | undefined, env: Readonly<Record<string, string>>): string[] {
  const given = new Set(seen?.Config?.Env ?? []);
  return Object.entries(env)
    .filter(([name, value]) => given.has(`${name}=${value}`))
    .map(([name]) => `ENV ${name}=`);
}
