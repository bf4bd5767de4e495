/**
 * The door of a workspace's VS Code, Jupyter and TensorBoard: the file that berth-apply writes, read by a real nginx.
 * Proves: what stands behind sees a request by one of the person's own names as it came, and nothing of any other,
 * neither a page nor a WebSocket; TensorBoard asks for its password; it listens on loopback unless it is published.
 * What it does not prove: code-server and Jupyter themselves (test/e2e of the image does).
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as tcpServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ask, basic, UPGRADE } from "../lib/http";
import { missing, programPath } from "../lib/programs";
import { MINUTE } from "../lib/time";
import { connects } from "../lib/tunnel";
import { until } from "../lib/until";

const PACKAGE = resolve("images/workspace/root/usr/local/lib/berth");
const SERVICES = ["code", "jupyter", "tensorboard"] as const;
type Service = (typeof SERVICES)[number];
/** An address of this computer beside loopback, where it has one. */
const OTHER = Object.values(networkInterfaces())
  .flat()
  .find((one) => one && !one.internal && one.family === "IPv4")?.address;

interface Heard {
  service: Service;
  headers: IncomingHttpHeaders;
  bytes: number;
}

async function freePort(): Promise<number> {
  const server = tcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** What stands behind the door of one service: it notes what it hears, and takes every WebSocket. */
function behind(service: Service, heard: Heard[]): Server {
  const listener: RequestListener = (request, answer) => {
    let bytes = 0;
    request.on("data", (part: Buffer) => {
      bytes += part.length;
    });
    request.on("end", () => {
      heard.push({ service, headers: request.headers, bytes });
      answer.end(`${service} here`);
    });
  };
  return createServer(listener).on("upgrade", ({ headers }, socket) => {
    heard.push({ service, headers, bytes: 0 });
    socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  });
}

const ROOT = process.getuid?.() === 0;

describe.skipIf(missing("nginx")).each([
  ["on loopback", false],
  ["published", true],
])("the door %s", (_, published) => {
  const heard: Heard[] = [];
  const servers: Server[] = [];
  const ports: Record<string, number> = {};
  let dir = "";
  let stop = async () => {};

  /** The rendered file, with this test's folders and ports in the place of the image's. */
  async function configuration(): Promise<string> {
    for (const name of [...SERVICES, "jupyterBehind", "tensorboardBehind"]) ports[name] = await freePort();
    const { code, jupyter, tensorboard } = ports;
    const web = { published, hosts: ["alice.localhost", ...(published ? ["10.88.0.10", "[fd00::a]"] : [])] };
    const settings = { user: "alice", uid: 20000, gid: 20000, ports: { code, jupyter, tensorboard }, web };
    writeFileSync(join(dir, "workspace.json"), JSON.stringify(settings));
    const secret = "a-secret-of-this-test";
    const names = ["password", "codePassword", "jupyterToken", "tensorboardPassword"];
    writeFileSync(
      join(dir, "secrets.json"),
      JSON.stringify(Object.fromEntries(names.map((name) => [name, secret]))),
    );
    for (const name of ["authorized_keys", "ssh_host_ed25519_key"]) writeFileSync(join(dir, name), "key\n");
    const program = `import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])
from berth_workspace import render, settings
print(render.nginx(settings.read(sys.argv[2])))`;
    const text = execFileSync("python3", ["-I", "-c", program, PACKAGE, dir], { encoding: "utf8" });
    const places: [string, string][] = [
      ["user www-data;", ROOT ? "user root;" : ""],
      ["/run/berth-nginx.pid", join(dir, "pid")],
      ["/run/berth-code/http.sock", join(dir, "code.sock")],
      ["/etc/berth/services/tensorboard.htpasswd", join(dir, "htpasswd")],
      ["127.0.0.1:8888", `127.0.0.1:${ports.jupyterBehind}`],
      ["127.0.0.1:6006", `127.0.0.1:${ports.tensorboardBehind}`],
      [
        "client_body_temp_path /var/lib/nginx/body;",
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
          .map((kind) => `${kind}_temp_path ${dir}/temp-${kind};`)
          .join(" "),
      ],
    ];
    return places.reduce((made, [from, to]) => {
      if (made.split(from).length !== 2) throw new Error(`${from} does not stand once in:\n${made}`);
      return made.replace(from, to);
    }, text);
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "berth-door-"));
    chmodSync(dir, 0o755);
    mkdirSync(join(dir, "log"));
    writeFileSync(join(dir, "nginx.conf"), await configuration());
    const hash = execFileSync("openssl", ["passwd", "-6", "board-pass"], { encoding: "utf8" });
    writeFileSync(join(dir, "htpasswd"), `alice:${hash}`);
    const listening = [join(dir, "code.sock"), ports.jupyterBehind, ports.tensorboardBehind];
    for (const [i, service] of SERVICES.entries()) {
      const server = behind(service, heard);
      const place = listening[i];
      if (typeof place === "string") server.listen(place);
      else server.listen(place, "127.0.0.1");
      await once(server, "listening");
      servers.push(server);
    }
    const args = ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"];
    const child = spawn(programPath("nginx"), args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      said += part;
    });
    const ended = once(child, "exit");
    stop = async () => {
      child.kill("SIGTERM");
      await ended;
    };
    await until("nginx", MINUTE, async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${said}`);
      return connects("127.0.0.1", ports.code ?? 0);
    });
  });

  afterAll(async () => {
    await stop();
    for (const server of servers) server.close();
    if (existsSync(dir)) rmSync(dir, { recursive: true, force: true });
  });

  beforeEach(() => {
    heard.length = 0;
  });

  const password = basic("alice", "board-pass");
  const knock = (service: Service, headers: Record<string, string>, body = "") =>
    ask(
      {
        ...{ port: ports[service], path: "/x?y", method: body ? "POST" : "GET" },
        // Else Node.js puts a name of its own in the place of an empty one.
        setHost: false,
        headers: { ...password, ...headers },
      },
      body,
    );

  const own = ["alice.localhost", "localhost", "127.0.0.1", "[::1]", "ALICE.localhost"];
  const foreign = [
    ...["bob.localhost", "x.alice.localhost", "alice.localhost.evil.example", "evil.example", "alice"],
    ...[
      "alice-localhost",
      "localhost.",
      "127.0.0.2",
      "10.88.0.11",
      "192.0.2.7",
      "[::2]",
      "alice.localhost:80:80",
    ],
    ...["alice.localhost:", "alice.localhost:80x", "alice.localhost@evil.example", ""],
    ...(published ? [] : ["10.88.0.10", "[fd00::a]"]),
  ];

  it.each(published ? [...own, "10.88.0.10", "[fd00::a]"] : own)(
    "lets %s through, with any port",
    async (name) => {
      for (const service of SERVICES)
        for (const host of [name, `${name}:${ports[service]}`, `${name}:9`]) {
          const origin = `http://${host}`;
          expect((await knock(service, { Host: host, Origin: origin })).text).toBe(`${service} here`);
          expect((await knock(service, { ...UPGRADE, Host: host, Origin: origin })).status).toBe(101);
          const [page, socket] = heard.splice(0);
          expect(page?.headers).toMatchObject({ host, origin });
          expect(page?.headers.upgrade).toBeUndefined();
          expect(socket?.headers).toMatchObject({
            host,
            origin,
            upgrade: "websocket",
            connection: "upgrade",
          });
        }
    },
  );

  it.each(foreign)("refuses the name %j before anything behind hears of it", async (host) => {
    const cookie = { Cookie: "code-server-session=stolen" };
    for (const service of SERVICES)
      for (const more of [{}, UPGRADE]) {
        const { status, text } = await knock(service, { ...more, ...cookie, Host: host });
        // nginx itself refuses what is no name at all.
        expect([400, 403], `${service} ${host}`).toContain(status);
        expect(text).not.toContain("alice");
      }
    expect(heard).toEqual([]);
  });

  it("believes Host alone, which a page cannot choose", async () => {
    const others = { "X-Forwarded-Host": "evil.example", Forwarded: "host=evil.example" };
    await knock("code", { ...others, Host: "alice.localhost" });
    expect(heard[0]?.headers).not.toHaveProperty("x-forwarded-host");
    expect(heard[0]?.headers).not.toHaveProperty("forwarded");
    const better = { "X-Forwarded-Host": "alice.localhost", Forwarded: "host=alice.localhost" };
    expect((await knock("code", { ...better, Host: "evil.example" })).status).toBe(403);
  });

  it("asks for TensorBoard's password, and keeps it to itself", async () => {
    const at = { port: ports.tensorboard, headers: { Host: "alice.localhost" } };
    expect((await ask(at)).status).toBe(401);
    const wrong = basic("alice", "another");
    expect((await ask({ ...at, headers: { ...at.headers, ...wrong } })).status).toBe(401);
    expect(heard).toEqual([]);
    expect((await knock("tensorboard", { Host: "alice.localhost" })).status).toBe(200);
    expect(heard[0]?.headers.authorization).toBeUndefined();
  });

  it("takes large files", async () => {
    const body = "x".repeat(3 * 2 ** 20);
    expect((await knock("jupyter", { Host: "alice.localhost" }, body)).status).toBe(200);
    expect(heard[0]?.bytes).toBe(body.length);
  });

  it.skipIf(!OTHER)(
    published ? "is open at other addresses" : "is closed at every other address",
    async () => {
      for (const service of SERVICES)
        expect(await connects(OTHER ?? "", ports[service] ?? 0)).toBe(published);
    },
  );
});
