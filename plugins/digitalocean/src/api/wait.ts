/** Waiting for what the API carries out in the background. */
import { ProviderError } from "@berth/plugin-base";
import { type Api, PER_PAGE } from "./client";
import { type Kind, Watch } from "./watch";

const SHORTEST_MS = 1_000;
const LONGEST_MS = 10_000;
/** Nothing is noticed later than by this part of what it took, down to {@link SHORTEST_MS}. */
const PART = 10;
const GRID_MS = 500;

/**
 * How long until the next look. Waits end at whole half seconds, so that many who wait look together; see droplet/watch.ts.
 *
 * @param waited so far.
 */
export function pollMs(waited: number, now: number): number {
  const ms = Math.min(Math.max(SHORTEST_MS, waited / PART), LONGEST_MS);
  return Math.floor((now + ms) / GRID_MS) * GRID_MS - now;
}

/** As the official plugin gives an action. */
export const ACTION_MS = 60 * 60_000;

export interface Deadline {
  readonly signal?: AbortSignal;
  /** Milliseconds in all. */
  readonly ms: number;
}

/**
 * Asks until there is an answer, every second at first, at growing distances up to 10 s.
 *
 * @param look undefined: not yet.
 * @throws ProviderError at the deadline, naming `what`; the signal's reason when it is aborted.
 */
export async function until<T>(
  api: Api,
  what: string,
  deadline: Deadline,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const start = api.clock.now();
  const end = start + deadline.ms;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    const ms = pollMs(api.clock.now() - start, api.clock.now());
    if (api.clock.now() + ms > end) {
      throw new ProviderError(
        `${what}: not done within ${Math.round(deadline.ms / 1000)} s; look at it in the control panel, then run up again, ` +
          "or give it longer with the resource option customTimeouts",
      );
    }
    await api.pause(what, ms, deadline.signal);
  }
}

export interface Action {
  readonly id: number;
  readonly status: string;
  readonly completed_at?: string | null;
}

/**
 * Waits for an action's end.
 *
 * @param path of the action, for one that is asked for by itself; `v2/actions/ID` when left out.
 * @throws ProviderError if it ended in an error.
 */
export async function actionDone(
  api: Api,
  what: string,
  action: Action,
  deadline: Deadline,
  path?: string,
): Promise<void> {
  if (ended(what, action)) return;
  const name = `${what} (action ${action.id})`;
  const wait = (look: () => Promise<Action | undefined>) =>
    until(api, name, deadline, async () => over(what, await look()));
  if (path !== undefined) {
    await wait(() => readAction(api, path, deadline.signal));
    return;
  }
  const watch = Watch.of(api, actions);
  await watch.during(() => wait(() => watch.look(String(action.id), deadline.signal)));
}

const actions: Kind<Action> = {
  one: (api, id, signal) => readAction(api, `v2/actions/${id}`, signal),
  // The newest come first: those that are waited for stand on the first page.
  many: async (api) => {
    const query = { page: 1, per_page: PER_PAGE };
    const { actions } = (await api.get("look at the actions", "v2/actions", { query })) as {
      readonly actions: readonly Action[];
    };
    return new Map(actions.map((action) => [String(action.id), action]));
  },
};

async function readAction(
  api: Api,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Action | undefined> {
  const answer = await api.find(`look at ${path}`, path, { signal });
  return (answer as { readonly action: Action } | undefined)?.action;
}

/** An action may not be there yet just after it was started. */
function over(what: string, action: Action | undefined): true | undefined {
  return action !== undefined && ended(what, action) ? true : undefined;
}

function ended(what: string, action: Action): boolean {
  if (action.status === "errored") {
    throw new ProviderError(
      `${what}: the action ${action.id} ended in an error; the control panel's history of the resource says why`,
    );
  }
  return action.status === "completed" || (action.completed_at ?? null) !== null;
}

/** True for the refusal that passes by itself: a droplet takes one action at a time. */
export function isPending(said: string): boolean {
  return /pending event/i.test(said);
}
