/** `digitalocean:index/volume:Volume` and `digitalocean:index/volumeAttachment:VolumeAttachment`. */
import type { Props, ResourceType } from "@berth/plugin-base";
import { int, str } from "@berth/plugin-base/bridged";
import { ACTION_MS, type Action, actionDone } from "../api";
import { changed, createOnce, defineResource, lower, type Session, setTags, type Work } from "../resource";
import { findVolume } from "./find";
import { type ApiVolume, volumeBody, volumeChange, volumeFields, volumeState } from "./map";

export { volumeAttachmentType } from "./attachment";

interface Answer {
  readonly volume: ApiVolume;
}

export function volumeType(session: () => Session): ResourceType {
  return defineResource<ApiVolume>(session, {
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

async function createVolume(inputs: Props, work: Work): Promise<ApiVolume> {
  const { api, signal } = work;
  const what = `create volume ${str(inputs, "name")}`;
  return await createOnce<ApiVolume>(work, {
    what,
    request: volumeBody(inputs, []),
    idOf: ({ id }) => id,
    async find(mark) {
      const query = { region: String(lower(inputs.region)) };
      const all = await api.list<ApiVolume>("look for volumes", "v2/volumes", "volumes", { signal, query });
      return all.filter(({ tags }) => tags?.includes(mark));
    },
    async post(mark) {
      const body = volumeBody(inputs, [mark]);
      return ((await api.post(what, "v2/volumes", { signal, body, once: true })) as Answer).volume;
    },
    remove: "doctl compute volume delete",
    carries: true,
  });
}

async function resize(id: string, news: Props, { api, signal }: Work): Promise<void> {
  const what = `resize volume ${id} to ${int(news, "size")} GiB`;
  const body = { type: "resize", size_gigabytes: int(news, "size"), region: lower(news.region) };
  const answer = await api.post(what, `v2/volumes/${id}/actions`, { signal, body });
  await actionDone(api, what, (answer as { action: Action }).action, { signal, ms: ACTION_MS });
}
