/** `digitalocean:index/firewall:Firewall`. */
import type { ResourceType } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { createOnce, defineResource, type Session } from "../resource";
import { type ApiFirewall, checkFirewall, firewallBody, firewallFields, firewallState } from "./map";

interface Answer {
  readonly firewall: ApiFirewall;
}

export function firewallType(session: () => Session): ResourceType {
  return defineResource<ApiFirewall>(session, {
    fields: firewallFields,
    check: checkFirewall,
    state: firewallState,
    async create(inputs, work) {
      const { api, signal } = work;
      const [name, body] = [str(inputs, "name"), firewallBody(inputs)];
      const what = `create firewall ${name}`;
      const firewall = await createOnce<ApiFirewall>(work, {
        what,
        request: body,
        idOf: ({ id }) => id,
        async find() {
          const all = await api.list<ApiFirewall>("look for firewalls", "v2/firewalls", "firewalls", {
            signal,
          });
          return all.filter((found) => found.name === name);
        },
        post: async () =>
          ((await api.post(what, "v2/firewalls", { signal, body, once: true })) as Answer).firewall,
        remove: "doctl compute firewall delete",
      });
      return { id: firewall.id, found: firewall };
    },
    async read(id, _known, { api: client, signal }) {
      const answer = await client.find(`read firewall ${id}`, `v2/firewalls/${encodeURIComponent(id)}`, {
        signal,
      });
      return answer === undefined ? undefined : { id, found: (answer as Answer).firewall };
    },
    async update(id, _olds, news, { api: client, signal }) {
      const call = { signal, body: firewallBody(news) };
      return ((await client.put(`update firewall ${id}`, `v2/firewalls/${id}`, call)) as Answer).firewall;
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`delete firewall ${id}`, `v2/firewalls/${encodeURIComponent(id)}`, { signal }),
  });
}
