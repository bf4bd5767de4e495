/**
 * Creating a thing once, even if `up` is killed half-way.
 *
 * A create carries two tags of ours: whose it is (from the URN, which holds stack and project) and of which request
 * (a hash of its body). Whoever creates looks for the first tag before: what is found was left by a run that never
 * got to tell the state, and is taken over if the second tag agrees. Both tags are deleted as soon as the thing is
 * ready. So the state never shows them, no diff comes of them (with the official plugin neither), and a thing that
 * a state holds is never taken for a left-over: a replacement made before its predecessor goes is a new one.
 */
import { createHash } from "node:crypto";
import { ProviderError, type Value } from "@berth/plugin-base";
import { type Api, ApiError } from "../api";
import type { Work } from "./define";

const WHOSE = "berth-id:";
const WHICH = "berth-for:";

export interface Marks {
  readonly whose: string;
  readonly which: string;
}

/** @param request what the thing is made of, without its name and its tags. */
export function marksOf(urn: string, request: unknown): Marks {
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);
  return { whose: WHOSE + hash(urn), which: WHICH + hash(`${urn}\n${JSON.stringify(request)}`) };
}

/** Tags without our own. */
export function ownTags(tags: readonly string[] | null | undefined): string[] {
  return (tags ?? []).filter((tag) => !isMark(tag));
}

export function isMark(tag: Value): boolean {
  return typeof tag === "string" && (tag.startsWith(WHOSE) || tag.startsWith(WHICH));
}

interface Tagged {
  readonly id: number | string;
  readonly name: string;
  readonly tags?: readonly string[] | null;
}

/**
 * @param find everything that carries the tag `marks.whose`.
 * @param remove how a left-over is deleted by hand, `doctl compute droplet delete`.
 * @returns `left`: it was there already.
 */
export async function createOnce<T extends Tagged>(
  what: string,
  work: Work,
  marks: Marks,
  steps: { find: () => Promise<T[]>; post: () => Promise<T>; remove: string },
): Promise<{ thing: T; left: boolean }> {
  for (let attempt = 0; ; attempt++) {
    const left = leftOver(what, marks, steps.remove, await steps.find());
    if (left !== undefined) return { thing: left, left: true };
    try {
      return { thing: await steps.post(), left: false };
    } catch (error) {
      // It may have been made all the same: look again before the next try.
      if (!(error instanceof ApiError && error.unclear) || attempt >= work.api.retryMax) throw error;
      await work.api.backOff(what, attempt, work.signal);
    }
  }
}

function leftOver<T extends Tagged>(
  what: string,
  marks: Marks,
  remove: string,
  found: readonly T[],
): T | undefined {
  if (found.length === 0) return undefined;
  const fits = found.filter(({ tags }) => tags?.includes(marks.which));
  if (fits.length === 1 && found.length === 1) return fits[0];
  const list = found.map(({ id, name }) => `${name} (${id})`).join(", ");
  throw new ProviderError(
    `${what}: an interrupted run left ${list}, tagged ${marks.whose}, which the program now describes otherwise. ` +
      `Look whether it holds data; then delete it (${found.map(({ id }) => `${remove} ${id}`).join("; ")}) ` +
      "or take it over with pulumi import, and run up again",
  );
}

/** Deletes our tags. They harm nothing if the API refuses: reads leave them out. @throws when cancelled. */
export async function release(
  api: Api,
  work: Pick<Work, "signal" | "warn">,
  tags: readonly string[],
): Promise<void> {
  // "berth-for" before "berth-id", which is looked for: cut off in between, the thing is still known as a left-over.
  for (const tag of [...tags].sort()) {
    try {
      await api.delete(`delete tag ${tag}`, `v2/tags/${encodeURIComponent(tag)}`, { signal: work.signal });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      work.warn(`${error.message}. The tag ${tag} stays behind; it may be deleted by hand`);
      return;
    }
  }
}
