/** dockerd's stream of events: JSON objects, a line each. Pure but for the reading. */
import { LineCutter } from "./lines";

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

/** Bytes of an event that is read. It has all labels of its container, and that of an exec its command twice. */
const LONGEST_EVENT = 2 ** 20;
/** How the line of an exec begins, of which nobody here needs to know. */
const EXEC = /^\{"(?:status|Type":"container","Action)":"exec_/;

/**
 * The events, each as soon as its line ends; undefined: one whose line is too long to be read, so that it was missed.
 *
 * @throws Error if a line is no event at all
 */
export async function* parseEvents(stream: AsyncIterable<unknown>): AsyncGenerator<EngineEvent | undefined> {
  const cutter = new LineCutter(LONGEST_EVENT);
  for await (const chunk of stream) {
    for (const { line, cut } of cutter.push(chunk as Buffer)) {
      const event = cut === undefined ? parseEvent(line) : undefined;
      if (event !== undefined || (cut !== undefined && !EXEC.test(line))) yield event;
    }
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
