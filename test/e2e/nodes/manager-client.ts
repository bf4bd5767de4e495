/**
 * @file A back-end as one is written by hand for the manager of a single Docker host: the requests of its own, with the fields that such
 * a one sends, on the node of manager.test.ts. Proves: a project of npm and one of pnpm, each with a lock file, are set up from private
 * repositories by the managers themselves; each phase is told once, in order and signed; both answer at their ports of the node; commands,
 * a terminal and the log, the last two by tickets; the token for Git is in no file and no process of the containers; both go again.
 */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { type Received, Receiver } from "../../process/agent/callback-rig";
import type { GitHost } from "../../process/agent/git-host";
import { NpmRegistry } from "../../process/agent/npm-registry";

export interface ManagerNode {
  /** This computer's address in the node's network, where the test's own servers listen. */
  here: string;
  /** The node's. */
  address: string;
  /** Its repositories are the node's. */
  host: GitHost;
  // biome-ignore lint/suspicious/noExplicitAny: what the API answers
  call(method: string, path: string, body?: object, token?: string): Promise<{ status: number; body: any }>;
  /** Of the tenants web-ide and other-ide. */
  tokens(): Promise<[string, string]>;
  /** Runs bash on the node. */
  onNode(script: string): Promise<string>;
}

/** A project of pnpm, which others set up too. */
export const PNPM_PROJECT = "acme/pnpm-shop";
export const GIT_TOKEN = "gho_0123456789abcdefghijklmnopqrstuvwxyz";
const SECRET = "secret123";
const PHASES = ["queued", "cloning", "checking-out", "installing", "building-image", "starting", "ready"];
const READY = "[dev] ready on port 3000";

interface Locked {
  name: string;
  tarball: string;
  integrity: string;
  dependencies: Record<string, string>;
}

/** What the registry says of a package. */
interface Told {
  versions: { "1.0.0": Pick<Locked, "dependencies"> & { dist: Pick<Locked, "tarball" | "integrity"> } };
}

const npmLock = (name: string, locked: readonly Locked[]) =>
  JSON.stringify({
    ...{ name, version: "1.0.0", lockfileVersion: 3, requires: true },
    packages: {
      "": { name, version: "1.0.0", dependencies: { left: "1.0.0" } },
      ...Object.fromEntries(
        locked.map(({ name: one, tarball, integrity, dependencies }) => [
          `node_modules/${one}`,
          { version: "1.0.0", resolved: tarball, integrity, dependencies },
        ]),
      ),
    },
  });

const pnpmLock = (locked: readonly Locked[]) =>
  JSON.stringify({
    lockfileVersion: "9.0",
    settings: { autoInstallPeers: true, excludeLinksFromLockfile: false },
    importers: { ".": { dependencies: { left: { specifier: "1.0.0", version: "1.0.0" } } } },
    packages: Object.fromEntries(
      locked.map(({ name, integrity }) => [`${name}@1.0.0`, { resolution: { integrity }, hasBin: true }]),
    ),
    snapshots: Object.fromEntries(
      locked.map(({ name, dependencies }) => [
        `${name}@1.0.0`,
        Object.keys(dependencies).length > 0 ? { dependencies } : {},
      ]),
    ),
  });

/** Each says which package it found, and for whom it runs. */
const SERVER = `const { createServer } = require("node:http");
createServer((_, answer) => answer.end(require("left") + " for " + process.env.NODE_ENV))
  .listen(3000, () => console.log(${JSON.stringify(READY)}));
`;

/** What is committed for both managers, by the name of the repository. */
async function projects(registry: NpmRegistry): Promise<Record<string, Record<string, string>>> {
  await registry.add("base");
  await registry.add("left", { base: "1.0.0" });
  const locked = await Promise.all(
    ["left", "base"].map(async (name): Promise<Locked> => {
      const told = (await (await fetch(`${registry.url}/${name}`)).json()) as Told;
      const { dist, dependencies } = told.versions["1.0.0"];
      return { name, dependencies, ...dist };
    }),
  );
  const files = (name: string) => ({
    ".npmrc": `registry=${registry.url}/\nupdate-notifier=false\n`,
    "package.json": JSON.stringify({
      ...{ name, version: "1.0.0", private: true, dependencies: { left: "1.0.0" } },
      scripts: { dev: "node server.js" },
    }),
    "server.js": SERVER,
  });
  return {
    "npm-shop": { ...files("npm-shop"), "package-lock.json": npmLock("npm-shop", locked) },
    "pnpm-shop": { ...files("pnpm-shop"), "pnpm-lock.yaml": pnpmLock(locked) },
  };
}

