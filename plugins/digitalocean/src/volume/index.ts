/** `digitalocean:index/volume:Volume` and `digitalocean:index/volumeAttachment:VolumeAttachment`. */
import type { Props, ResourceType } from "@berth/plugin-base";
import { ACTION_MS, type Action, type Api, actionDone } from "../api";
import { int, str } from "../bridge";
import {
  changed,
  createOnce,
  defineResource,
  HalfMade,
  lower,
  marksOf,
  release,
  setTags,
  type Work,
} from "../resource";
import { findVolume } from "./find";
import { type ApiVolume, volumeBody, volumeChange, volumeFields, volumeState } from "./map";

export { volumeAttachmentType } from "./attachment";

interface Answer {
  readonly volume: ApiVolume;
}

export function volumeType(api: () => Api): ResourceType {
  return defineResource<ApiVolume>(api, {
    fields: volumeFields,
    physicalName: (name) => name.toLowerCase(),
    adjust: volumeChange,
    state: volumeState,
    async create(inputs, work) {
      const found = await createVolume(inputs, work);
      return { id: found.id, found };
    },
    async read(id, _known, work) {
      const found = await findVolume(id, work);
      return found === undefined ? undefined : { id, found };
    },
    async update(id, olds, news, work) {
      if (changed(volumeFields, "size", olds, news)) await resize(id, news, work);
      if (changed(volumeFields, "tags", olds, news)) await setTags(work, "volume", id, olds, news);
      return (
        (await work.api.get(`read volume ${id}`, `v2/volumes/${id}`, { signal: work.signal })) as Answer
      ).volume;
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`delete volume ${id}`, `v2/volumes/${encodeURIComponent(id)}`, { signal }),
  });
}

/** A volume's name is unique in its region, so what carries our tags must carry the name too. */
async function createVolume(inputs: Props, work: Work): Promise<ApiVolume> {
  const { api, signal } = work;
  const name = str(inputs, "name") ?? "";
  const what = `create volume ${name}`;
  const marks = marksOf(work.urn, volumeBody(inputs, []));
  const { thing, left } = await createOnce<ApiVolume>(what, work, marks, {
    async find() {
      const query = { name, region: String(lower(inputs.region)) };
      const all = await api.list<ApiVolume>(`look for volume ${name}`, "v2/volumes", "volumes", {
        signal,
        query,
      });
      return all.filter(({ tags }) => tags?.includes(marks.whose));
    },
    async post() {
      const body = volumeBody(inputs, [marks.whose, marks.which]);
      return ((await api.post(what, "v2/volumes", { signal, body, once: true })) as Answer).volume;
    },
    remove: "doctl compute volume delete",
  });
  if (left) work.warn(`volume ${name} (${thing.id}) was left by an interrupted run and is taken over`);
  try {
    await release(api, work, [marks.which, marks.whose]);
  } catch (error) {
    throw new HalfMade((error as Error).message, { id: thing.id, found: thing });
  }
  return thing;
}

async function resize(id: string, news: Props, { api, signal }: Work): Promise<void> {
  const what = `resize volume ${id} to ${int(news, "size")} GiB`;
  const body = { type: "resize", size_gigabytes: int(news, "size"), region: lower(news.region) };
  const answer = await api.post(what, `v2/volumes/${id}/actions`, { signal, body });
  await actionDone(api, what, (answer as { action: Action }).action, { signal, ms: ACTION_MS });
}
