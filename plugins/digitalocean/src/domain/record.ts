/** `digitalocean:index/dnsRecord:DnsRecord`. Import: `DOMAIN,ID`. */
import { ProviderError, type ResourceType } from "@berth/plugin-base";
import type { Api } from "../api";
import { str } from "../bridge";
import { defineResource, type Work } from "../resource";
import {
  type ApiRecord,
  checkRecord,
  recordBody,
  recordChange,
  recordFields,
  recordState,
} from "./record-map";

interface DomainRecord {
  readonly domain: string;
  readonly record: ApiRecord;
}

interface Answer {
  readonly domain_record: ApiRecord;
}

const pathOf = (domain: string, id = ""): string =>
  `v2/domains/${encodeURIComponent(domain)}/records${id === "" ? "" : `/${encodeURIComponent(id)}`}`;

export function dnsRecordType(api: () => Api): ResourceType {
  return defineResource<DomainRecord>(api, {
    fields: recordFields,
    check: checkRecord,
    adjust: recordChange,
    state: ({ domain, record }) => recordState(record, domain),
    async create(inputs, { api: client, signal }) {
      const domain = str(inputs, "domain") ?? "";
      const what = `create ${str(inputs, "type")} record ${str(inputs, "name")} of ${domain}`;
      const call = { signal, body: recordBody(inputs), once: true };
      const { domain_record: record } = (await client.post(what, pathOf(domain), call)) as Answer;
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
