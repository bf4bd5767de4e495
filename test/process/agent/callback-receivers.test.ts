/**
 * To whom berthd tells what happens to containers, on loopback: servers that redirect, answer without end or not at all, and
 * names and addresses of the back-end's choice; the clock is the test's. Proves: no receiver, redirect or name leads berthd
 * astray or holds up another's, a receiver over TLS is the one of that name, and whoever fails is asked again.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer as createTcp, type Socket } from "node:net";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { beforeEach, describe, expect, it } from "vitest";
import { until } from "../../lib/until";
import {
  asleep,
  callbacksForEachTest,
  endings,
  listening,
  node,
  none,
  receiver,
  status,
  taken,
  urlOf,
} from "./callback-rig";

callbacksForEachTest();

/** A server below HTTP. */
async function raw(said: (socket: Socket) => void): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createTcp((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => said(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  endings.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

describe("a receiver", () => {
  const failsWith = async (url: string, reason: string | RegExp) => {
    const before = node.logged.length;
    await node.tell("a", url);
    await asleep();
    expect(node.kept).toHaveLength(1);
    expect(node.logged[before]?.data).toMatchObject({ reason: expect.stringMatching(reason) });
  };

  it.each([301, 302, 307, 308])("that redirects with %s is not followed", async (code) => {
    const other = await listening();
    receiver.answer = status(code, { Location: urlOf(other) });
    await failsWith(urlOf(receiver), `the answer was ${code}: redirects are not followed`);
    expect(other.connections).toBe(0);
  });

  it.each([400, 401, 404, 410, 429, 500, 503])("that answers %s is asked again", async (code) => {
    receiver.answer = status(code);
    await failsWith(urlOf(receiver), `the answer was ${code}`);
    receiver.answer = taken;
    node.clock.passToNext();
    await none();
  });

  it.each([200, 201, 202, 204])("that answers %s has it", async (code) => {
    receiver.answer = status(code);
    await node.tell("a", urlOf(receiver));
    await none();
    expect(receiver.got).toHaveLength(1);
  });

  it("that answers without end is cut off, and has it", async () => {
    let [written, closed] = [0, false];
    receiver.answer = (response) => {
      response.writeHead(200);
      response.on("close", () => {
        closed = true;
      });
      const more = () => {
        if (closed || written > 2 ** 30) return;
        written += 65_536;
        response.write(Buffer.alloc(65_536), more);
      };
      more();
    };
    await node.tell("a", urlOf(receiver));
    await none();
    await until("it is cut off", 20_000, () => closed);
    // What the kernel keeps on its way is more than what was read.
    expect(written).toBeLessThan(64 * 2 ** 20);
  });

  it("that has headers without end is cut off", async () => {
    const endless = await raw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = () => void (socket.writable && socket.write(`X-Long: ${"x".repeat(8000)}\r\n`, more));
      more();
    });
    await failsWith(urlOf(endless), /header/i);
    await until("it is cut off", 20_000, () => endless.sockets.every(({ destroyed }) => destroyed));
  });

  it.each([
    ["no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", /Parse Error|Expected HTTP/],
    ["nothing, and hangs up", "", /ended|hang up|ECONNRESET/],
    [
      "another protocol",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      /ended|hang up/,
    ],
    ["half a status", "HTTP/1.1 20", /ended|hang up|Parse Error/],
  ])("that speaks %s is asked again", async (_, words, reason) => {
    const odd = await raw((socket) => socket.end(words));
    await failsWith(urlOf(odd), reason);
  });

  it("that only says that it goes on is cut off soon, and asked again", async () => {
    const busy = await raw((socket) => {
      const more = () => void (socket.writable && socket.write("HTTP/1.1 102 Processing\r\n\r\n", more));
      more();
    });
    await failsWith(urlOf(busy), "more than 16 answers before the answer");
    await until("it is cut off", 20_000, () => busy.sockets.every(({ destroyed }) => destroyed));
  });

  it("that says a few times that it goes on has it", async () => {
    const early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    const late = await raw((socket) => socket.end(`${early.repeat(16)}HTTP/1.1 204 No Content\r\n\r\n`));
    await node.tell("a", urlOf(late));
    await none();
    expect(node.logged).toEqual([]);
  });

  it("that is not there is asked again", async () => {
    const { port } = receiver;
    await receiver.close();
    await failsWith(urlOf({ port }), "ECONNREFUSED");
    const back = await listening("127.0.0.1", port);
    node.clock.passToNext();
    await none();
    expect(back.seen).toEqual(["a/1"]);
  });

  describe("with little time", () => {
    beforeEach(() => {
      node.kill();
      node.options = { deadlineMs: 300 };
      node.restart();
    });

    it("that never answers is asked again", async () => {
      receiver.answer = () => {};
      await failsWith(urlOf(receiver), "no answer within 0.3 s");
    });

    it("whose answer has no end, byte by byte, has it", async () => {
      receiver.answer = (response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write("."), 20);
        response.on("close", () => clearInterval(drip));
      };
      await node.tell("a", urlOf(receiver));
      await none();
      expect(receiver.seen).toEqual(["a/1"]);
    });
  });

  it("that never answers holds up no other owner's, and has a few connections at a time", async () => {
    const mute = await listening();
    mute.answer = () => {};
    for (let n = 0; n < 12; n++) await node.tell(`a${n}`, urlOf(mute));
    await until("some of them", 20_000, () => mute.got.length === 4);
    await node.tell("b", urlOf(receiver), { owner: "bob", count: 3 });
    await until("bob's", 20_000, () => receiver.seen.join() === "b/13,b/14,b/15");
    expect([mute.got.length, mute.connections]).toEqual([4, 4]);
    mute.answer = taken;
    await node.callbacks.close();
    expect(node.kept.filter((one) => one.startsWith("a"))).toHaveLength(12);
  });
});

