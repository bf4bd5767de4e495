/**
 * Looking at many things of one kind at once. A token has 250 requests a minute: where several are waited for, one list
 * answers for all of them.
 */
import type { Api } from "./client";

/** Looks that come within so many milliseconds go together. */
const TOGETHER_MS = 50;

/** From so many on, a list costs less than asking one by one. */
const SEVERAL = 3;

/** How one kind of thing is asked for. */
export interface Kind<T> {
  /** One of them; undefined: there is none. */
  one(api: Api, id: string, signal: AbortSignal | undefined): Promise<T | undefined>;
  /** Those that a list shows, by id. What it leaves out is asked for by itself. */
  many(api: Api): Promise<ReadonlyMap<string, T>>;
}

export class Watch<T> {
  private waiting = 0;
  private batch: { readonly ids: Set<string>; readonly found: Promise<ReadonlyMap<string, T>> } | undefined;

  private constructor(
    private readonly api: Api,
    private readonly kind: Kind<T>,
  ) {}

  private static readonly all = new WeakMap<Api, Map<unknown, Watch<unknown>>>();

  /** One for each kind and configured plugin. */
  static of<T>(api: Api, kind: Kind<T>): Watch<T> {
    const kinds = Watch.all.get(api) ?? new Map<unknown, Watch<unknown>>();
    Watch.all.set(api, kinds);
    const watch = (kinds.get(kind) as Watch<T> | undefined) ?? new Watch(api, kind);
    kinds.set(kind, watch as Watch<unknown>);
    return watch;
  }

  /** Counts who waits while `work` runs. */
  async during<R>(work: () => Promise<R>): Promise<R> {
    this.waiting++;
    try {
      return await work();
    } finally {
      this.waiting--;
    }
  }

  /** The thing as it is now; undefined: there is none. */
  async look(id: string, signal: AbortSignal | undefined): Promise<T | undefined> {
    if (this.waiting < SEVERAL) return await this.kind.one(this.api, id, signal);
    this.batch ??= this.begin();
    const { ids, found } = this.batch;
    ids.add(id);
    const listed = (await found).get(id);
    signal?.throwIfAborted();
    return listed ?? (await this.kind.one(this.api, id, signal));
  }

  private begin() {
    const ids = new Set<string>();
    const found = (async () => {
      await new Promise((resolve) => setTimeout(resolve, TOGETHER_MS));
      this.batch = undefined;
      return ids.size < SEVERAL ? new Map<string, T>() : await this.kind.many(this.api);
    })();
    return { ids, found };
  }
}
