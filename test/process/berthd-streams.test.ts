/** Streams of berthd itself: a real process, whose end ends them in time, and whose memory no slow reader fills. */
import { readFileSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventsIn, get, type RawClient, rawClient, type To } from "../lib/stream-client";
import { until } from "../lib/until";
import { bundle, makeNode, type Node } from "./berthd-process";

const asRoot = process.getuid?.() === 0;
let programs: string;
const nodes: Node[] = [];
const clients: RawClient[] = [];
beforeAll(async () => {
  programs = await bundle();
}, 60_000);
afterAll(() => rmSync(programs, { recursive: true, force: true }));
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  for (const node of nodes.splice(0)) await node.close();
});
function open(to: To, headers: Record<string, string>, read = true, query = ""): RawClient {
  const client = rawClient(to, get(`/api/events${query}`, headers), read);
  clients.push(client);
  return client;
}
async function noded() {
  const node = await makeNode(programs);
  nodes.push(node);
  node.writeNode({ listen: "loopback", port: 0 });
  const berthd = await node.start();
  const port = Number(/"port":(\d+)/.exec(berthd.output())?.[1]);
  const made = await node.call("POST", "/api/tokens", { body: { role: "service" } });
  return { node, berthd, port, headers: { authorization: `Bearer ${made.body.token}` } };
}
/** Makes a grant for alice and ends it: two events. */
async function events(node: Node): Promise<void> {
  const made = await node.call("POST", "/api/grants", {
    body: { user: "alice", ask: { kind: "mig", count: 1 } },
  });
  expect(made.status).toBe(201);
  await node.call("DELETE", `/api/grants/${made.body.id}`);
}

describe.runIf(asRoot)("streams of berthd", { timeout: 120_000 }, () => {
  it("go on after its restart where they were, on its socket and over TCP; its end ends them in time", async () => {
    const { node, berthd, port, headers } = await noded();
    const ways: [To, Record<string, string>][] = [
      [{ path: node.paths.socket }, {}],
      [{ port }, headers],
    ];
    const open_ = ways.map(([to, more]) => open(to, more));
    for (const { said } of open_) await until("it has begun", 30_000, () => said().includes("retry: "));
    // One that has had no event when it ends: it goes on after the number that it began with.
    const quiet = open({ path: node.paths.socket }, {}, true, "?user=nobody");
    await until("it has begun", 30_000, () => /^id: \d+$/m.test(quiet.said()));
    const begun = /^id: (\d+)$/m.exec(quiet.said())?.[1] ?? "";
    await events(node);
    for (const { said } of open_) await until("they are told", 30_000, () => eventsIn(said()).length === 2);
    const last = eventsIn(open_[0]?.said() ?? "").at(-1)?.id ?? "";
    const before = Date.now();
    berthd.child.kill("SIGTERM");
    expect(await berthd.ended).toBe(0);
    expect(Date.now() - before).toBeLessThan(5000);
    for (const { said } of open_) expect(eventsIn(said()).at(-1)?.data.code).toBe("closing");

    await node.start();
    await events(node);
    const again = open({ path: node.paths.socket }, { "last-event-id": last });
    await until("what came since is here", 30_000, () => eventsIn(again.said()).length >= 2);
    const ids = eventsIn(again.said()).map(({ id }) => Number(id));
    expect(ids).toEqual(ids.map((_, n) => Number(last) + 1 + n));
    const after = open({ path: node.paths.socket }, { "last-event-id": begun });
    await until("nothing is lost", 30_000, () => eventsIn(after.said()).length >= 2 + ids.length);
    expect(Number(eventsIn(after.said())[0]?.id)).toBe(Number(begun) + 1);
  });

  it("that are not read leave berthd's memory alone, and others are served", async () => {
    const { node, berthd, port, headers } = await noded();
    const slow = Array.from({ length: 30 }, () =>
      open({ port }, { ...headers, "last-event-id": "0" }, false),
    );
    const memory = () => {
      const status = readFileSync(`/proc/${berthd.child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    };
    const before = memory();
    for (let n = 0; n < 300; n++) await events(node);
    const reader = open({ port }, { ...headers, "last-event-id": "0" });
    await until("others are served", 30_000, () => eventsIn(reader.said()).length >= 600);
    expect(memory() - before).toBeLessThan(120);
    expect((await node.call("GET", "/health")).body.status).toBe("ok");
    expect(slow.some(({ closed }) => closed())).toBe(false);
  });
});
