/** Creating a thing once, even if `up` is killed half-way; see journal.ts. */
import { ProviderError } from "@berth/plugin-base";
import { ApiError } from "../api";
import type { Work } from "./define";
import { type Mark, markOf } from "./journal";

export interface Steps<T> {
  /** `create droplet web`. */
  readonly what: string;
  /** What the thing is made of, without what differs from run to run. */
  readonly request: unknown;
  readonly idOf: (thing: T) => string;
  /**
   * All that a create under this mark may have made. Called only when one is known to have begun.
   *
   * @returns those that carry the mark, or else have what no two things can share.
   */
  readonly find: (mark: string) => Promise<T[]>;
  readonly post: (mark: string) => Promise<T>;
  /** How a left-over is deleted by hand, `doctl compute droplet delete`. */
  readonly remove: string;
  /** The thing carries the mark itself. Default: the mark stands alone. */
  readonly carries?: boolean;
  /** What `find` gives is of the mark's own request, whatever this one is. */
  readonly certain?: boolean;
}

/** Takes over what a killed run left of the same request, or makes it. */
export async function createOnce<T>(work: Work, steps: Steps<T>): Promise<T> {
  const { journal, urn, api } = work;
  const { what } = steps;
  const mark = markOf(urn, steps.request);
  const left = await leftOver(work, mark, steps);
  if (left !== undefined) return left;
  const journaled = (await journal.earlier(mark.whose)) !== undefined;
  if (journaled && steps.carries !== true) {
    const body = { name: mark.tag };
    await api.post(`${what}: note that it begins`, "v2/tags", { signal: work.signal, body });
  }
  if (journaled || steps.carries === true) work.begun(mark.tag);
  for (let attempt = 0; ; attempt++) {
    try {
      return await steps.post(mark.tag);
    } catch (error) {
      if (!(error instanceof ApiError && error.unclear) || attempt >= api.retryMax) throw error;
      await api.backOff(what, attempt, work.signal);
      // It may have been made all the same.
      const made = await others(work, steps, mark.tag);
      if (made.length === 1 && (journaled || steps.carries === true)) return made[0] as T;
      if (made.length > 0) throw error;
    }
  }
}

async function others<T>({ journal, urn }: Work, steps: Steps<T>, tag: string): Promise<T[]> {
  return (await steps.find(tag)).filter((thing) => !journal.holds(urn, steps.idOf(thing)));
}

async function leftOver<T>(work: Work, mark: Mark, steps: Steps<T>): Promise<T | undefined> {
  const { journal } = work;
  const fits: T[] = [];
  const odd: T[] = [];
  for (const tag of (await journal.earlier(mark.whose)) ?? []) {
    const found = await others(work, steps, tag);
    if (found.length === 0) await journal.drop(tag, work.warn);
    else {
      work.begun(tag);
      (tag === mark.tag || steps.certain === true ? fits : odd).push(...found);
    }
  }
  const [first] = fits;
  if (first !== undefined && fits.length === 1 && odd.length === 0) {
    work.warn(`${steps.what}: ${steps.idOf(first)} was left by an interrupted run and is taken over`);
    return first;
  }
  const ids = [...fits, ...odd].map(steps.idOf);
  if (ids.length === 0) return undefined;
  work.forget();
  throw new ProviderError(
    `${steps.what}: an interrupted run left ${ids.join(", ")}, noted by the tag ${mark.whose}…, which the program now describes ` +
      `otherwise. Look whether it holds data; then delete it (${ids.map((id) => `${steps.remove} ${id}`).join("; ")}) ` +
      "or take it over with pulumi import, and run up again",
  );
}
