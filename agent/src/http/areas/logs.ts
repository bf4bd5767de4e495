import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { isManagedCreation } from "../../../../core/names";
import type { LogItem } from "../../container-logs";
import { noContainer } from "../../manager";
import { inParams, noBody, ownerOf } from "../commands";
import { Refused } from "../failures";
import { accountOf, type Identity } from "../identity";
import { answers, callerOf, identityOf, tenantsAnd } from "../route";
import type { SseEvent } from "../sse";
import type { RouteContext } from "../types";
import { answerTicket, ticketMade } from "./tickets";

/** What containers print, for their tenants, also for a time after they are gone. */
export function addLogs(fastify: FastifyInstance, { forTenants, streams, tickets }: RouteContext): void {
  if (!forTenants) return;
  const app = fastify.withTypeProvider<ZodTypeProvider>();
  const { commands, logs, origins } = forTenants;
  const owners = tenantsAnd(forTenants, "user");

  /** @throws {Refused} 404: it is not there, or somebody else's, or the caller has none of that kind */
  const mustOwn = (identity: Identity, id: string): void => {
    const owner = ownerOf(identity);
    const has = () => commands.owns(owner, id) || logs.ownerOf(id) === owner.name;
    if (!owner.person && isManagedCreation(id) && has()) return;
    throw new Refused(noContainer(id));
  };

  streams.sse(fastify, "/api/containers/:id/logs", {
    description:
      'What its set-up says and what its start command prints: data is {"line", "timestamp"}, the time in milliseconds since the epoch. All that is kept, or what comes after Last-Event-ID; then what comes. `gap`: lines that are not kept any more, or were lost. `end`: why the stream ends; `over`: the container is gone, and that was the last line. Logs of containers that are gone stay for a day.',
    guard: owners,
    params: inParams,
    open: ({ params: { id } }, { identity, signal, lastEventId }) => {
      mustOwn(identity, id);
      return shown(logs.follow(id, { after: numberOf(lastEventId), signal }));
    },
  });

  app.post(
    "/api/containers/:id/logs/ticket",
    {
      ...owners,
      schema: {
        params: inParams,
        body: noBody,
        response: answers(
          201,
          ticketMade,
          "Opens that stream once, within 30 s, for whoever has it. Whoever lost the stream makes another, and names the last line's number as last_event_id.",
        ),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      mustOwn(identityOf(request), id);
      const caller = callerOf(request);
      const ticket = { ...caller, path: `/api/containers/${id}/logs`, origins: origins() };
      return answerTicket(reply, tickets, ticket, accountOf(caller.identity));
    },
  );
}

/** A line's number: 16 digits, as it comes from the clock. */
function numberOf(lastEventId = "0"): number {
  const number = /^\d{0,16}$/.test(lastEventId) ? Number(lastEventId) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new Refused({
    code: "bad-request",
    message: "Last-Event-ID is no number of a line.",
    fix: "Send the id of the last line that you have, or none for all that is kept.",
  });
}

async function* shown(items: AsyncIterable<LogItem>): AsyncGenerator<SseEvent> {
  for await (const item of items) {
    // For a client that loses the stream before its first line.
    if ("at" in item) yield { id: String(item.at) };
    else if ("gap" in item)
      yield { id: String(item.gap.before - 1), event: "gap", data: JSON.stringify(item.gap) };
    else {
      const { seq, line, timestamp } = item;
      yield { id: String(seq), data: JSON.stringify({ line, timestamp }) };
    }
  }
}
