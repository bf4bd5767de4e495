/** A server that answers by a script, for the kinds that need no memory. */
import { type Answer, resource, type Seen, serve, testClock } from "./support";

/** `METHOD /path` (without query) to answers; a list is given out in turn, its last entry stays. */
export type Script = Record<string, Answer | Answer[] | ((seen: Seen) => Answer | undefined)>;

export async function start(kind: string, script: Script) {
  const server = await serve((seen) => {
    const found = script[`${seen.method} ${seen.path.split("?")[0]}`];
    if (typeof found === "function") return found(seen);
    if (!Array.isArray(found)) return found;
    return found.length > 1 ? found.shift() : found[0];
  });
  const clock = testClock();
  const sent = (line: string) =>
    server.seen
      .filter(({ method, path }) => `${method} ${path.split("?")[0]}` === line)
      .map(({ body }) => body);
  return { server, clock, sent, ...resource(kind, server.url, clock) };
}

export const ok = (body: unknown): Answer => ({ body });
export const done = ok({ action: { id: 5, status: "completed" } });
export const pending = ok({ action: { id: 5, status: "in-progress" } });
export const empty: Answer = { status: 204 };
/** A droplet takes one action at a time. */
export const busy: Answer = { status: 422, body: { message: "Droplet already has a pending event." } };
