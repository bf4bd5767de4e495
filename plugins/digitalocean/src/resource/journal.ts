/**
 * What an `up` has begun to make, kept in the account itself, so that the next one knows after a kill.
 *
 * Before something is made, a tag of ours is put up that names whose it is (from the URN, which holds stack and
 * project) and of which request (a hash of it): on the thing, where it can carry tags, else by itself. The tag goes
 * again once the engine has surely noted the thing, some seconds later or when the plugin ends. So a tag that is
 * found when a plugin starts was left by a run that was killed, and whoever creates under the same URN looks
 * for the thing first. States never show these tags, and in the long run no thing has them: with the official plugin
 * no diff comes of them.
 */
import { createHash } from "node:crypto";
import { type Api, ApiError } from "../api";

const PREFIX = "berth-id:";

/** The engine writes its state at once, over a network within seconds. */
const SETTLE_MS = 10_000;

export interface Mark {
  /** Whose: the start of `tag`. */
  readonly whose: string;
  readonly tag: string;
}

/** @param request what the thing is made of, without what differs from run to run. */
export function markOf(urn: string, request: unknown): Mark {
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);
  const whose = PREFIX + hash(urn);
  return { whose, tag: `${whose}:${hash(`${urn}\n${JSON.stringify(request)}`)}` };
}

export function isMark(tag: unknown): boolean {
  return typeof tag === "string" && tag.startsWith(PREFIX);
}

/** Tags without our own. */
export function ownTags(tags: readonly string[] | null | undefined): string[] {
  return (tags ?? []).filter((tag) => !isMark(tag));
}

/** @returns undefined if the token may not read tags. */
async function marksIn(api: Api): Promise<Set<string> | undefined> {
  try {
    const all = await api.list<{ name: string }>("look for what an interrupted run left", "v2/tags", "tags");
    return new Set(all.map(({ name }) => name).filter(isMark));
  } catch (error) {
    // Keys, networks and names need no tags: such a token works as it did, without the journal.
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return undefined;
    throw error;
  }
}

/** One per plugin process: nobody else works on its stack meanwhile. */
export class Journal {
  private stood: Promise<Set<string> | undefined> | undefined;
  /** By URN: the ids that the engine showed. */
  private readonly known = new Map<string, Set<string>>();
  /** Tags to delete, and what to do with a refusal. */
  private readonly due = new Map<string, (message: string) => void>();
  private readonly timers = new Set<NodeJS.Timeout>();

  constructor(
    private readonly api: Api,
    private readonly settleMs = SETTLE_MS,
  ) {}

  /** The engine holds this in its state. @param id undefined: not told. */
  inState(urn: string, id?: string): void {
    const ids = this.known.get(urn) ?? new Set();
    if (id !== undefined) ids.add(id);
    this.known.set(urn, ids);
  }

  /**
   * Whether a thing that carries the URN's mark stands in the state already, so that its mark is just old. Where the
   * engine has the URN but did not say the id (a forced replacement), it is taken for that: what may be in use is
   * never taken over.
   */
  holds(urn: string, id: string): boolean {
    const ids = this.known.get(urn);
    return ids !== undefined && (ids.size === 0 || ids.has(id));
  }

  /** Before a change, so that old marks are swept at the end. */
  async wake(): Promise<void> {
    await this.earlier("");
  }

  /** Marks under the URN that earlier runs left; undefined: nobody may tell. */
  async earlier(whose: string): Promise<string[] | undefined> {
    this.stood ??= marksIn(this.api);
    const marks = await this.stood.catch((error: unknown) => {
      this.stood = undefined;
      throw error;
    });
    return marks && [...marks].filter((tag) => tag.startsWith(`${whose}:`));
  }

  /** A create is over and the engine is told: its mark goes in a while. */
  settle(tag: string, warn: (message: string) => void): void {
    this.due.set(tag, warn);
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      void this.remove(tag);
    }, this.settleMs);
    timer.unref();
    this.timers.add(timer);
  }

  /** A mark that means nothing any more goes at once. */
  async drop(tag: string, warn: (message: string) => void): Promise<void> {
    this.due.set(tag, warn);
    await this.remove(tag);
  }

  /** At the plugin's end, when the engine has noted everything. */
  async close(): Promise<void> {
    for (const timer of this.timers) clearTimeout(timer);
    await this.sweep();
    await Promise.all([...this.due.keys()].map((tag) => this.remove(tag)));
  }

  /** Old marks of what the state holds; only in a run that changed something, for a preview may not. */
  private async sweep(): Promise<void> {
    const marks = await this.stood?.catch(() => undefined);
    for (const [urn, ids] of this.known) {
      const { whose } = markOf(urn, "");
      for (const tag of marks ?? [])
        if (ids.size > 0 && tag.startsWith(`${whose}:`) && !this.due.has(tag)) this.due.set(tag, () => {});
    }
  }

  private async remove(tag: string): Promise<void> {
    const warn = this.due.get(tag);
    if (warn === undefined) return;
    this.due.delete(tag);
    (await this.stood?.catch(() => undefined))?.delete(tag);
    try {
      await this.api.delete(`delete tag ${tag}`, `v2/tags/${encodeURIComponent(tag)}`);
    } catch (error) {
      warn(`${(error as Error).message}. The tag ${tag} stays behind; it may be deleted by hand`);
    }
  }
}
