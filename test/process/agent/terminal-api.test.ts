/**
 * Terminals in containers, over real sockets; the fake dockerd runs their shells as real processes. Proves: who may open one,
 * by which token or ticket, and from which pages; that no token is taken from an address or gets into a log; what is typed,
 * shown and resized; back-pressure both ways; every end, and that none leaves a process.
 */
import pino from "pino";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { ManagedContainer } from "../../../agent/src/commands";
import { get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { endAfterEachTest, endings } from "../../unit/agent/http/cases";
import { type Inside, ids, inside, living, page, proc, soon } from "./inside-rig";

endAfterEachTest();

const PROTOCOL = "berth.terminal.v1";
const path = (id: string = ids.mine) => `/api/containers/${id}/terminal`;

interface Client {
  ws: WebSocket;
  /** All that was shown. */
  shown(): string;
  controls: unknown[];
  /** The close code and reason, or the status and body of a refusal. */
  end(): string;
}
function client(of: Inside, at = path(), options: object = {}, protocols: string[] = []): Client {
  const ws = new WebSocket(`ws://127.0.0.1:${of.port}${at}`, protocols, options);
  endings.push(() => ws.terminate());
  let shown = "";
  let end = "";
  const controls: unknown[] = [];
  ws.on("message", (data, binary) => {
    if (binary) shown += String(data);
    else controls.push(JSON.parse(String(data)));
  });
  ws.on("close", (code, reason) => {
    end ||= `${code} ${reason}`;
  });
  ws.on("error", () => {});
  ws.on("unexpected-response", (_request, response) => {
    let text = "";
    response.on("data", (part) => {
      text += part;
    });
    response.on("end", () => {
      end = `${response.statusCode} ${text}`;
    });
  });
  return { ws, shown: () => shown, controls, end: () => end };
}
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const mine = (of: Inside, query = "") => client(of, `${path()}${query}`, bearer(of.ide));
const opened = ({ ws }: Client) => until("it is open", soon, () => ws.readyState === WebSocket.OPEN);
const ended = (one: Client, how: RegExp) =>
  until(`it ends with ${how}`, soon, () => one.end() !== "").then(() => expect(one.end()).toMatch(how));
const type = ({ ws }: Client, text: string) => ws.send(Buffer.from(text));
const shows = (one: Client, text: string) =>
  until(`it shows ${text}`, soon, () => {
    if (one.shown().includes(text)) return true;
    throw new Error(`it shows ${one.shown().slice(-500)}`);
  });
const emptied = (of: Inside) => until("nothing of it runs", soon, () => living(of).length === 0);
const shell = (of: Inside) => until("the shell", soon, () => of.dockerd.execs.all.at(-1));

describe("a terminal", () => {
  it("takes what is typed, shows what comes, and says how its shell ended", async () => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    type(one, "echo $((40+2)) $TERM\n");
    await shows(one, "42 xterm-256color\n");
    type(one, "exit 7\n");
    await ended(one, /^1000 /);
    expect(one.controls).toEqual([{ type: "exit", exitCode: 7 }]);
    expect((await shell(of)).body).toMatchObject({ Tty: true, ConsoleSize: [24, 80] });
    await emptied(of);
  });

  it("has the container's variables", async () => {
    const of = await inside();
    const env = { GREETING: "hello there", TERM: "dumb" };
    of.managed.set(ids.mine, { ...(of.managed.get(ids.mine) as ManagedContainer), env });
    const one = mine(of);
    await opened(one);
    type(one, 'echo "$GREETING $TERM"\n');
    await shows(one, "hello there dumb");
    expect(JSON.stringify((await shell(of)).body.Cmd)).not.toContain("hello");
  });

  it("has the size of its window at the start, and follows it: of many at a time the last one counts", async () => {
    const of = await inside();
    const one = mine(of, "?cols=132&rows=50");
    await opened(one);
    for (let n = 1; n <= 200; n++) one.ws.send(JSON.stringify({ type: "resize", cols: 100 + n, rows: 40 }));
    const { sizes, body } = await shell(of);
    await until("the last size", soon, () => sizes.at(-1) === "40x300");
    expect(body.ConsoleSize).toEqual([50, 132]);
    expect(sizes.length).toBeLessThan(100);
    type(one, "echo still $((1+1))\n");
    await shows(one, "still 2");
  });

  it.each([
    ["no JSON", "ls -la\n"],
    ["another type", '{"type":"paste"}'],
    ["another field", '{"type":"resize","cols":80,"rows":24,"ä":"ääääääääääääääääääääääääääääääääää"}'],
    ["a size that no window has", '{"type":"resize","cols":0,"rows":24}'],
    ["a list", "[]"],
    ["a long text", `{"type":"resize","cols":80,"rows":24${" ".repeat(300)}}`],
    ["nothing", ""],
  ])("ends for a text message that is %s, and is told why", async (_what, text) => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    one.ws.send(text);
    await ended(one, /^4011 A text message makes no sense: /);
    await emptied(of);
    // What a client does wrong is no failure of berthd's.
    expect(of.said).toEqual([]);
  });

  it("ends for a message that is too long", async () => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    one.ws.send(Buffer.alloc(64 * 1024 + 1));
    await ended(one, /^1009 /);
    await emptied(of);
  });

  it.each(["closes", "goes without a word"])("hangs up when its client %s", async (how) => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    type(one, "sleep 1000 & echo begun; cat\n");
    await shows(one, "begun");
    if (how === "closes") one.ws.close();
    else one.ws.terminate();
    await emptied(of);
  });

  it("leaves nothing behind where the handshake is wrong", async () => {
    const of = await inside({ places: { terminals: { container: 1, owner: 1, own: 1, all: 1 } } });
    const headers = { authorization: `Bearer ${of.ide}`, connection: "Upgrade", upgrade: "websocket" };
    for (let n = 0; n < 3; n++) {
      const bad = rawClient({ port: of.port }, get(path(), headers));
      endings.push(() => bad.socket.destroy());
      await until("it is refused", soon, () => /^HTTP\/1\.1 (400|429) /.test(bad.said()));
      await emptied(of);
    }
    await until("there is room", soon, async () => {
      const one = mine(of);
      await until("it is answered", soon, () => one.ws.readyState === WebSocket.OPEN || one.end() !== "");
      return one.ws.readyState === WebSocket.OPEN;
    });
  });

  it("ends with its container", async () => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    type(one, "echo begun\n");
    await shows(one, "begun");
    const { pid } = await shell(of);
    of.dockerd.take(of.docker.mine);
    process.kill(pid, "SIGKILL");
    await ended(one, /^1000 /);
    expect(one.controls).toEqual([{ type: "exit", exitCode: null }]);
  });

  it("is refused where the container does not run, before it is a WebSocket", async () => {
    const of = await inside();
    of.dockerd.end(of.docker.mine);
    await ended(mine(of), /^409 .*does not run/);
  });

  it("makes a shell wait for a slow client, and gives it all in the end", async () => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    one.ws.pause();
    type(one, "seq 1 2000000; echo the last\n");
    const { sent } = await until("the shell to wait", soon, async () => {
      const exec = await shell(of);
      const before = exec.sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return before > 0 && exec.sent === before && exec;
    });
    // Of 15 MB: what sockets and pipes take.
    expect(sent).toBeLessThan(8_000_000);
    one.ws.resume();
    await shows(one, "2000000\nthe last\n");
  });

  it("takes no more from a client than its shell reads", async () => {
    const of = await inside();
    const one = mine(of);
    await opened(one);
    type(one, "echo begun; exec cat >/dev/null\n");
    await shows(one, "begun");
    const { pid } = await shell(of);
    await until("cat", soon, () => proc.read(pid, "comm")?.trim() === "cat");
    // Stopped, it reads nothing.
    process.kill(pid, "SIGSTOP");
    for (let n = 0; n < 300; n++) one.ws.send(Buffer.alloc(60_000));
    await until("the client to wait", soon, async () => {
      const before = one.ws.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return before > 0 && one.ws.bufferedAmount === before;
    });
    expect(one.ws.bufferedAmount).toBeGreaterThan(8_000_000);
    expect((await of.ask("GET", `/api/containers/${ids.mine}/stats`)).status).toBe(200);
    process.kill(pid, "SIGCONT");
    await until("it is all taken", soon, () => one.ws.bufferedAmount === 0);
  });

  it("ends for a client that reads nothing for long, and its shell is told", async () => {
    const of = await inside({ streams: { stall: 1500 } });
    const one = mine(of);
    await opened(one);
    one.ws.pause();
    type(one, "yes\n");
    await emptied(of);
  });

  it("is one of so many in a container and of an owner", async () => {
    const of = await inside({ places: { terminals: { container: 1, owner: 2, own: 1, all: 9 } } });
    const first = mine(of);
    await opened(first);
    await ended(mine(of), /^429 .*Container 00000001 has 1 terminals/);
    of.managed.set("0000000a", {
      id: "0000000a",
      owner: "web-ide",
      container: of.docker.pooled,
      state: "ready",
      env: {},
    });
    const second = client(of, path("0000000a"), bearer(of.ide));
    await opened(second);
    of.managed.set("0000000b", {
      id: "0000000b",
      owner: "web-ide",
      container: of.docker.making,
      state: "ready",
      env: {},
    });
    await ended(client(of, path("0000000b"), bearer(of.ide)), /^429 .*web-ide has 2 terminals/);
    first.ws.close();
    await until("there is room again", soon, async () => {
      const again = mine(of);
      await until("it is answered", soon, () => again.ws.readyState === WebSocket.OPEN || again.end() !== "");
      return again.ws.readyState === WebSocket.OPEN;
    });
  });

  it("is one of so many streams of a tenant, who may have more than a person", async () => {
    const of = await inside({ streams: { account: 1, tenant: 2 } });
    for (let n = 0; n < 2; n++) await opened(mine(of));
    await ended(mine(of), /^429 .*2 open streams/);
    expect(of.dockerd.execs.all).toHaveLength(2);
  });

  it("ends when berthd stops, and with its token", async () => {
    const of = await inside();
    const { body } = await of.api.call("POST", "/api/tokens", { body: { role: "tenant", owner: "web-ide" } });
    const one = client(of, path(), bearer(body.token));
    await opened(one);
    await of.api.call("DELETE", `/api/tokens/${body.id}`);
    await ended(one, /^4003 /);
    const two = mine(of);
    await opened(two);
    await of.commands.close();
    await ended(two, /^1000 /);
    await emptied(of);
  });

  it("of a person is in a container that they had made", async () => {
    const of = await inside();
    const ws = new WebSocket(`ws+unix:${of.api.socketOf("alice")}:${path(of.docker.alices)}`);
    endings.push(() => ws.terminate());
    await until("it is open", soon, () => ws.readyState === WebSocket.OPEN);
    expect((await shell(of)).container).toBe(of.docker.alices);
  });
});

