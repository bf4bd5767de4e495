/** Deleting a droplet: unlocked, shut down if asked for, its volumes let go, and gone. */
import type { Props } from "@berth/plugin-base";
import { bool } from "@berth/plugin-base/bridged";
import { ApiError, until } from "../api";
import type { Work } from "../resource";
import { move } from "../volume/attachment";
import type { ApiDroplet } from "./map";
import { findDroplet, start } from "./wait";

/** Official. */
const DELETE_MS = 60_000;

export async function deleteDroplet(id: string, olds: Props, work: Work): Promise<void> {
  const deadline = work.deadline(DELETE_MS);
  const isOrGone = (what: string, wanted: (droplet: ApiDroplet) => boolean) =>
    until(work.api, what, deadline, async () => {
      const droplet = await findDroplet(id, work);
      if (droplet === undefined) return "gone" as const;
      return wanted(droplet) ? droplet : undefined;
    });

  const droplet = await isOrGone(`delete droplet ${id}: wait until it is unlocked`, ({ locked }) => !locked);
  if (droplet === "gone") return;
  if (bool(olds, "gracefulShutdown") === true && droplet.status === "active") {
    await start(`shut down droplet ${id}`, id, { type: "shutdown" }, work);
    await isOrGone(`shut down droplet ${id}`, ({ locked, status }) => !locked && status === "off");
  }
  for (const volumeId of droplet.volume_ids ?? []) {
    try {
      await move("detach", { dropletId: droplet.id, volumeId }, work);
    } catch (error) {
      // Somebody else let it go meanwhile.
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    }
  }
  await work.api.delete(`delete droplet ${id}`, `v2/droplets/${id}`, { signal: work.signal });
  await isOrGone(`delete droplet ${id}: wait until it is gone`, () => false);
}
