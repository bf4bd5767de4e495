/** `digitalocean:index/domain:Domain` and `digitalocean:index/dnsRecord:DnsRecord`. */
import type { ResourceType } from "@berth/plugin-base";
import type { Api } from "../api";
import { str, text } from "../bridge";
import { defineResource, type Work } from "../resource";
import { type ApiDomain, domainFields, domainState } from "./map";

export { dnsRecordType } from "./record";

export function domainType(api: () => Api): ResourceType {
  return defineResource<ApiDomain>(api, {
    fields: domainFields,
    named: false,
    state: domainState,
    async create(inputs, work) {
      const name = str(inputs, "name") ?? "";
      const body = { name, ip_address: text(inputs, "ipAddress") };
      const call = { signal: work.signal, body, once: true };
      const made = (await work.api.post(`create domain ${name}`, "v2/domains", call)) as {
        domain: ApiDomain;
      };
      // A new domain has no ttl in this answer yet.
      return { id: made.domain.name, found: (await find(made.domain.name, work)) ?? made.domain };
    },
    async read(id, _known, work) {
      const found = await find(id, work);
      return found === undefined ? undefined : { id, found };
    },
    delete: (id, _olds, { api: client, signal }) =>
      client.delete(`delete domain ${id}`, `v2/domains/${encodeURIComponent(id)}`, { signal }),
  });
}

async function find(name: string, { api, signal }: Work): Promise<ApiDomain | undefined> {
  const path = `v2/domains/${encodeURIComponent(name)}`;
  return ((await api.find(`read domain ${name}`, path, { signal })) as { domain: ApiDomain } | undefined)
    ?.domain;
}
