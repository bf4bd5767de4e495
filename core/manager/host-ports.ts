/** Which ports of the node a container gets. Pure. */
import { type Refusal, type Result, refuse } from "../gpu";
import type { PortRange } from "../net";

export interface HostPortsInput {
  range: PortRange;
  /** Ports of all containers, those that are being made included. */
  used: ReadonlySet<number>;
  /** By port that has come free: until when nobody gets it, in milliseconds since the epoch. */
  quarantined: ReadonlyMap<number, number>;
  count: number;
  now: number;
}

/** Browsers and proxies may ask a port for the server that used to be there for about so long. */
const QUARANTINE_MS = 60_000;

/** The lowest free ports, as many as are asked for; where there are too few, all are refused with `full`. */
export function chooseHostPorts(input: HostPortsInput): Result<number[]> {
  const chosen: number[] = [];
  for (let port = input.range.start; port <= input.range.end && chosen.length < input.count; port += 1)
    if (isFree(port, input)) chosen.push(port);
  return chosen.length === input.count ? { ok: true, value: chosen } : refuse(tooFew(input, chosen.length));
}

/**
 * The quarantine with `ports` added, which have come free now, and without those whose time is over.
 *
 * @param ms how long `ports` stay in it. @default 60000
 */
export function quarantine(
  quarantined: ReadonlyMap<number, number>,
  ports: readonly number[],
  now: number,
  ms = QUARANTINE_MS,
): Map<number, number> {
  const kept = [...quarantined].filter(([, until]) => until > now);
  return new Map([...kept, ...ports.map((port) => [port, now + ms] as const)]);
}

const isFree = (port: number, { used, quarantined, now }: HostPortsInput) =>
  !used.has(port) && (quarantined.get(port) ?? 0) <= now;

function tooFew({ range, used, quarantined, count, now }: HostPortsInput, free: number): Refusal {
  const inRange = (port: number) => port >= range.start && port <= range.end;
  const soon = [...quarantined].filter(([port, until]) => inRange(port) && !used.has(port) && until > now);
  const later = soon.length === 0 ? "" : `; ${soon.length} more come free ${secondsUntil(soon, now)}`;
  return {
    code: "full",
    message: `${count} ports of ${range.start} to ${range.end} are asked for, and ${free} are free${later}`,
    allowed: `${free} ports`,
    fix: "try again when another container was deleted, ask for fewer ports, or widen berth:ports.containers",
  };
}

const secondsUntil = (soon: readonly (readonly [number, number])[], now: number) =>
  `within ${Math.ceil((Math.max(...soon.map(([, until]) => until)) - now) / 1000)} s`;
