/**
 * Logs of containers as Server-Sent Events, with clients that are written by hand. Proves: what they get, in which order and
 * how they go on; whose logs they are, also when the container is gone and berthd was started anew; tickets and pages.
 */
import { describe, expect, it } from "vitest";
import { ContainerLogs } from "../../../agent/src/container-logs";
import { eventsIn, get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { endAfterEachTest, endings } from "../../unit/agent/http/cases";
import { type Inside, ids, inside, page, soon } from "./inside-rig";

endAfterEachTest();

const path = (id: string = ids.mine) => `/api/containers/${id}/logs`;
function open(of: Inside, at = path(), headers: Record<string, string | undefined> = {}) {
  const client = rawClient({ port: of.port }, get(at, { authorization: `Bearer ${of.ide}`, ...headers }));
  endings.push(() => client.socket.destroy());
  return client;
}
const lines = (said: string) =>
  eventsIn(said).flatMap(({ data }) => (typeof data.line === "string" ? [data.line] : []));
const ends = (said: string) => eventsIn(said).filter(({ event }) => event === "end");
const answered = async ({ said }: ReturnType<typeof open>, status: number) => {
  await until("it is answered", soon, () => said().includes("\r\n\r\n"));
  expect(said()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
};
async function withLines(of: Inside, count: number, id = ids.mine) {
  of.logs.open(id, "web-ide");
  for (let n = 1; n <= count; n++)
    await of.logs.append(id, { line: `line ${n}` }, 1000 + n, n % 2 ? "setup" : "start");
}

describe("a container's log", () => {
  it("is all that is kept, of its set-up and its start command in one, then what comes", async () => {
    const of = await inside();
    await withLines(of, 2);
    const client = open(of);
    await until("the first are here", soon, () => lines(client.said()).length === 2);
    await of.logs.append(ids.mine, { line: "data: x\nid: 7", cut: 99_999 }, 5000, "start");
    await until("the next is here", soon, () => lines(client.said()).length === 3);
    expect(client.said()).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-type: text\/event-stream/);
    expect(eventsIn(client.said()).map(({ data }) => data)).toEqual([
      { line: "line 1", timestamp: 1001 },
      { line: "line 2", timestamp: 1002 },
      { line: expect.stringContaining("data: x\nid: 7 [cut here"), timestamp: 5000 },
    ]);
    expect(of.dockerd.calls).toEqual([]);
  });

  it("goes on after the line that a client had last, each once; its numbers have 16 digits", async () => {
    const of = await inside();
    await withLines(of, 5);
    const all = open(of);
    await until("all are here", soon, () => lines(all.said()).length === 5);
    const id = eventsIn(all.said())[2]?.id;
    expect(id).toMatch(/^\d{16}$/);
    const rest = open(of, path(), { "last-event-id": id });
    const asked = open(of, `${path()}?last_event_id=${id}`);
    await of.logs.append(ids.mine, { line: "line 6" }, 9, "start");
    for (const { said } of [rest, asked]) {
      await until("the rest is here", soon, () => lines(said()).length === 3);
      expect(lines(said())).toEqual(["line 4", "line 5", "line 6"]);
    }
    const none = open(of, path(), { "last-event-id": "" });
    await until("all are here", soon, () => lines(none.said()).length === 6);
    for (const bad of ["x", "-1", "1e3", "99999999999999999", "9999999999999999"])
      await answered(open(of, path(), { "last-event-id": bad }), 400);
  });

  it("shows signs of life", async () => {
    const of = await inside({ streams: { beat: 200 } });
    await withLines(of, 1);
    const client = open(of);
    await until("they come", soon, () => client.said().split(": still here").length > 2);
  });

  it("ends when the container is gone, and is there for its tenant alone after that, also for a berthd that was started anew", async () => {
    const of = await inside();
    await withLines(of, 3);
    const client = open(of);
    await until("they are here", soon, () => lines(client.said()).length === 3);
    of.managed.delete(ids.mine);
    await of.logs.end(ids.mine);
    await until("it is over", soon, () => ends(client.said()).length === 1);
    expect(ends(client.said())[0]?.data.code).toBe("over");
    const later = open(of);
    await until("it is all there", soon, () => ends(later.said()).length === 1);
    expect(lines(later.said())).toEqual(["line 1", "line 2", "line 3"]);
    await answered(open(of, path(), { authorization: `Bearer ${of.bench}` }), 404);
    await of.logs.close();
    const again = new ContainerLogs({ folder: of.folder, log: { error: () => {} } });
    await again.restore([]);
    expect([again.ownerOf(ids.mine), again.ownerOf("ffffffff")]).toEqual(["web-ide", undefined]);
  });

  it("is nobody's but its tenant's: all else is not there, in one text", async () => {
    const of = await inside();
    await withLines(of, 1);
    of.logs.open(ids.theirs, "bench");
    of.logs.open(ids.pooled);
    const said = new Set<string>();
    for (const id of [ids.theirs, ids.pooled, "ffffffff", "not-an-id", of.docker.mine]) {
      const client = open(of, path(id));
      await answered(client, 404);
      said.add(client.said().split("\r\n\r\n")[1]?.replaceAll(id, "ID") ?? "");
    }
    expect([...said]).toEqual([expect.stringContaining("There is no container ID.")]);
    await answered(open(of, path(), { authorization: undefined }), 401);
    const alice = rawClient({ path: of.api.socketOf("alice") }, get(path()));
    endings.push(() => alice.socket.destroy());
    await answered(alice, 404);
    const root = rawClient({ path: of.api.main }, get(path()));
    endings.push(() => root.socket.destroy());
    await answered(root, 403);
  });

  it("is read in a browser with a ticket, by pages of the origins that the operator names", async () => {
    const of = await inside();
    await withLines(of, 1);
    const ticket = async () => {
      const { status, body } = await of.ask("POST", `${path()}/ticket`);
      expect([status, body.path]).toEqual([201, path()]);
      return `${path()}?ticket=${body.ticket}`;
    };
    const bare = { authorization: undefined };
    const used = await ticket();
    const first = open(of, used, { ...bare, origin: page });
    await until("it is here", soon, () => lines(first.said()).length === 1);
    expect(first.said()).toContain(`access-control-allow-origin: ${page}\r\n`);
    await answered(open(of, used, bare), 401);
    for (const origin of ["https://evil.example", "null"])
      await answered(open(of, await ticket(), { ...bare, origin }), 403);
    // Whoever lost the stream makes another ticket, and goes on where it was.
    const [last] = eventsIn(first.said());
    await of.logs.append(ids.mine, { line: "next" }, 1, "start");
    const again = open(of, `${await ticket()}&last_event_id=${last?.id}`, { ...bare, origin: page });
    await until("it goes on", soon, () => lines(again.said()).length === 1);
    expect(lines(again.said())).toEqual(["next"]);
    expect((await of.ask("POST", `${path(ids.theirs)}/ticket`)).status).toBe(404);
  });

  it("says where lines are missing", async () => {
    const of = await inside();
    await withLines(of, 1);
    // Whoever does not wait for room loses lines.
    const flood = Array.from({ length: 40 }, () =>
      of.logs.append(ids.mine, { line: "x".repeat(16_000) }, 1, "start"),
    );
    await Promise.all(flood);
    await of.logs.append(ids.mine, { line: "last" }, 1, "start");
    const client = open(of);
    await until("all is here", soon, () => lines(client.said()).includes("last"));
    const gap = eventsIn(client.said()).find(({ event }) => event === "gap");
    expect(gap?.data).toEqual({ after: expect.any(Number), before: expect.any(Number) });
    expect(Number(gap?.id)).toBe(Number(gap?.data.before) - 1);
    expect(lines(client.said()).length).toBeLessThan(42);
  });
});
