/** The SSH pool against a server in this process: what it does when things go wrong, and how often it connects. */

import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../../../test/fakes/sshd";
import { failureOf } from "../../../test/lib/failure";
import { until } from "../../../test/lib/until";
import { fingerprint, parseHostKeys, type SshConnection, SshError, SshPool } from "../src/index";
import { type FakeServer, makeHostKey, makePemKey, type ServerOptions, startServer } from "./ssh-server";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function server(options: ServerOptions = {}): Promise<FakeServer> {
  const made = await startServer(options);
  cleanups.push(() => made.stop());
  return made;
}

function pool(options?: { idleMs?: number; maxChannels?: number }): SshPool {
  const made = new SshPool(options);
  cleanups.push(() => made.close());
  return made;
}

const KEY = makeHostKey().privateKey;

function to(target: FakeServer, more: Partial<SshConnection> = {}): SshConnection {
  return {
    host: "127.0.0.1",
    port: target.port,
    user: "ann",
    privateKey: KEY,
    hostKey: target.hostKey,
    ...more,
  };
}

const failure = (work: Promise<unknown>) => failureOf(SshError, work);

describe("commands", () => {
  it("passes stdin whole, and gives stdout, stderr and the exit code", async () => {
    const echo = await server({
      onExec: (_command, channel) => {
        channel.stderr.write("a warning");
        channel.on("end", () => {
          channel.exit(3);
          channel.end();
        });
        channel.pipe(channel, { end: false });
      },
    });
    const stdin = `${"x".repeat(300_000)}\nend`;
    const result = await pool().exec(to(echo), "cat", { stdin });
    expect(result.stdout.toString()).toBe(stdin);
    expect(result.stderr.toString()).toBe("a warning");
    expect(result.code).toBe(3);
  });

  it("names the signal that ended a process", async () => {
    const killed = await server({
      onExec: (_command, channel) => {
        channel.exit("KILL");
        channel.end();
      },
    });
    expect(await pool().exec(to(killed), "x")).toMatchObject({ code: null, signal: "KILL" });
  });

  it("fails when the connection is lost under a command, and connects anew for the next", async () => {
    let first = true;
    const flaky = await server({
      onExec: (_command, channel) => {
        if (first) for (const connection of flaky.open) connection.end();
        else {
          channel.exit(0);
          channel.end();
        }
        first = false;
      },
    });
    const ssh = pool();
    expect(await failure(ssh.exec(to(flaky), "x"))).toMatchObject({ kind: "channel" });
    expect((await ssh.exec(to(flaky), "x")).code).toBe(0);
    expect(flaky.connections).toBe(2);
  });

  it("stops a command that floods its output", async () => {
    const flood = await server({
      onExec: (_command, channel) => {
        const more = (): void => {
          while (channel.writable && channel.write(Buffer.alloc(64 * 1024, "y"))) {}
          channel.once("drain", more);
        };
        channel.once("close", () => channel.removeAllListeners("drain"));
        more();
      },
    });
    const error = await failure(pool().exec(to(flood), "yes", { maxOutput: 1_000_000 }));
    expect(error.kind).toBe("output");
    expect(error.message).toContain("1000000 bytes");
  });
});

