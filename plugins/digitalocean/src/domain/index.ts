/** `digitalocean:index/domain:Domain` and `digitalocean:index/dnsRecord:DnsRecord`. */
import type { ResourceType } from "@berth/plugin-base";
import { str, text } from "@berth/plugin-base/bridged";
import { createOnce, defineResource, HalfMade, type Session, type Work } from "../resource";
import { type ApiDomain, domainFields, domainState } from "./map";

export { dnsRecordType } from "./record";

export function domainType(session: () => Session): ResourceType {
  return defineResource<ApiDomain>(session, {
    fields: domainFields,
    named: false,
    state: domainState,
    async create(inputs, work) {
      const name = str(inputs, "name") ?? "";
      const body = { name, ip_address: text(inputs, "ipAddress") };
      const made = await createOnce<ApiDomain>(work, {
        what: `create domain ${name}`,
        request: body,
        idOf: (domain) => domain.name,
        async find() {
          const found = await find(name, work);
          return found === undefined ? [] : [found];
        },
        async post() {
          const call = { signal: work.signal, body, once: true };
          return ((await work.api.post(`create domain ${name}`, "v2/domains", call)) as { domain: ApiDomain })
            .domain;
        },
        remove: "doctl compute domain delete",
      });
      try {
        // A new domain has no ttl in this answer yet.
        return { id: made.name, found: (await find(made.name, work)) ?? made };
      } catch (error) {
        throw new HalfMade((error as Error).message, { id: made.name, found: made });
      }
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
