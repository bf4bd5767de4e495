/** `digitalocean:index/dnsRecord:DnsRecord`: properties and their place in the API. Pure. */
import { isUnknown, type PropertyChange, type Props } from "@berth/plugin-base";
import { type Fields, int, integer, str, string } from "@berth/plugin-base/bridged";
import { SOME } from "../resource";

export const recordFields: Fields = {
  type: string({ required: true, replace: true, enum: ["A", "AAAA"] }),
  domain: string({ required: true, replace: true, pattern: SOME }),
  name: string({ computed: true, pattern: SOME }),
  ttl: integer({ computed: true, min: 1 }),
  value: string({ required: true }),
  fqdn: string({ output: true }),
};

export interface ApiRecord {
  readonly id: number;
  readonly type: string;
  readonly name: string;
  readonly data: string;
  readonly ttl?: number | null;
}

export function recordBody(inputs: Props): Record<string, unknown> {
  return {
    type: str(inputs, "type"),
    name: str(inputs, "name"),
    data: str(inputs, "value"),
    ttl: int(inputs, "ttl") || undefined,
  };
}

export function recordState(record: ApiRecord, domain: string): Props {
  return {
    type: record.type,
    domain,
    name: record.name,
    value: record.data,
    ttl: record.ttl ?? 0,
    fqdn: fqdnOf(record.name, domain),
  };
}

export function fqdnOf(name: string, domain: string): string {
  if (name === "@") return domain;
  const full = name.toLowerCase();
  return full.endsWith(`${domain}.`) ? full.slice(0, -1) : `${name}.${domain}`;
}

/** The API shortens names inside the domain: the program's longer spelling is no change. */
const sameName = (short: string, long: string, domain: string): boolean =>
  long === short || long === `${short}.${domain}.` || (short === "@" && long === `${domain}.`);

export function recordChange(change: PropertyChange, olds: Props, news: Props): PropertyChange | undefined {
  const [old, next] = [str(olds, "name"), str(news, "name")];
  if (change.path[0] !== "name" || old === undefined || next === undefined || isUnknown(next)) return change;
  return sameName(old, next, str(news, "domain") ?? "") ? undefined : change;
}

/** Whether the API's record is what the program asks for, in either spelling. */
export function isSameRecord(state: Props, inputs: Props): boolean {
  const [old, next] = [str(state, "name") ?? "", str(inputs, "name") ?? ""];
  return (
    state.type === inputs.type &&
    state.value === inputs.value &&
    sameName(old, next, str(inputs, "domain") ?? "")
  );
}
