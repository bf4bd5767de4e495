/**
 * What a back-end has under way in a container as its token ends, over real sockets; the fake dockerd runs commands as real
 * processes. Proves: whichever way the token ends, its command is killed and answered with 401, its terminal and its log
 * end, and nothing that was begun for it runs on; what another token of the tenant has goes on.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { eventsIn, get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { endAfterEachTest, endings } from "../../unit/agent/http/cases";
import { inventoryOf } from "../../unit/agent/service/rig";
import { type Inside, ids, inside, living, soon } from "./inside-rig";

endAfterEachTest();

const at = (what: string) => `/api/containers/${ids.mine}/${what}`;
const command = "trap '' HUP TERM; echo begun; sleep 1000 & sleep 1000";
const NO_LONGER = expect.stringMatching(/^Your token has ended/);

async function newToken(of: Inside): Promise<{ id: string; token: string }> {
  return (await of.api.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web-ide" } })).body;
}

function execText(token: string, body: string): string {
  const headers = `host: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json`;
  return `POST ${at("exec")} HTTP/1.1\r\n${headers}\r\ncontent-length: ${body.length}\r\n\r\n`;
}

/** A command, a terminal and a log of one token, all under way. */
async function underWay(of: Inside, token: string) {
  const answer = of.ask("POST", at("exec"), { token, body: { command } });
  const authorization = `Bearer ${token}`;
  const log = rawClient({ port: of.port }, get(at("logs"), { authorization }));
  const terminal = new WebSocket(`ws://127.0.0.1:${of.port}${at("terminal")}`, {
    headers: { authorization },
  });
  endings.push(
    () => log.socket.destroy(),
    () => terminal.terminate(),
  );
  let code = 0;
  terminal.on("close", (one) => {
    code = one;
  });
  await until("the log", soon, () => log.said().includes("retry: "));
  await until("the terminal", soon, () => terminal.readyState === WebSocket.OPEN);
  await until("both run", soon, () => of.dockerd.execs.all.filter(({ running }) => running).length === 2);
  return { answer, log: () => eventsIn(log.said()).at(-1)?.data.code, terminal: () => code };
}

type End = (of: Inside, id: string, later: (ms: number) => void) => unknown;
const ends: [string, End][] = [
  ["is revoked", (of, id) => of.api.call("DELETE", `/api/tokens/${id}`)],
  [
    "is replaced, and nothing of it is kept",
    (of, id) => of.api.call("POST", `/api/tokens/${id}/rotate`, { body: { keep_seconds: 0 } }),
  ],
  [
    "was replaced, and its day is over",
    async (of, id, later) => {
      await of.api.call("POST", `/api/tokens/${id}/rotate`, { body: { keep_seconds: 86_400 } });
      later(86_400_000);
    },
  ],
  [
    "is of a tenant whom the stack names no more",
    ({ api }) => {
      api.node.tenants = api.node.tenants.filter(({ name }) => name !== "web-ide");
    },
  ],
];

describe("as a token ends", () => {
  it.each(ends)("since it %s, all that it has under way ends", async (_, end) => {
    let time = Date.now();
    const of = await inside({ now: () => time });
    of.logs.open(ids.mine, "web-ide");
    const { id, token } = await newToken(of);
    const had = await underWay(of, token);
    await end(of, id, (ms) => {
      time += ms;
    });
    const { status, body } = await had.answer;
    expect([status, body.error]).toEqual([401, expect.objectContaining({ message: NO_LONGER })]);
    await until("the log ends", soon, () => had.log() === "not-allowed");
    await until("the terminal ends", soon, () => had.terminal() === 4003);
    await until("nothing of it runs", soon, () => living(of).length === 0);
  });

  it("what another one of the tenant has goes on", async () => {
    const of = await inside();
    of.logs.open(ids.mine, "web-ide");
    const { id, token } = await newToken(of);
    const gone = of.ask("POST", at("exec"), { token, body: { command } });
    await until("it runs", soon, () => of.dockerd.execs.all.some(({ running }) => running));
    const sign = join(of.folder, "go");
    const waiting = `until [ -e ${sign} ]; do sleep 0.05; done; echo done`;
    const stays = of.ask("POST", at("exec"), { body: { command: waiting } });
    await until("both run", soon, () => of.dockerd.execs.all.filter(({ running }) => running).length === 2);
    await of.api.call("DELETE", `/api/tokens/${id}`);
    expect((await gone).status).toBe(401);
    writeFileSync(sign, "");
    expect((await stays).body.stdout).toBe("done\n");
  });

  it("nothing is begun whose body was not here yet", async () => {
    const of = await inside();
    const { id, token } = await newToken(of);
    const body = JSON.stringify({ command: "true" });
    const client = rawClient({ port: of.port }, execText(token, body) + body.slice(0, 5));
    endings.push(() => client.socket.destroy());
    await until("it is let in", soon, async () => {
      const { body: list } = await of.api.call("GET", "/api/tokens");
      return list.tokens.some((one: { id: string; lastUsedAt?: number }) => one.id === id && one.lastUsedAt);
    });
    await of.api.call("DELETE", `/api/tokens/${id}`);
    client.socket.write(body.slice(5));
    await until("it is answered", soon, () => client.said().includes("Your token has ended"));
    expect(client.said()).toMatch(/^HTTP\/1\.1 401 /);
    expect(of.dockerd.execs.all).toEqual([]);
  });

  it("a wait for GPUs is over", async () => {
    const of = await inside({ inventory: inventoryOf(1, 1) });
    const { body } = await of.api.call("POST", "/api/tokens", { body: { role: "user", owner: "alice" } });
    const ask = { kind: "mig", count: 1 };
    await of.api.call("POST", "/api/grants", { body: { user: "bob", ask } });
    const waits = of.ask("POST", "/api/grants", { token: body.token, body: { ask, wait_seconds: 60 } });
    await until("it waits", soon, () => of.api.ledger.queueLength() === 1);
    await of.api.call("DELETE", `/api/tokens/${body.id}`);
    expect((await waits).status).toBe(401);
    await until("its place is free", soon, () => of.api.ledger.queueLength() === 0);
  });
});
