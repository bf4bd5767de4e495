/** `digitalocean:index/dnsRecord:DnsRecord`: properties and their place in the API. Pure. */
import { type CheckFailure, isUnknown, type PropertyChange, type Props } from "@berth/plugin-base";
import { type Fields, int, integer, str, string, text } from "@berth/plugin-base/bridged";
import { SOME } from "../resource";

const port = { min: 0, max: 65535 };

export const recordFields: Fields = {
  type: string({
    required: true,
    replace: true,
    enum: ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "TXT", "SRV", "SOA"],
  }),
  domain: string({ required: true, replace: true, pattern: SOME }),
  name: string({ computed: true, pattern: SOME }),
  port: integer(port),
  priority: integer(port),
  weight: integer(port),
  ttl: integer({ computed: true, min: 1 }),
  value: string({ required: true }),
  flags: integer({ min: 0, max: 255 }),
  tag: string({ enum: ["issue", "issuewild", "iodef"] }),
  fqdn: string({ output: true }),
};

export interface ApiRecord {
  readonly id: number;
  readonly type: string;
  readonly name: string;
  readonly data: string;
  readonly priority?: number | null;
  readonly port?: number | null;
  readonly ttl?: number | null;
  readonly weight?: number | null;
  readonly flags?: number | null;
  readonly tag?: string | null;
}

/** What each type needs beside its value. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  MX: ["priority"],
  SRV: ["priority", "weight", "port"],
  CAA: ["flags", "tag"],
};

export function checkRecord(inputs: Props): CheckFailure[] {
  const type = str(inputs, "type") ?? "";
  const missing = (NEEDS[type] ?? []).filter((key) => (inputs[key] ?? null) === null);
  return missing.map((property) => ({ property, reason: `is missing; a record of type ${type} needs it` }));
}

export function recordBody(inputs: Props): Record<string, unknown> {
  return {
    type: str(inputs, "type"),
    name: str(inputs, "name"),
    data: str(inputs, "value"),
    priority: int(inputs, "priority"),
    port: int(inputs, "port"),
    ttl: int(inputs, "ttl") || undefined,
    weight: int(inputs, "weight"),
    flags: int(inputs, "flags"),
    tag: text(inputs, "tag"),
  };
}

/** Types whose value is a name: the API leaves its last dot out. */
const NAMES = new Set(["CNAME", "MX", "NS", "SRV", "CAA"]);

export function recordState(record: ApiRecord, domain: string): Props {
  const dotted = NAMES.has(record.type) && record.data !== "@" && record.tag !== "iodef";
  return {
    type: record.type,
    domain,
    name: record.name,
    value: dotted ? `${record.data}.` : record.data,
    port: record.port ?? 0,
    priority: record.priority ?? 0,
    ttl: record.ttl ?? 0,
    weight: record.weight ?? 0,
    flags: record.flags ?? 0,
    tag: record.tag ?? "",
    fqdn: fqdnOf(record.name, domain),
  };
}

export function fqdnOf(name: string, domain: string): string {
  if (name === "@") return domain;
  const full = name.toLowerCase();
  return full.endsWith(`${domain}.`) ? full.slice(0, -1) : `${name}.${domain}`;
}

/** The API shortens names inside the domain: the program's longer spelling is no change. */
export function recordChange(change: PropertyChange, olds: Props, news: Props): PropertyChange | undefined {
  const key = String(change.path[0]);
  const [old, next, domain] = [str(olds, key), str(news, key), `${str(news, "domain")}.`];
  if ((key !== "name" && key !== "value") || old === undefined || next === undefined || isUnknown(next)) {
    return change;
  }
  const longer = key === "name" ? `${old}.${domain}` === next : old === `${next}.${domain}`;
  return (old === "@" && next === domain) || longer ? undefined : change;
}

/** Whether the API's record is what the program asks for, in either spelling. */
export function isSameRecord(state: Props, inputs: Props): boolean {
  const same = (key: string): boolean => {
    const change = { path: [key], kind: "update", replace: false } as const;
    return str(state, key) === str(inputs, key) || recordChange(change, state, inputs) === undefined;
  };
  return state.type === inputs.type && same("name") && same("value");
}
