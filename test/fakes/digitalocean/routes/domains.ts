/** Domains and their records. */
import { notFound, unprocessable } from "../errors";
import type { DomainInfo, RecordInfo, World } from "../world";
import { type Body, type Call, page, type Route, route } from "./route";

/** Seconds; what a record gets that names none. */
const defaultTtl = 1800;

function find(world: World, name = ""): DomainInfo {
  const domain = world.domains.get(name);
  if (domain === undefined) throw notFound();
  return domain;
}

function findRecord({ world, params }: Call): RecordInfo {
  const record = find(world, params.domain_name).records.get(Number(params.domain_record_id));
  if (record === undefined) throw notFound();
  return record;
}

function zone({ name, ttl, records }: DomainInfo): string {
  const lines = [...records.values()].map((record) => {
    const host = record.name === "@" ? name : `${record.name}.${name}`;
    const numbers = [record.priority, record.weight, record.port].filter((value) => value !== null);
    return [`${host}.`, record.ttl, "IN", record.type, ...numbers, record.data].join(" ");
  });
  const soa = `${name}. IN SOA ns1.digitalocean.com. hostmaster.${name}. 1700000000 10800 3600 604800 1800`;
  return `${[`$ORIGIN ${name}.`, `$TTL ${ttl}`, soa, ...lines].join("\n")}\n`;
}

const domainView = (domain: DomainInfo) => ({ name: domain.name, ttl: domain.ttl, zone_file: zone(domain) });

const required: Record<string, readonly string[]> = {
  A: ["name", "data"],
  AAAA: ["name", "data"],
  CAA: ["name", "data", "flags", "tag"],
  CNAME: ["name", "data"],
  MX: ["data", "priority"],
  NS: ["name", "data"],
  SOA: ["ttl"],
  SRV: ["name", "data", "priority", "port", "weight"],
  TXT: ["name", "data"],
};

function check(record: RecordInfo, body: Body): void {
  const fields = required[record.type];
  if (fields === undefined) throw unprocessable(`Type must be one of ${Object.keys(required).join(", ")}`);
  for (const field of fields)
    if (record[field as keyof RecordInfo] === null || record[field as keyof RecordInfo] === "")
      throw unprocessable(`${field} can't be blank for a record of type ${record.type}`);
  if (record.type === "A" && !/^\d{1,3}(\.\d{1,3}){3}$/.test(record.data))
    throw unprocessable("Data needs to be an IPv4 address.");
  if (record.type === "AAAA" && !record.data.includes(":"))
    throw unprocessable("Data needs to be an IPv6 address.");
  // Hosts are absolute: they end with a dot, or are the domain itself.
  if (["CNAME", "MX", "NS", "SRV"].includes(record.type) && body.has("data") && !/(\.|^@)$/.test(record.data))
    throw unprocessable("Data needs to end with a dot (.)");
  if (record.ttl < 30) throw unprocessable("TTL must be at least 30");
}

/** The record that the body makes of `from`. */
function merged(from: RecordInfo, body: Body): RecordInfo {
  const record = {
    ...from,
    type: body.text("type") ?? from.type,
    name: body.text("name") ?? from.name,
    data: body.text("data") ?? from.data,
    priority: body.number("priority") ?? from.priority,
    port: body.number("port") ?? from.port,
    ttl: body.number("ttl") ?? from.ttl,
    weight: body.number("weight") ?? from.weight,
    flags: body.number("flags") ?? from.flags,
    tag: body.text("tag") ?? from.tag,
  };
  check(record, body);
  return record;
}

function blank(id: number, type: string, name: string, data: string): RecordInfo {
  return {
    id,
    type,
    name,
    data,
    priority: null,
    port: null,
    ttl: defaultTtl,
    weight: null,
    flags: null,
    tag: null,
  };
}

function put(domain: DomainInfo, record: RecordInfo): object {
  const duplicate = [...domain.records.values()].some(
    (other) =>
      other.id !== record.id &&
      ["type", "name", "data"].every(
        (key) => other[key as keyof RecordInfo] === record[key as keyof RecordInfo],
      ),
  );
  if (duplicate) throw unprocessable("Data is already in use by another record.");
  domain.records.set(record.id, record);
  return { domain_record: record };
}

const change = (call: Call) =>
  put(find(call.world, call.params.domain_name), merged(findRecord(call), call.body));

const one = "/v2/domains/{domain_name}";

export const domainRoutes: Route[] = [
  route("GET", "/v2/domains", 200, "domain:read", (call) =>
    page(call, "domains", [...call.world.domains.values()], domainView),
  ),
  route("POST", "/v2/domains", 201, "domain:create", ({ world, body }) => {
    const name = body.required("name").toLowerCase();
    if (!/^([a-z0-9-]+\.)+[a-z]{2,}$/.test(name)) throw unprocessable("Name is not a valid domain name.");
    if (world.domains.has(name)) throw unprocessable("domain 'name': name already exists");
    const domain: DomainInfo = { name, ttl: defaultTtl, records: new Map() };
    for (const server of [1, 2, 3])
      put(domain, blank(world.ids.number("record"), "NS", "@", `ns${server}.digitalocean.com`));
    const address = body.text("ip_address");
    if (address !== undefined) put(domain, blank(world.ids.number("record"), "A", "@", address));
    world.domains.set(name, domain);
    world.assign(`do:domain:${name}`, world.defaultProject());
    // The zone is written a little later; the first answer has none.
    return { domain: { ...domainView(domain), zone_file: null } };
  }),
  route("GET", one, 200, "domain:read", ({ world, params }) => ({
    domain: domainView(find(world, params.domain_name)),
  })),
  route("DELETE", one, 204, "domain:delete", ({ world, params }) => {
    const { name } = find(world, params.domain_name);
    world.domains.delete(name);
    world.forget(`do:domain:${name}`);
  }),
  route("GET", `${one}/records`, 200, "domain:read", (call) => {
    const domain = find(call.world, call.params.domain_name);
    const type = call.query.get("type");
    const name = call.query.get("name");
    const host = (record: RecordInfo) =>
      record.name === "@" ? domain.name : `${record.name}.${domain.name}`;
    const shown = [...domain.records.values()].filter(
      (record) => (type === null || record.type === type) && (name === null || host(record) === name),
    );
    return page(call, "domain_records", shown, (record) => record);
  }),
  route("POST", `${one}/records`, 201, "domain:create", ({ world, params, body }) => {
    const domain = find(world, params.domain_name);
    const record = merged(blank(0, body.required("type"), "", ""), body);
    return put(domain, { ...record, id: world.ids.number("record") });
  }),
  route("GET", `${one}/records/{domain_record_id}`, 200, "domain:read", (call) => ({
    domain_record: findRecord(call),
  })),
  route("PATCH", `${one}/records/{domain_record_id}`, 200, "domain:update", change),
  route("PUT", `${one}/records/{domain_record_id}`, 200, "domain:update", change),
  route("DELETE", `${one}/records/{domain_record_id}`, 204, "domain:delete", (call) => {
    find(call.world, call.params.domain_name).records.delete(findRecord(call).id);
  }),
];
