/** `digitalocean:index/firewall:Firewall`. */
import type { ResourceType } from "@berth/plugin-base";
import type { Api } from "../api";
import { str } from "../bridge";
import { defineResource } from "../resource";
import { type ApiFirewall, checkFirewall, firewallBody, firewallFields, firewallState } from "./map";

interface Answer {
  readonly firewall: ApiFirewall;
}

export function firewallType(api: () => Api): ResourceType {
  return defineResource<ApiFirewall>(api, {
    fields: firewallFields,
    check: checkFirewall,
    state: firewallState,
    async create(inputs, { api: client, signal }) {
      const call = { signal, body: firewallBody(inputs), once: true };
      const answer = await client.post(`create firewall ${str(inputs, "name")}`, "v2/firewalls", call);
      const { firewall } = answer as Answer;
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
