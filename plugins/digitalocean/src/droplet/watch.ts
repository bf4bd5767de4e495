/**
 * Looking at many droplets at once. A token has 250 requests a minute: where several droplets are waited for, one
 * list answers for all of them.
 */
import type { Api } from "../api";
import type { ApiDroplet } from "./map";

/** Looks that come within so many milliseconds go together. */
const TOGETHER_MS = 50;

/** From so many on, a list costs less than asking one by one. */
const SEVERAL = 3;

export async function readDroplet(
  id: string,
  api: Api,
  signal?: AbortSignal,
): Promise<ApiDroplet | undefined> {
  const answer = await api.find(`read droplet ${id}`, `v2/droplets/${encodeURIComponent(id)}`, { signal });
  return (answer as { readonly droplet: ApiDroplet } | undefined)?.droplet;
}

class Watch {
  private waiting = 0;
  private batch: { readonly ids: Set<string>; readonly found: Promise<Map<string, ApiDroplet>> } | undefined;

  constructor(private readonly api: Api) {}

  /** Counts who waits while `work` runs. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.waiting++;
    try {
      return await work();
    } finally {
      this.waiting--;
    }
  }

  /** The droplet as it is now; undefined: there is none. */
  async look(id: string, signal: AbortSignal): Promise<ApiDroplet | undefined> {
    if (this.waiting < SEVERAL) return await readDroplet(id, this.api, signal);
    this.batch ??= this.begin();
    const { ids, found } = this.batch;
    ids.add(id);
    // What the list leaves out (droplets with GPUs, those that are gone) is asked for by itself.
    const listed = (await found).get(id);
    signal.throwIfAborted();
    return listed ?? (await readDroplet(id, this.api, signal));
  }

  private begin() {
    const ids = new Set<string>();
    const found = (async () => {
      await new Promise((resolve) => setTimeout(resolve, TOGETHER_MS));
      this.batch = undefined;
      if (ids.size < SEVERAL) return new Map<string, ApiDroplet>();
      const all = await this.api.list<ApiDroplet>("look at the droplets", "v2/droplets", "droplets");
      return new Map(all.map((droplet) => [String(droplet.id), droplet]));
    })();
    return { ids, found };
  }
}

const watches = new WeakMap<Api, Watch>();

/** One per configured plugin. */
export function watchOf(api: Api): Watch {
  const watch = watches.get(api) ?? new Watch(api);
  watches.set(api, watch);
  return watch;
}
