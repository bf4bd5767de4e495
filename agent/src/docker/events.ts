/** dockerd's stream of events: JSON objects, one after the other. Pure but for the reading. */

export interface EngineEvent {
  type: EventType;
  /** `create`, `start`, `die`, `destroy`, `rename`…; `exec_start: sh -c …` carries its command. */
  action: string;
  /** Of a container its full id. */
  id: string;
  attributes: Record<string, string>;
  /** When, as dockerd's clock has it: seconds with nine decimals, as `since` takes it. */
  at: string;
}

/** Containers, and what makes older answers of dockerd void: an image or a network that goes, a reload of its settings. */
export const EVENT_TYPES = ["container", "image", "network", "daemon"] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** A line of the stream that is no JSON, or too long to be one. */
const LONGEST_LINE = 2 ** 20;

export async function* parseEvents(stream: AsyncIterable<unknown>): AsyncGenerator<EngineEvent> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    rest += typeof chunk === "string" ? chunk : decoder.decode(chunk as Uint8Array, { stream: true });
    let end = rest.indexOf("\n");
    while (end >= 0) {
      const event = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 1);
      if (event !== undefined) yield event;
      end = rest.indexOf("\n");
    }
    if (rest.length > LONGEST_LINE) throw new Error("dockerd's events make no sense: a line has no end");
  }
}

/** Undefined: an empty line, or an event of another type. @throws Error if it is no event at all. */
export function parseEvent(line: string): EngineEvent | undefined {
  if (line.trim() === "") return undefined;
  let value: {
    Type?: unknown;
    Action?: unknown;
    Actor?: { ID?: unknown; Attributes?: Record<string, string> | null };
    time?: unknown;
    timeNano?: unknown;
  } | null;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error(`dockerd's events make no sense: ${JSON.stringify(line.slice(0, 100))}`);
  }
  const type = EVENT_TYPES.find((one) => one === value?.Type);
  if (type === undefined || typeof value?.Action !== "string" || typeof value.Actor?.ID !== "string")
    return undefined;
  return {
    type,
    action: value.Action,
    id: value.Actor.ID,
    attributes: value.Actor.Attributes ?? {},
    at: moment(line, Number(value.time)),
  };
}

/** The nanoseconds do not fit into a number: they are taken from the text. */
function moment(line: string, seconds: number): string {
  const nanos = /"timeNano":\s*(\d{10,19})/.exec(line)?.[1];
  if (nanos !== undefined) return `${nanos.slice(0, -9)}.${nanos.slice(-9)}`;
  return Number.isFinite(seconds) ? `${seconds}.000000000` : "";
}

/** Now, as `since` takes it. */
export function sinceOf(milliseconds: number): string {
  const whole = Math.floor(milliseconds / 1000);
  return `${whole}.${String(Math.round((milliseconds - whole * 1000) * 1e6)).padStart(9, "0")}`;
}