describe("connections", () => {
  it("is one for all who use the same server, account and key", async () => {
    const host = await server();
    const ssh = pool();
    const results = await Promise.all(Array.from({ length: 30 }, (_, i) => ssh.exec(to(host), `c${i}`)));
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(
      Array.from({ length: 30 }, (_, i) => `c${i}`),
    );
    expect(host.connections).toBe(1);
    expect(host.mostSessions).toBeLessThanOrEqual(8);
    await ssh.exec(to(host, { user: "bob" }), "x");
    expect(host.connections).toBe(2);
    expect(ssh.size).toBe(2);
  });

  it("closes when idle, not before, and opens again when needed", async () => {
    const host = await server();
    const ssh = pool({ idleMs: 150 });
    await ssh.exec(to(host), "x");
    await ssh.exec(to(host), "x");
    expect(host.connections).toBe(1);
    expect(ssh.size).toBe(1);
    await until("the connection is closed", 30_000, () => ssh.size === 0 && host.open.size === 0);
    await ssh.exec(to(host), "x");
    expect(host.connections).toBe(2);
  });

  it("waits for its turn where the server allows fewer sessions than the pool would use", async () => {
    const small = await server({
      maxSessions: 2,
      onExec: (command, channel) => {
        setTimeout(() => {
          channel.write(command);
          channel.exit(0);
          channel.end();
        }, 20);
      },
    });
    const ssh = pool();
    const results = await Promise.all(Array.from({ length: 12 }, (_, i) => ssh.exec(to(small), `c${i}`)));
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(
      Array.from({ length: 12 }, (_, i) => `c${i}`),
    );
    expect(small.connections).toBe(1);
    expect(small.mostSessions).toBe(2);
  });

  it("keeps to what the server allows where it counts a session that has ended", async () => {
    const opened: (() => void)[] = [];
    const slow = await server({
      maxSessions: 3,
      countsEndedMs: 150,
      onExec: (command, channel) => {
        const end = () => {
          channel.exit(0);
          channel.end();
        };
        if (command === "long") opened.push(end);
        else setTimeout(end, 20);
      },
    });
    const ssh = pool();
    await Promise.all(Array.from({ length: 10 }, () => ssh.exec(to(slow), "short")));
    // One at a time would never have them open together.
    const three = Promise.all(Array.from({ length: 3 }, () => ssh.exec(to(slow), "long")));
    await until("three are open", 30_000, () => opened.length === 3);
    for (const end of opened) end();
    await three;
    expect(slow.connections).toBe(1);
  });

  it("says so when the server allows no session at all", async () => {
    const none = await server({ maxSessions: 0 });
    const error = await failure(pool().exec(to(none), "x"));
    expect(error.kind).toBe("channel");
    expect(error.message).toContain("refused one more session");
  });

  it("goes through a bastion, whose connection is shared too", async () => {
    const [bastion, first, second] = await Promise.all([server(), server(), server()]);
    const ssh = pool({ idleMs: 100 });
    const via = (target: FakeServer): SshConnection => ({ ...to(target), proxy: to(bastion) });
    const texts = await Promise.all([ssh.exec(via(first), "one"), ssh.exec(via(second), "two")]);
    expect(texts.map(({ stdout }) => stdout.toString())).toEqual(["one", "two"]);
    expect([bastion.connections, first.connections, second.connections]).toEqual([1, 1, 1]);
    await until("all three are closed when idle", 30_000, () => ssh.size === 0 && bastion.open.size === 0);
  });

  it("names the bastion when it is the bastion that cannot be reached", async () => {
    const target = await server();
    const port = await freePort();
    const proxy = { ...to(target), port, dialErrorLimit: 1 };
    const error = await failure(pool().exec({ ...to(target), proxy }, "x"));
    expect(error.message).toMatch(new RegExp(`proxy: cannot connect to ann@127.0.0.1:${port} after 2 tries`));
    expect(target.connections).toBe(0);
  });
});

