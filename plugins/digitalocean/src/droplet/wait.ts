/** Waiting for a droplet, and making it do things. */
import { ProviderError } from "@berth/plugin-base";
import { ACTION_MS, type Action, ApiError, actionDone, type Deadline, until } from "../api";
import type { Work } from "../resource";
import type { ApiDroplet } from "./map";
import { readDroplet, watchOf } from "./watch";

export function findDroplet(id: string, { api, signal }: Work): Promise<ApiDroplet | undefined> {
  return readDroplet(id, api, signal);
}

/**
 * Waits until the droplet is unlocked and as wanted.
 *
 * @param gone what it means if there is none: `wait` (a new one may not show yet), or an error.
 */
export async function dropletIs(
  what: string,
  id: string,
  work: Work,
  deadline: Deadline,
  wanted: (droplet: ApiDroplet) => boolean,
  gone: "wait" | "error" = "error",
): Promise<ApiDroplet> {
  const watch = watchOf(work.api);
  return await watch.during(() =>
    until(work.api, what, deadline, async () => {
      const droplet = await watch.look(id, work.signal);
      if (droplet === undefined) {
        if (gone === "wait") return undefined;
        throw new ProviderError(`${what}: droplet ${id} is gone; run pulumi refresh`);
      }
      return !droplet.locked && wanted(droplet) ? droplet : undefined;
    }),
  );
}

/** Starts an action of the droplet and waits for its end. */
export async function act(what: string, id: string, body: object, work: Work): Promise<void> {
  const action = await start(what, id, body, work);
  await actionDone(work.api, what, action, { signal: work.signal, ms: ACTION_MS });
}

export async function start(what: string, id: string, body: object, { api, signal }: Work): Promise<Action> {
  const answer = await api.post(what, `v2/droplets/${id}/actions`, { signal, body });
  return (answer as { readonly action: Action }).action;
}

/** Turns it off if it is on. */
export async function powerOff(id: string, work: Work, deadline: Deadline): Promise<void> {
  const what = `power off droplet ${id}`;
  try {
    await start(what, id, { type: "power_off" }, work);
  } catch (error) {
    if (!(error instanceof ApiError && /already powered off/i.test(error.said))) throw error;
  }
  await dropletIs(what, id, work, deadline, ({ status }) => status === "off");
}

export async function powerOn(id: string, work: Work, deadline: Deadline): Promise<void> {
  const what = `power on droplet ${id}`;
  await start(what, id, { type: "power_on" }, work);
  await dropletIs(what, id, work, deadline, ({ status }) => status === "active");
}
