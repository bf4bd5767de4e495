import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { Followed } from "../../event-follow";
import { Refused } from "../failures";
import { forAll, type Identity } from "../identity";
import { actsFor } from "../route";
import * as s from "../schemas";
import type { SseEvent } from "../sse";
import type { RouteContext } from "../types";

/** After so many lines that are not the client's it is told how far it is, so that it does not begin before them again. */
const noteEvery = 1000;

const eventQuery = z.object({
  /** Only what concerns this user. */
  user: s.text(64).optional(),
});

/** What happens on the node, as it happens: the lines of events.jsonl. */
export function addEvents(app: FastifyInstance, { events, streams }: RouteContext): void {
  streams.sse(app, "/api/events", {
    description:
      "Events: each has the number of its line in events.jsonl as id, and that line as data. From now on, or after Last-Event-ID; 0: all that is kept. A user gets what concerns its own grants. `gap`: lines that are not kept any more. `end`: why the stream ends.",
    query: eventQuery,
    open: ({ query }, { identity, signal, lastEventId }) => {
      const user = forAll(identity) ? query.user : actsFor(identity, query.user);
      return shown(events.follow(numberOf(lastEventId), signal), identity, user);
    },
  });
}

function numberOf(lastEventId: string | undefined): number | undefined {
  if (lastEventId === undefined || lastEventId === "") return undefined;
  if (/^\d{1,15}$/.test(lastEventId)) return Number(lastEventId);
  throw new Refused({
    code: "bad-request",
    message: "Last-Event-ID is no number of an event.",
    fix: "Send the id of the last event that you have, 0 for all, or none for those from now on.",
  });
}

async function* shown(
  followed: AsyncIterable<Followed>,
  identity: Identity,
  user: string | undefined,
): AsyncGenerator<SseEvent> {
  let passed = 0;
  for await (const one of followed) {
    if ("at" in one) {
      // For a client that loses the stream before its first event.
      yield { id: String(one.at) };
    } else if ("gap" in one) {
      // A user is told that something is missing, not how much happened on the node meanwhile.
      const data = JSON.stringify(forAll(identity) ? one.gap : {});
      yield { id: String(one.gap.before - 1), event: "gap", data };
    } else if (user === undefined || concerns(one.line, user)) {
      yield { id: String(one.seq), data: one.line };
      passed = 0;
    } else if (++passed >= noteEvery) {
      yield { id: String(one.seq) };
      passed = 0;
    }
  }
}

/** Whether an event is about a grant of this user. */
function concerns(line: string, user: string): boolean {
  // Most lines are another's: cheaper than to read each.
  return line.includes(JSON.stringify(user)) && (JSON.parse(line) as { user?: unknown }).user === user;
}
