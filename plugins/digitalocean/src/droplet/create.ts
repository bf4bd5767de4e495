/** Creating a droplet: once, and until it is active. */
import type { Props } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { createOnce, type Found, HalfMade, type Work } from "../resource";
import { type ApiDroplet, dropletBody } from "./map";
import { act, dropletIs } from "./wait";

const CREATE_MS = 60 * 60_000;

export async function createDroplet(inputs: Props, work: Work): Promise<Found<ApiDroplet>> {
  const { api, signal } = work;
  const name = str(inputs, "name") ?? "";
  const what = `create droplet ${name}`;
  const thing = await createOnce<ApiDroplet>(work, {
    what,
    // Without the name: where the plugin makes it up, the next run has another one.
    request: { ...dropletBody(inputs), name: undefined },
    idOf: (droplet) => String(droplet.id),
    find: (mark) =>
      api.list("look for a droplet that an interrupted run left", "v2/droplets", "droplets", {
        signal,
        query: { tag_name: mark },
      }),
    async post(mark) {
      const body = dropletBody(inputs, [mark]);
      const answer = await api.post(what, "v2/droplets", { signal, body, once: true });
      return (answer as { readonly droplet: ApiDroplet }).droplet;
    },
    remove: "doctl compute droplet delete",
    carries: true,
  });
  const id = String(thing.id);
  try {
    const active = ({ status }: ApiDroplet): boolean => status === "active";
    const waiting = `${what} (${id}): wait until it is active`;
    let found = await dropletIs(waiting, id, work, work.deadline(CREATE_MS), active, "wait");
    if (found.name !== name) {
      await act(`rename droplet ${id}`, id, { type: "rename", name }, work);
      found = { ...found, name };
    }
    return { id, found };
  } catch (error) {
    throw new HalfMade((error as Error).message, { id, found: thing });
  }
}