describe("who may open a terminal", () => {
  it("whoever has a token that the container is of, in the header or among the protocols; dockerd hears of no other", async () => {
    const of = await inside();
    const named = client(of, path(), {}, [PROTOCOL, of.ide]);
    await opened(named);
    // Never the token: a browser takes only what it offered, and shows it.
    expect(named.ws.protocol).toBe(PROTOCOL);
    const before = of.dockerd.calls.length;
    for (const at of [path(ids.theirs), path(ids.pooled), path("ffffffff")])
      await ended(client(of, at, bearer(of.ide)), /^404 .*There is no container/);
    await ended(client(of, path(), bearer(of.bench)), /^404 /);
    await ended(client(of, path(), {}, [PROTOCOL, of.bench]), /^404 /);
    await ended(client(of, path(), {}, [PROTOCOL]), /^401 /);
    await ended(client(of, path(), {}, [PROTOCOL, of.ide.replace(/.$/, "_")]), /^401 /);
    // Elsewhere a protocol is no token.
    const plain = await of.ask("GET", "/api/whoami", {
      token: undefined,
      headers: { "sec-websocket-protocol": of.ide },
    });
    expect(plain.status).toBe(401);
    expect(of.dockerd.calls.length).toBe(before);
  });

  it("nobody with a token in the address, who is told what to do; it is in no answer and no log", async () => {
    const lines: string[] = [];
    const log = pino({ level: "trace" }, { write: (line) => void lines.push(line) });
    const of = await inside({ log });
    const uses: [string, string, object][] = [
      [path(), `?token=${of.ide}`, {}],
      [path(), `?token=${of.ide}`, bearer(of.ide)],
      [path(), `?cols=80&access_token=${of.ide}`, {}],
      [path(), `?ticket=${of.ide}`, {}],
      [path(), `?${of.ide}`, {}],
      [path(), "?token=anything", {}],
    ];
    for (const [at, query, options] of uses) {
      const one = client(of, `${at}${query}`, options);
      await ended(
        one,
        /^400 .*A token in an address is refused.*Authorization: Bearer.*one-time ticket.*\/ticket/,
      );
      expect(one.end()).not.toContain(of.ide);
    }
    for (const at of [`/api/containers/${ids.mine}/logs`, "/api/whoami", "/nowhere"]) {
      const answer = await of.ask("GET", `${at}?token=${of.ide}`, { token: undefined });
      expect([answer.status, answer.text]).toEqual([400, expect.not.stringContaining(of.ide)]);
    }
    const socket = await of.api.call("GET", `/api/whoami?token=${of.ide}`, {
      socket: of.api.socketOf("alice"),
    });
    expect(socket.status).toBe(400);
    // Nor is one that came another way.
    await ended(client(of, path(), {}, [PROTOCOL, of.ide.replace(/.$/, "_")]), /^401 /);
    await opened(client(of, path(), {}, [PROTOCOL, of.ide]));
    expect(lines.length).toBeGreaterThan(5);
    expect([...lines, ...of.said].filter((line) => line.includes(of.ide.slice(6, -1)))).toEqual([]);
    expect(of.dockerd.execs.all).toHaveLength(1);
  });

  it("a page of the origins that the operator names, and of berthd's own, with a ticket that is good once", async () => {
    const of = await inside();
    const ticket = async () => {
      const answer = await of.ask("POST", `${path()}/ticket`);
      expect(answer.status, answer.text).toBe(201);
      expect(answer.body).toEqual({
        ticket: expect.stringMatching(/^[\w-]{43}$/),
        path: path(),
        expiresAt: expect.any(Number),
      });
      return `${path()}?ticket=${answer.body.ticket}`;
    };
    const used = await ticket();
    await opened(client(of, used, { origin: page }, [PROTOCOL]));
    await ended(client(of, used, { origin: page }), /^401 /);
    await opened(client(of, await ticket(), { origin: `http://127.0.0.1:${of.port}` }));
    const before = of.dockerd.calls.length;
    for (const origin of ["https://evil.example", "null", `${page}.evil.example`])
      await ended(client(of, await ticket(), { origin }), /^403 /);
    // A token is for programs, whatever page has it.
    await ended(client(of, path(), { origin: page, ...bearer(of.ide) }), /^403 /);
    const other = (await ticket()).replace(ids.mine, ids.theirs);
    await ended(client(of, other), /^401 /);
    const elsewhere = (await ticket()).replace("terminal", "logs");
    await ended(client(of, elsewhere), /^401 /);
    expect(of.dockerd.calls.length).toBe(before);
  });

  it("with a ticket within half a minute, and as long as whoever made it may", async () => {
    let time = 1_000_000;
    const of = await inside({ now: () => time });
    const { body } = await of.ask("POST", `${path()}/ticket`, { body: {} });
    time += 30_000;
    await ended(client(of, `${path()}?ticket=${body.ticket}`), /^401 /);
    const later = await of.ask("POST", `${path()}/ticket`);
    of.managed.delete(ids.mine);
    await ended(client(of, `${path()}?ticket=${later.body.ticket}`), /^404 /);
    expect((await of.ask("POST", `${path()}/ticket`)).status).toBe(404);
    expect((await of.ask("POST", `${path(ids.making)}/ticket`, { body: { origin: page } })).status).toBe(400);
  });
});
