/** `digitalocean:index/tag:Tag`. */
import type { ResourceType } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { defineResource, type Session } from "../resource";
import { type ApiTag, tagFields, tagState } from "./map";

export function tagType(session: () => Session): ResourceType {
  return defineResource<ApiTag>(session, {
    fields: tagFields,
    state: tagState,
    async create(inputs, { api: client, signal }) {
      // The API answers with the tag that is there if the name is taken, so a second try does no harm.
      const call = { signal, body: { name: str(inputs, "name") } };
      const { tag } = (await client.post(`create tag ${str(inputs, "name")}`, "v2/tags", call)) as {
        tag: ApiTag;
      };
      return { id: tag.name, found: tag };
    },
    async read(id, _known, { api: client, signal }) {
      const path = `v2/tags/${encodeURIComponent(id)}`;
      const answer = (await client.find(`read tag ${id}`, path, { signal })) as { tag: ApiTag } | undefined;
      return answer === undefined ? undefined : { id: answer.tag.name, found: answer.tag };
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`delete tag ${id}`, `v2/tags/${encodeURIComponent(id)}`, { signal }),
  });
}
