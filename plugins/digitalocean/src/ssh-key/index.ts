/** `digitalocean:index/sshKey:SshKey`. */
import type { ResourceType } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { until } from "../api";
import { createOnce, defineResource, HalfMade, type Session, type Work } from "../resource";
import { type ApiSshKey, fingerprintOf, sshKeyFields, sshKeyMeta, sshKeyState } from "./map";

const VISIBLE_MS = 2 * 60_000;

export function sshKeyType(session: () => Session): ResourceType {
  return defineResource<ApiSshKey>(session, {
    fields: sshKeyFields,
    meta: sshKeyMeta,
    state: sshKeyState,
    async create(inputs, work) {
      const what = `create SSH key ${str(inputs, "name")}`;
      const body = { name: str(inputs, "name"), public_key: str(inputs, "publicKey") };
      const key = await createOnce<ApiSshKey>(work, {
        what,
        request: body,
        idOf: ({ id: number }) => String(number),
        // An account has each key once.
        async find() {
          const found = await find(fingerprintOf(body.public_key ?? ""), work);
          return found === undefined ? [] : [found];
        },
        async post() {
          const call = { signal: work.signal, body, once: true };
          return ((await work.api.post(what, "v2/account/keys", call)) as { ssh_key: ApiSshKey }).ssh_key;
        },
        remove: "doctl compute ssh-key delete",
      });
      const id = String(key.id);
      try {
        // A new key may be unknown to the next call for a moment.
        return { id, found: await until(work.api, what, work.deadline(VISIBLE_MS), () => find(id, work)) };
      } catch (error) {
        throw new HalfMade((error as Error).message, { id, found: key });
      }
    },
    async read(id, _known, work) {
      const found = await find(id, work);
      return found === undefined ? undefined : { id, found };
    },
    async update(id, _olds, news, work) {
      const call = { signal: work.signal, body: { name: str(news, "name") } };
      const answer = await work.api.put(`rename SSH key ${id}`, `v2/account/keys/${id}`, call);
      return (answer as { ssh_key: ApiSshKey }).ssh_key;
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`delete SSH key ${id}`, `v2/account/keys/${id}`, { signal }),
  });
}

async function find(id: string, { api, signal }: Work): Promise<ApiSshKey | undefined> {
  const path = `v2/account/keys/${encodeURIComponent(id)}`;
  return ((await api.find(`read SSH key ${id}`, path, { signal })) as { ssh_key: ApiSshKey } | undefined)
    ?.ssh_key;
}
