/**
 * The container manager's listener over TLS, with real certificates and clients. Proves: it speaks TLS and nothing else; requests,
 * streams and limits are as without; a certificate that is replaced is used by the next connection, with nothing interrupted; a pair that
 * does not belong together, or is missing, is told of and changes nothing.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { get, rawClient } from "../../lib/stream-client";
import { until } from "../../lib/until";
import { api, endAfterEachTest, endings } from "../../unit/agent/http/cases";
import type { Api } from "../../unit/agent/http/rig";
import { configOf } from "../../unit/agent/manager/rig";

endAfterEachTest();

const soon = 20_000;
const tenants = [{ name: "web-ide" }];
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-tls-"));
  for (const name of ["one", "two"]) {
    const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const files = ["-keyout", join(folder, `${name}.key`), "-out", join(folder, `${name}.crt`)];
    execFileSync("openssl", ["req", "-x509", ...key, ...files, "-days", "2", ...subject], { stdio: "pipe" });
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Files of this test's own, with the certificate `one` in them. */
function filesOf(name: string) {
  const files = {
    certificate: join(folder, `${name}-manager.crt`),
    key: join(folder, `${name}-manager.key`),
  };
  place(files, "one", "one");
  return files;
}

/** As a client of ACME does: each of the two whole, one after the other. */
function place(files: { certificate: string; key: string }, certificate: string, key: string): void {
  for (const [from, to] of [
    [`${certificate}.crt`, files.certificate],
    [`${key}.key`, files.key],
  ] as const) {
    copyFileSync(join(folder, from), `${to}.new`);
    renameSync(`${to}.new`, to);
  }
}

const encrypted = (files: { certificate: string; key: string }): Promise<Api> =>
  api({
    node: { tenants, manager: configOf({ listen: { address: "127.0.0.1", port: 0, tls: files } }) },
    certificateEvery: 50,
  });

const trusted = () => ["one", "two"].map((name) => readFileSync(join(folder, `${name}.crt`)));

/** An encrypted connection that has agreed. */
async function meet(made: Api): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port: made.servers.managerPort as number, ca: trusted() });
  socket.on("error", () => {});
  endings.push(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}
const nameOn = (socket: TLSSocket) => socket.getPeerCertificate().subject.CN;

const ask = (made: Api, path: string, token?: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const port = made.servers.managerPort;
    const asked = request(
      { host: "127.0.0.1", port, path, headers, ca: trusted(), agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    asked.on("error", reject);
    asked.end();
  });

describe("the container manager over TLS", () => {
  it("answers as without, to those who trust its certificate", async () => {
    const made = await encrypted(filesOf("answers"));
    const token = await made.tokens.create({ role: "tenant", owner: "web-ide" }, "test");
    const admin = await made.tokens.create({ role: "admin" }, "test");
    if (!token.ok || !admin.ok) throw new Error("no token");
    expect(await ask(made, "/health")).toBe(200);
    expect(await ask(made, "/api/tokens", token.value.token)).toBe(404);
    expect(await ask(made, "/health", admin.value.token)).toBe(403);
    expect(await ask(made, "/nowhere")).toBe(401);
  });

  it("says nothing to plain HTTP, and goes on", async () => {
    const made = await encrypted(filesOf("plain"));
    const plain = rawClient({ port: made.servers.managerPort as number }, get("/health"));
    endings.push(() => plain.socket.destroy());
    await until("it is turned away", soon, () => plain.closed());
    expect(plain.said()).not.toContain("HTTP/1.1");
    expect(await ask(made, "/health")).toBe(200);
  });

  it("counts connections from their first moment: those of one address that agree on nothing give way to others", async () => {
    const made = await encrypted(filesOf("counted"));
    const port = made.servers.managerPort as number;
    const silent = Array.from({ length: 150 }, () => rawClient({ port }, "", false));
    endings.push(() => {
      for (const { socket } of silent) socket.destroy();
    });
    for (const { socket } of silent) socket.resume();
    await until("the oldest went", soon, () => silent.filter((client) => client.closed()).length === 22);
    expect(await ask(made, "/health")).toBe(200);
  });

  it("closes what it has open when it goes", async () => {
    const made = await encrypted(filesOf("closes"));
    const socket = await meet(made);
    socket.resume();
    const closed = once(socket, "close");
    delete made.node.manager;
    await made.servers.apply();
    await closed;
    expect(made.servers.managerPort).toBeUndefined();
  });
});

describe("a certificate", () => {
  it("that is replaced is used by the next connection; one that is open goes on", async () => {
    const files = filesOf("replaced");
    const made = await encrypted(files);
    const open = await meet(made);
    expect(nameOn(open)).toBe("one");
    const port = made.servers.managerPort;
    place(files, "two", "two");
    await until("the next has the new one", soon, async () => nameOn(await meet(made)) === "two");
    expect(made.servers.managerPort).toBe(port);
    let said = "";
    open.on("data", (part) => {
      said += part;
    });
    open.write(get("/health"));
    await until("it is answered", soon, () => said.includes("HTTP/1.1 200"));
    expect(made.servers.problem).toBeUndefined();
  });

  it("without its key changes nothing until its key is there, and is told of without showing the key", async () => {
    const files = filesOf("half");
    const made = await encrypted(files);
    place(files, "two", "one");
    await until("it is told of", soon, () => made.servers.problem?.includes("no certificate and its key"));
    expect(made.servers.problem).toContain("the certificate before stays in force");
    expect(made.servers.problem).not.toContain("PRIVATE");
    expect(nameOn(await meet(made))).toBe("one");
    place(files, "two", "two");
    await until("it is in force", soon, () => made.servers.problem === undefined);
    expect(nameOn(await meet(made))).toBe("two");
  });

  it.each([
    ["is missing", (file: string) => rmSync(file), /ENOENT/],
    ["is none", (file: string) => writeFileSync(file, "hello"), /no certificate and its key, in PEM/],
  ])(
    "that %s when berthd starts is told of, and the listener comes when it is there",
    async (_, spoil, why) => {
      const files = filesOf(`start-${String(why).length}`);
      spoil(files.certificate);
      const made = await encrypted(files);
      expect(made.servers.problem).toMatch(why);
      expect(made.servers.managerPort).toBeUndefined();
      expect((await made.call("GET", "/health")).status).toBe(200);
      place(files, "one", "one");
      await until("it is there", soon, () => made.servers.managerPort !== undefined);
      expect(await ask(made, "/health")).toBe(200);
    },
  );
});