describe("an address", () => {
  const refused = async (url: string, reason: RegExp) => {
    await node.tell("a", url);
    await asleep();
    expect(node.logged[0]?.data).toMatchObject({ reason: expect.stringMatching(reason) });
  };

  it("that is not public is not connected to, unless the operator lists it", async () => {
    node.allowed = [];
    await refused(urlOf(receiver), /does not connect to 127\.0\.0\.1: .*loopback/);
    expect(receiver.connections).toBe(0);
    node.allowed = ["127.0.0.1"];
    node.clock.passToNext();
    await none();
  });

  it.each([
    "http://[::1]:9/",
    "http://[::ffff:127.0.0.1]:9/",
    "http://2130706433:9/",
    "http://0x7f.1:9/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00:ec2::254]/",
    "http://10.0.0.1/",
  ])("that is not public is not connected to, however it is spelled: %s", async (url) => {
    node.allowed = [];
    await refused(url, /does not connect to/);
  });

  it("is the one that was checked in this very try: the name itself leads nowhere", async () => {
    let asked = 0;
    node.names["hook.test"] = () => {
      asked++;
      return ["127.0.0.1"];
    };
    await node.tell("a", urlOf(receiver, "hook.test"));
    await none();
    expect(asked).toBe(1);
    expect(receiver.got[0]?.headers.host).toBe(`hook.test:${receiver.port}`);
  });

  it("to which a name leads later is checked as well", async () => {
    node.allowed = ["127.0.0.1"];
    const inner = await listening("127.0.0.2", receiver.port);
    const leads = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.1"]];
    node.names["rebind.test"] = () => leads.shift() ?? [];
    await node.tell("a", urlOf(receiver, "rebind.test"));
    await none();
    await node.tell("a", urlOf(receiver, "rebind.test"));
    await asleep();
    expect(node.logged[0]?.data).toMatchObject({ reason: expect.stringContaining("127.0.0.2 (loopback") });
    node.clock.passToNext();
    await until("the second wait", 20_000, () => node.clock.waits.length === 2);
    node.clock.passToNext();
    await none();
    expect(receiver.seen).toEqual(["a/1", "a/2"]);
    expect(inner.connections).toBe(0);
  });

  it("that does not answer gives way to the next one of the name", async () => {
    const other = await listening("127.0.0.3");
    node.names["two.test"] = () => ["127.0.0.4", "127.0.0.3"];
    await node.tell("a", urlOf(other, "two.test"));
    await none();
    expect(other.seen).toEqual(["a/1"]);
  });
});

describe("over TLS", () => {
  it("a receiver is known by its name, not by its address", async () => {
    const [key, cert] = ["key.pem", "cert.pem"].map((file) => join(node.folder, file)) as [string, string];
    const names = ["good.test", ...Array.from({ length: 100 }, (_, n) => `${"x".repeat(60)}.${n}.test`)];
    const altNames = names.map((name) => `DNS:${name}`).join(",");
    const subject = ["-subj", "/CN=good.test", "-addext", `subjectAltName=${altNames}`];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", [...request, "-keyout", key, "-out", cert, "-days", "2", ...subject], {
      stdio: "pipe",
    });
    const roots = getCACertificates("default");
    endings.push(() => setDefaultCACertificates(roots));
    const got: string[] = [];
    const server = createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, (asked, response) => {
      got.push(asked.headers.host ?? "");
      asked.resume();
      response.writeHead(204).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    endings.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    node.clock.now = Date.now();
    for (const name of ["good.test", "other.test"]) node.names[name] = () => ["127.0.0.1"];

    await node.tell("untrusted", `https://good.test:${port}/`);
    await asleep(1);
    setDefaultCACertificates([...roots, readFileSync(cert, "utf8")]);
    await node.tell("other", `https://other.test:${port}/`);
    await asleep(2);
    await node.tell("good", `https://good.test:${port}/`);
    await until("it arrives", 20_000, () => node.kept.join() === "untrusted/1,other/2");
    expect(got).toEqual([`good.test:${port}`]);
    expect(node.logged.map(({ data }) => data)).toMatchObject([
      { container: "untrusted", reason: expect.stringContaining("self-signed") },
      { container: "other", reason: expect.stringMatching(/^(?=.{1,300}$).*does not match certificate/) },
    ]);
  });
});
