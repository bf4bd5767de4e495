/** What a pool does next: which containers it makes, and which it removes. Pure. */
import { nextSizeLook, sizeAt } from "./schedule";
import type { Template } from "./template";

/** A container of the pool, which nobody has yet. */
export interface PoolContainer {
  id: string;
  /** `templateHash` of the template that the container was made from. */
  hash: string;
  /** `warming`: its health check has not passed yet. */
  state: "warming" | "ready";
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** Failed attempts to make a container of a template; kept until one succeeds. */
export interface BackOff {
  /** `templateHash` of the template that failed; a template that has changed since is tried at once. */
  hash: string;
  /** In a row. */
  failures: number;
  /** Until then nothing is tried. */
  until: number;
}

export interface PoolInput {
  template: Pick<Template, "targetSize" | "minSize" | "maxCreating" | "ttlSeconds" | "schedule" | "timeZone">;
  /** `templateHash` of the template. */
  hash: string;
  containers: readonly PoolContainer[];
  /** Containers that are being made and are not in `containers` yet. */
  creating: number;
  /** How many more the node takes. @default any number */
  room?: number;
  /** @default the last attempt succeeded */
  backOff?: BackOff;
  /** Milliseconds since the epoch. */
  now: number;
}

export interface PoolPlan {
  /** How many are to be made now. */
  create: number;
  /** Fewer are ready than `minSize`: what is to be made goes before other work of the node. */
  urgent: boolean;
  /** Those that nobody may claim from now on. */
  remove: string[];
  /** When to plan again at the latest, in milliseconds since the epoch. Left out: when something has happened. */
  nextLook?: number;
}

const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 5 * 60_000;

/**
 * Nothing is made beyond the target. Containers of an older version of the template are removed at once. A ready container
 * that is older than `ttlSeconds` is removed while `minSize` others are ready, so that those that still work stay when the
 * image has broken since. A full pool whose target is `minSize` removes one all the same, to make place for the next.
 */
export function planPool(input: PoolInput): PoolPlan {
  const { containers, hash, creating, now } = input;
  const { target, min } = sizeAt(input.template, now);
  const current = containers.filter((one) => one.hash === hash).sort(byAge);
  const fresh = without(current, expired(current, input, target, min));
  const kept = without(fresh, surplus(fresh, target));
  const ready = kept.filter(isReady).length;
  const wanted = Math.max(0, target - kept.length - creating);
  const waitsUntil = waiting(input);
  const allowed = waitsUntil === undefined ? openings(input, kept.length - ready) : 0;
  return {
    create: Math.min(wanted, allowed),
    urgent: ready < min,
    remove: without(containers, kept).map(({ id }) => id),
    ...soonest([
      wanted > 0 ? waitsUntil : undefined,
      nextExpiry(kept, input),
      nextSizeLook(input.template, now),
    ]),
  };
}

/** The container that a claim hands out: the oldest ready one of this version of the template. */
export const claimable = (containers: readonly PoolContainer[], hash: string): PoolContainer | undefined =>
  containers.filter((one) => one.hash === hash && isReady(one)).sort(byAge)[0];

/**
 * The pool waits 5 s after the first failure and twice as long after each further one, up to 5 minutes. What fails during a
 * wait was begun before it, so it does not make the wait longer.
 */
export function afterFailure(before: BackOff | undefined, hash: string, now: number): BackOff {
  if (before && waiting({ backOff: before, hash, now }) !== undefined) return before;
  const failures = before?.hash === hash ? before.failures : 0;
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return { hash, failures: failures + 1, until: now + wait };
}

const isReady = ({ state }: PoolContainer) => state === "ready";

/** The oldest first; ids tell those of one moment apart. */
const byAge = (a: PoolContainer, b: PoolContainer) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);

const without = (all: readonly PoolContainer[], some: readonly PoolContainer[]) =>
  all.filter((one) => !some.includes(one));

/** When a container becomes too old; never, without `ttlSeconds`. */
const expiryOf = ({ createdAt }: PoolContainer, { ttlSeconds }: PoolInput["template"]) =>
  createdAt + (ttlSeconds ?? Number.POSITIVE_INFINITY) * 1000;

/** Ready containers that are too old, the oldest first, and only as many as leave enough others. */
function expired(
  current: readonly PoolContainer[],
  { template, now }: PoolInput,
  target: number,
  min: number,
): PoolContainer[] {
  const ready = current.filter(isReady);
  const spare = Math.max(0, ready.length - Math.min(min, target - 1));
  return ready.filter((one) => expiryOf(one, template) <= now).slice(0, spare);
}

/** Containers beyond the target: the youngest of those that warm up, then the oldest of the ready ones. */
function surplus(current: readonly PoolContainer[], target: number): PoolContainer[] {
  const warming = current.filter((one) => !isReady(one)).reverse();
  return [...warming, ...current.filter(isReady)].slice(0, Math.max(0, current.length - target));
}

/** Until when the pool waits after a failure. An end further off than the longest wait is ignored: the clock was set back. */
function waiting({ backOff, hash, now }: Pick<PoolInput, "backOff" | "hash" | "now">): number | undefined {
  if (backOff?.hash !== hash || backOff.until <= now) return undefined;
  return backOff.until - now <= LONGEST_WAIT_MS ? backOff.until : undefined;
}

/** How many may be begun now. After a failure only one is made at a time, until one succeeds. */
function openings(
  { template, backOff, hash, creating, room = Number.POSITIVE_INFINITY }: PoolInput,
  warming: number,
) {
  const most = backOff?.hash === hash ? 1 : template.maxCreating;
  return Math.max(0, Math.min(room, most - creating - warming));
}

const nextExpiry = (kept: readonly PoolContainer[], { template, now }: PoolInput) =>
  kept
    .filter(isReady)
    .map((one) => expiryOf(one, template))
    .find((at) => at > now && Number.isFinite(at));

function soonest(times: readonly (number | undefined)[]): { nextLook?: number } {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? {} : { nextLook: Math.min(...known) };
}