describe("host keys", () => {
  it("refuses another key at once, with both fingerprints, before it signs in", async () => {
    const host = await server();
    const other = makeHostKey().publicKey;
    const error = await failure(pool().exec(to(host, { hostKey: other }), "x"));
    expect(error.kind).toBe("hostkey");
    for (const line of [host.hostKey, other]) {
      expect(error.message).toContain(fingerprint(parseHostKeys(line)[0]?.blob as Buffer));
    }
    expect(error.message).toContain(`ann@127.0.0.1:${host.port}`);
    expect(host.connections).toBe(1); // it is not tried again
    expect(host.logins + host.refusals).toBe(0);
  });

  it("takes any of several keys, from known_hosts lines too, but no revoked one", async () => {
    const host = await server();
    const lines = `# comment\n[example]:22 ${makeHostKey().publicKey}\nexample ${host.hostKey} ann@home\n`;
    expect((await pool().exec(to(host, { hostKey: lines }), "x")).code).toBe(0);
    const revoked = `@revoked * ${host.hostKey}\n${makeHostKey().publicKey}`;
    expect((await failure(pool().exec(to(host, { hostKey: revoked }), "x"))).message).toContain("revoked");
  });

  it("says what is wrong with an unreadable key text, and connects to nothing", async () => {
    const host = await server();
    const error = await failure(pool().exec(to(host, { hostKey: "ssh-ed25519 not-a-key" }), "x"));
    expect(error.kind).toBe("config");
    expect(error.message).toContain("line 1");
    expect(host.connections).toBe(0);
  });

  it("accepts whatever is shown where no key is given, as the official plugin does", async () => {
    const host = await server();
    expect((await pool().exec(to(host, { hostKey: undefined }), "x")).code).toBe(0);
  });
});

describe("dialling", () => {
  it("tries again until the server is there, and counts one connection", async () => {
    const port = await freePort();
    const ssh = pool();
    const key = makeHostKey();
    const target = { host: "127.0.0.1", port, user: "ann", privateKey: KEY, hostKey: key.publicKey };
    const retries: string[] = [];
    const work = ssh.exec(target, "late", { onRetry: (message) => retries.push(message) });
    await until("it has failed twice", 30_000, () => retries.length >= 2);
    const host = await server({ port, key: key.privateKey });
    expect((await work).stdout.toString()).toBe("late");
    expect(host.connections).toBe(1);
    expect(retries[0]).toMatch(new RegExp(`^ann@127.0.0.1:${port}: try 1 of 11 failed: .*ECONNREFUSED`));
  });

  it("gives up after dialErrorLimit failures: address, tries, time, last error", async () => {
    const port = await freePort();
    const target = { host: "127.0.0.1", port, user: "ann", privateKey: KEY, dialErrorLimit: 2 };
    const error = await failure(pool().exec(target, "x"));
    expect(error.kind).toBe("dial");
    // 0.1 s and 0.15 s of waiting between three tries
    expect(error.message).toMatch(
      new RegExp(`^cannot connect to ann@127.0.0.1:${port} after 3 tries in 0\\.[2-9] s: .*ECONNREFUSED`),
    );
  });

  it("gives a silent server perDialTimeout seconds per try", async () => {
    const silent: Server = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    cleanups.push(async () => silent.close());
    const { port } = silent.address() as AddressInfo;
    const target = { host: "127.0.0.1", port, privateKey: KEY, dialErrorLimit: 0, perDialTimeout: 1 };
    const started = Date.now();
    const error = await failure(pool().exec(target, "x"));
    expect(error.message).toContain("no SSH session within 1 s");
    expect(Date.now() - started).toBeLessThan(3_000);
  });

  it("tries a refused sign-in three more times, and never shows the key", async () => {
    const host = await server({ refuse: 99 });
    const error = await failure(pool().exec(to(host), "x"));
    expect(error.kind).toBe("auth");
    expect(error.message).toContain("after 4 tries");
    expect(error.message).not.toContain(KEY.split("\n")[1]);
    expect(host.connections).toBe(4);
  });

  it("signs in when a first refusal was only early", async () => {
    const host = await server({ refuse: 1 });
    expect((await pool().exec(to(host), "x")).code).toBe(0);
  });

  it("goes on without an agent that does not answer, and says so if nothing else helps", async () => {
    const host = await server();
    const agentSocketPath = "/no/such/agent";
    expect((await pool().exec(to(host, { agentSocketPath }), "x")).code).toBe(0);
    const alone = to(host, { agentSocketPath, privateKey: undefined, dialErrorLimit: 0 });
    expect((await failure(pool().exec(alone, "x"))).message).toMatch(/the agent: .*(agent|ENOENT)/i);
  });

  it("refuses an unusable private key before it connects, without quoting it", async () => {
    const host = await server();
    const keys = [makePemKey("passphrase"), "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END"];
    for (const privateKey of keys) {
      const error = await failure(pool().exec(to(host, { privateKey }), "x"));
      expect(error.kind).toBe("config");
      expect(error.message).toContain("privateKey");
      expect(error.message).not.toContain(privateKey.split("\n")[1] as string);
    }
    expect((await pool().exec(to(host, { privateKey: makePemKey() }), "x")).code).toBe(0);
  });
});

