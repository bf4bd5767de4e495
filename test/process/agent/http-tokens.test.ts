/**
 * What a token has open, on real sockets, as the token is replaced. Proves: streams and tickets of the old one go on until
 * it ends, and no longer; where nothing of it is kept, they have ended when that is answered.
 */
import { expect, it } from "vitest";
import { eventsIn, get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { api, endAfterEachTest, endings } from "../../unit/agent/http/cases";
import type { Api } from "../../unit/agent/http/rig";

endAfterEachTest();

const soon = 20_000;
const path = "/api/events";

/** A stream of a new token, and one by a ticket of it. */
async function streamsOf(made: Api) {
  const port = made.servers.port as number;
  const { body } = await made.call("POST", "/api/tokens", { body: { role: "service" } });
  const { id, token } = body as { id: string; token: string };
  const ticket = async () =>
    (await made.call("POST", "/api/tickets", { port, token, body: { path } })).body.ticket as string;
  const open = (url: string, headers = {}) => {
    const client = rawClient({ port }, get(url, headers), true);
    endings.push(() => client.socket.destroy());
    return client;
  };
  const clients = [
    open(path, { authorization: `Bearer ${token}` }),
    open(`${path}?ticket=${await ticket()}`),
  ];
  for (const { said } of clients) await until("it has begun", soon, () => said().includes("retry: "));
  const unused = await ticket();
  return { id, clients, late: () => open(`${path}?ticket=${unused}`) };
}

const last = (said: string) => {
  const { data } = eventsIn(said).at(-1) ?? {};
  return data?.code ?? data?.message;
};
const rotate = (made: Api, id: string, keep_seconds: number) =>
  made.call("POST", `/api/tokens/${id}/rotate`, { body: { keep_seconds } });

it("a stream of a replaced token goes on until that token ends, and its tickets are refused then", async () => {
  let time = Date.now();
  const made = await api({ now: () => time });
  const { id, clients, late } = await streamsOf(made);
  expect((await rotate(made, id, 10)).status).toBe(201);
  time += 9_999;
  await made.ledger.emit({ event: "test", message: "after it was replaced" });
  for (const { said } of clients)
    await until("it goes on", soon, () => last(said()) === "after it was replaced");
  time += 1;
  for (const { said } of clients) await until("it ends", soon, () => last(said()) === "not-allowed");
  const refused = late();
  await until("the ticket is refused", soon, () => refused.said().startsWith("HTTP/1.1 401 "));
});

it("a stream and a ticket of a replaced token end at once where nothing of the token is kept", async () => {
  const made = await api();
  const { id, clients, late } = await streamsOf(made);
  expect((await rotate(made, id, 0)).status).toBe(201);
  for (const { said } of clients) await until("it ends", soon, () => last(said()) === "not-allowed");
  const refused = late();
  await until("the ticket is refused", soon, () => refused.said().startsWith("HTTP/1.1 401 "));
});
