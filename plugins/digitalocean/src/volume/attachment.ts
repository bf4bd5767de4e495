/** `digitalocean:index/volumeAttachment:VolumeAttachment`. Every change replaces. */
import { type Props, ProviderError, type ResourceType } from "@berth/plugin-base";
import { type Fields, int, integer, str, string } from "@berth/plugin-base/bridged";
import { ACTION_MS, type Action, ApiError, actionDone, isPending, until } from "../api";
import { defineResource, type Session, SOME, type Work } from "../resource";
import { findVolume } from "./find";

export const volumeAttachmentFields: Fields = {
  dropletId: integer({ required: true, replace: true, min: 1 }),
  volumeId: string({ required: true, replace: true, pattern: SOME }),
};

/** How long another action of the droplet is waited for; official. */
const BUSY_MS = 5 * 60_000;

interface Pair {
  readonly dropletId: number;
  readonly volumeId: string;
}

export function volumeAttachmentType(session: () => Session): ResourceType {
  return defineResource<Pair>(session, {
    fields: volumeAttachmentFields,
    state: ({ dropletId, volumeId }) => ({ dropletId, volumeId }),
    async create(inputs, work) {
      const pair = pairOf(inputs);
      if (!(await attached(pair, work))) await move("attach", pair, work);
      return { id: `${pair.dropletId}-${pair.volumeId}-${stamp(work.api.clock.now())}`, found: pair };
    },
    async read(id, known, work) {
      if (known.volumeId === undefined) {
        throw new ProviderError(
          "a volume attachment cannot be imported: declare it, and up takes it as it is",
        );
      }
      const pair = pairOf(known);
      return (await attached(pair, work)) ? { id, found: pair } : undefined;
    },
    async delete(_id, olds, work) {
      const pair = pairOf(olds);
      if (!(await attached(pair, work))) return;
      try {
        await move("detach", pair, work);
      } catch (error) {
        // Either end went away meanwhile.
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
      }
    },
  });
}

function pairOf(props: Props): Pair {
  return { dropletId: int(props, "dropletId") ?? 0, volumeId: str(props, "volumeId") ?? "" };
}

async function attached({ dropletId, volumeId }: Pair, work: Work): Promise<boolean> {
  return (await findVolume(volumeId, work))?.droplet_ids?.includes(dropletId) ?? false;
}

/** A droplet takes one action at a time: waits while it has another. */
export async function move(
  type: "attach" | "detach",
  { dropletId, volumeId }: Pair,
  work: Work,
): Promise<void> {
  const { api, signal } = work;
  const what = `${type} volume ${volumeId} ${type === "attach" ? "to" : "from"} droplet ${dropletId}`;
  const body = { type, droplet_id: dropletId };
  const path = `v2/volumes/${encodeURIComponent(volumeId)}/actions`;
  const action = await until(api, what, work.deadline(BUSY_MS), async () => {
    try {
      return ((await api.post(what, path, { signal, body })) as { action: Action }).action;
    } catch (error) {
      if (error instanceof ApiError && error.status === 422 && isPending(error.said)) return undefined;
      throw error;
    }
  });
  await actionDone(api, what, action, { signal, ms: ACTION_MS });
}

let count = 0;

/** Time and a counter, as long as in the official plugin's ids. */
function stamp(now: number): string {
  const time = new Date(now).toISOString().replace(/\D/g, "").padEnd(18, "0");
  return `${time}${(++count).toString(16).padStart(8, "0")}`;
}