export function clientCases({ here, address, host, call }: ManagerNode): void {
  describe("a back-end with requests of its own", () => {
    const registry = new NpmRegistry();
    const receiver = new Receiver();
    /** As their creations were answered. */
    const made: Record<string, { id: string; hostPort: number; logsUrl: string; terminalUrl: string }> = {};
    const of = (name: string) => {
      const one = made[name];
      if (!one) throw new Error(`${name} was not created`);
      return one;
    };
    const told = (id: string): Received[] => receiver.got.filter(({ message }) => message.containerId === id);
    const ticket = async (id: string, stream: string) => {
      const { status, body } = await call("POST", `/api/containers/${id}/${stream}/ticket`);
      expect([status, body.path]).toEqual([201, `/api/containers/${id}/${stream}`]);
      return body.ticket as string;
    };

    beforeAll(async () => {
      await registry.start(here);
      await receiver.listen(here);
      for (const [name, files] of Object.entries(await projects(registry))) {
        await host.commit("acme", name, files);
        host.tokens.set(`/acme/${name}.git`, [GIT_TOKEN]);
      }
    }, MINUTE);
    afterAll(async () => {
      await registry.close();
      await receiver.close();
    });

    it("creates containers, with a volume for packages and without", { timeout: 2 * MINUTE }, async () => {
      for (const [name, volume] of [
        ["npm-shop", { volumeName: "acme-npm-shop-node_modules" }],
        ["pnpm-shop", {}],
      ] as const) {
        const asked = { name, image: "node:24-slim", ports: [3000], ...volume };
        const { status, body } = await call("POST", "/api/containers", asked);
        expect([status, body]).toEqual([201, expect.objectContaining({ name, status: "running" })]);
        expect(body.id).toMatch(/^[0-9a-f]{8}$/);
        made[name] = body;
      }
      const { containers } = (await call("GET", "/api/containers")).body;
      expect(containers).toEqual(
        expect.arrayContaining(Object.values(made).map(({ id }) => expect.objectContaining({ id }))),
      );
    });

    it("has both set up, and hears of each phase in order", { timeout: 3 * MINUTE }, async () => {
      for (const [name, { id }] of Object.entries(made)) {
        const asked = await call("POST", `/api/containers/${id}/setup`, {
          ...{ repo: `acme/${name}`, branch: "main", githubToken: GIT_TOKEN },
          ...{ callbackUrl: `http://${here}:${receiver.port}/docker-status`, callbackSecret: SECRET },
          ...{ hasMainImage: false, buildMainImage: true, envVars: { NODE_ENV: "development" } },
        });
        expect(asked.status, JSON.stringify(asked.body)).toBe(202);
      }
      for (const [name, { id, hostPort }] of Object.entries(made)) {
        const last = await until(`the set-up of ${name}`, 2 * MINUTE, () =>
          told(id).find(({ message }) => /^(ready|failed)$/.test(message.phase)),
        );
        expect(last.message).toMatchObject({
          ...{ phase: "ready", status: "ready", message: "the project runs and listens" },
          ...{ name, repo: `acme/${name}`, branch: "main", hostPort, url: `http://${address}:${hostPort}` },
        });
        expect(told(id).map(({ message }) => message.phase)).toEqual(PHASES);
        expect(told(id).map(({ message }) => message.sequence)).toEqual(PHASES.map((_, at) => at + 1));
        for (const { headers, body } of told(id)) {
          const right = createHmac("sha256", SECRET).update(body).digest("hex");
          expect(headers["x-berth-signature"]).toBe(`sha256=${right}`);
          expect(headers.authorization).toBe(`Bearer ${SECRET}`);
          expect(body).not.toContain(GIT_TOKEN);
        }
        const answer = await fetch(`http://${address}:${hostPort}`, {
          signal: AbortSignal.timeout(10 * SECOND),
        });
        expect([name, await answer.text()]).toEqual([name, "left for development"]);
      }
      expect([...registry.downloads].sort()).toEqual(["base", "base", "left", "left"]);
      const shown = (await call("GET", "/api/images")).body.own.map((one: { shown: string }) => one.shown);
      expect(shown).toEqual(expect.arrayContaining(["acme-npm-shop:main", "acme-pnpm-shop:main"]));
    });

    it.each([
      ["npm-shop", "package-lock.json"],
      ["pnpm-shop", "pnpm-lock.yaml"],
    ])("runs commands in %s, where the token for Git is nowhere", async (name, lockFile) => {
      const run = (command: string) =>
        call("POST", `/api/containers/${of(name).id}/exec`, { command, timeout: 60_000 });
      expect((await run("ls -la /app")).body).toMatchObject({
        ...{ exitCode: 0, timedOut: false, stdout: expect.stringContaining(lockFile) },
      });
      const [head, rest] = [GIT_TOKEN.slice(0, 8), GIT_TOKEN.slice(8)];
      const { stdout } = (
        await run(
          `token=${head}; printf %s "$token${rest}" | grep -rlF -f - /app /tmp /root /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
          git -C /app config --get remote.origin.url`,
        )
      ).body;
      expect(stdout).toBe(`http://${here}:${host.host.port}/acme/${name}.git\n`);
    });

    it("follows a log by a ticket, which is good for once", { timeout: MINUTE }, async () => {
      const { id, logsUrl } = of("pnpm-shop");
      const url = `${logsUrl}?ticket=${await ticket(id, "logs")}`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(30 * SECOND) });
      expect([answer.status, answer.headers.get("content-type")]).toEqual([
        200,
        expect.stringContaining("text/event-stream"),
      ]);
      let text = "";
      for await (const part of answer.body ?? []) {
        text += Buffer.from(part).toString();
        if (text.includes(READY)) break;
      }
      expect(text).toMatch(/^data: \{"line":"\[berth\] cloning.*","timestamp":\d{13}\}$/m);
      expect(text).toMatch(/"line":"\[berth\] \$ .*pnpm install --frozen-lockfile/);
      expect(text).not.toContain(GIT_TOKEN);
      expect((await fetch(url)).status).toBe(401);
    });

    it("opens a terminal by a ticket", { timeout: MINUTE }, async () => {
      const { id, terminalUrl } = of("npm-shop");
      const url = `${terminalUrl}?ticket=${await ticket(id, "terminal")}&cols=100&rows=30`;
      const socket = new WebSocket(url, "berth.terminal.v1");
      let shown = "";
      const said: unknown[] = [];
      socket.on("error", (error) => said.push(error));
      socket.on("message", (data, binary) => {
        if (binary) shown += String(data);
        else said.push(JSON.parse(String(data)));
      });
      await until("the terminal", 30 * SECOND, () => socket.readyState === socket.OPEN);
      socket.send(Buffer.from("stty size; echo $((40+2)) of $(basename /app/package-lock.json .json)\n"));
      await until("what it shows", 30 * SECOND, () => shown.includes("42 of package-lock"));
      expect(shown).toMatch(/^30 100\r$/m);
      socket.send(Buffer.from("exit 7\n"));
      await until("its end", 30 * SECOND, () => socket.readyState === socket.CLOSED);
      expect(said).toEqual([{ type: "exit", exitCode: 7 }]);
    });

    it("deletes both, and nothing answers at their ports", { timeout: MINUTE }, async () => {
      for (const { id, hostPort } of Object.values(made)) {
        expect(await call("DELETE", `/api/containers/${id}`)).toMatchObject({ status: 200, body: { id } });
        expect((await call("GET", `/api/containers/${id}`)).status).toBe(404);
        const asked = fetch(`http://${address}:${hostPort}`, { signal: AbortSignal.timeout(5 * SECOND) });
        await expect(asked).rejects.toThrow();
      }
    });
  });
}