describe("ends", () => {
  const never: ServerOptions = { onExec: (_command, channel) => void channel.resume() };

  it("ends a running command when cancelled, and when its deadline passes", async () => {
    const host = await server(never);
    const ssh = pool();
    const control = new AbortController();
    const running = failure(ssh.exec(to(host), "sleep", { signal: control.signal }));
    await until("it runs", 20_000, () => host.sessions === 1);
    // The connection is up: one more session on it takes milliseconds, and a busy computer has time for them.
    const late = failure(ssh.exec(to(host), "sleep", { deadline: Date.now() + 1_500 }));
    await until("both run", 20_000, () => host.mostSessions === 2);
    control.abort();
    expect((await running).kind).toBe("cancelled");
    const error = await late;
    expect(error.kind).toBe("deadline");
    expect(error.message).toContain("took too long");
    await until("no session is left", 30_000, () => host.sessions === 0);
  });

  it("ends the dialling as soon as nobody waits for it", async () => {
    const port = await freePort();
    const control = new AbortController();
    const ssh = pool();
    const target = { host: "127.0.0.1", port, privateKey: KEY, dialErrorLimit: -1 };
    const waiting = failure(ssh.exec(target, "x", { signal: control.signal }));
    const timer = failure(ssh.exec(target, "x", { deadline: Date.now() + 200 }));
    expect((await timer).kind).toBe("deadline");
    control.abort();
    expect((await waiting).kind).toBe("cancelled");
    const host = await server({ port });
    await new Promise((resolve) => setTimeout(resolve, 400)); // longer than the next try would have taken
    expect(host.connections).toBe(0);
  });

  it("closes everything at once", async () => {
    const host = await server(never);
    const ssh = pool();
    const running = failure(ssh.exec(to(host), "sleep"));
    await until("it runs", 30_000, () => host.sessions === 1);
    await ssh.close();
    expect(["cancelled", "channel"]).toContain((await running).kind);
    expect(ssh.size).toBe(0);
    await until("the server has noticed", 30_000, () => host.open.size === 0);
  });
});

describe("channels", () => {
  it("carries both directions, half-closes, and tells how the command ended", async () => {
    const upper = await server({
      onExec: (_command, channel) => {
        channel.on("data", (chunk: Buffer) => channel.write(chunk.toString().toUpperCase()));
        channel.on("end", () => {
          channel.stderr.write("bye");
          channel.exit(0);
          channel.end();
        });
      },
    });
    const ssh = pool({ idleMs: 100 });
    const channel = await ssh.openChannel(to(upper), "upper");
    channel.write("ab");
    const [first] = (await new Promise((resolve) => channel.once("data", (chunk) => resolve([chunk])))) as [
      Buffer,
    ];
    expect(first.toString()).toBe("AB");
    await new Promise((resolve) => setTimeout(resolve, 250)); // an open channel is use, however quiet
    expect(ssh.size).toBe(1);
    channel.end();
    channel.resume();
    expect(await channel.exit).toEqual({ code: 0, stderr: "bye" });
    await until("the connection is closed", 30_000, () => ssh.size === 0);
  });
});
