/** `digitalocean:index/dnsRecord:DnsRecord`. Import: `DOMAIN,ID`. */
import { ProviderError, type ResourceType } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { createOnce, defineResource, type Session, type Work } from "../resource";
import { type ApiRecord, isSameRecord, recordBody, recordChange, recordFields, recordState } from "./map";

interface DomainRecord {
  readonly domain: string;
  readonly record: ApiRecord;
}

interface Answer {
  readonly domain_record: ApiRecord;
}

const pathOf = (domain: string, id = ""): string =>
  `v2/domains/${encodeURIComponent(domain)}/records${id === "" ? "" : `/${encodeURIComponent(id)}`}`;

export function dnsRecordType(session: () => Session): ResourceType {
  return defineResource<DomainRecord>(session, {
    fields: recordFields,
    adjust: recordChange,
    state: ({ domain, record }) => recordState(record, domain),
    async create(inputs, work) {
      const { api, signal } = work;
      const domain = str(inputs, "domain") ?? "";
      const body = recordBody(inputs);
      const what = `create ${body.type} record ${body.name} of ${domain}`;
      const record = await createOnce<ApiRecord>(work, {
        what,
        request: { domain, ...body },
        idOf: ({ id }) => String(id),
        async find() {
          const path = pathOf(domain);
          const all = await api.list<ApiRecord>(what, path, "domain_records", { signal });
          return all.filter((found) => isSameRecord(recordState(found, domain), inputs));
        },
        post: async () =>
          ((await api.post(what, pathOf(domain), { signal, body, once: true })) as Answer).domain_record,
        remove: `doctl compute domain records delete ${domain}`,
      });
      return { id: String(record.id), found: { domain, record } };
    },
    async read(given, known, work) {
      const [id, domain] = placeOf(given, str(known, "domain"));
      const record = await find(domain, id, work);
      return record === undefined ? undefined : { id, found: { domain, record } };
    },
    async update(id, _olds, news, { api: client, signal }) {
      const domain = str(news, "domain") ?? "";
      const call = { signal, body: recordBody(news) };
      const answer = await client.put(`update record ${id} of ${domain}`, pathOf(domain, id), call);
      return { domain, record: (answer as Answer).domain_record };
    },
    delete(id, olds, { api: client, signal }) {
      const domain = str(olds, "domain") ?? "";
      return client.delete(`delete record ${id} of ${domain}`, pathOf(domain, id), { signal });
    },
  });
}

function placeOf(given: string, domain: string | undefined): [id: string, domain: string] {
  const [left, right] = given.split(",", 2);
  if (right !== undefined && left !== undefined) return [right, left];
  if (domain === undefined) throw new ProviderError(`import a record by DOMAIN,ID, not by "${given}"`);
  return [given, domain];
}

async function find(domain: string, id: string, { api, signal }: Work): Promise<ApiRecord | undefined> {
  const answer = await api.find(`read record ${id} of ${domain}`, pathOf(domain, id), { signal });
  return (answer as Answer | undefined)?.domain_record;
}
