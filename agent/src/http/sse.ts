/** The wire format of Server-Sent Events (HTML standard, 9.2). */

export interface SseEvent {
  /** What a client sends as Last-Event-ID to go on after this event. */
  id?: string;
  /** Its name; left out: `message`, which needs no listener of its own. */
  event?: string;
  /** Left out: no event for the client, which only takes note of the id. */
  data?: string;
}

/** Milliseconds until a client that lost the stream connects again. */
const retry = 3000;
export const sseStart = `retry: ${retry}\n\n`;
/** A comment: it keeps proxies from ending a stream that is quiet. */
export const sseBeat = ": still here\n\n";

export const sseHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  // no-transform, and the second one for nginx: a proxy that compresses or collects holds events back.
  "cache-control": "no-cache, no-store, no-transform",
  "x-accel-buffering": "no",
};

export function sseText({ id, event, data }: SseEvent): string {
  const lines = data?.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`) ?? [];
  const named = event === undefined ? "" : `event: ${oneLine(event)}\n`;
  return `${id === undefined ? "" : `id: ${oneLine(id)}\n`}${named}${lines.join("")}\n`;
}

/** @throws for what would end the field early */
function oneLine(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new Error("An id or a name of an event has a line end or a NUL in it.");
  return text;
}
