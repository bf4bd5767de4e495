/**
 * A back-end that sends what docs/manager.md says, to a berthd in a process of its own; git, commands, messages and all connections are
 * real, dockerd is a stand-in. Proves: health, create, list, set up with messages, run, follow logs, open a terminal and delete; a berthd
 * that is killed in the middle of a set-up ends it at its next start, tells so once all before it was told, and sets the container up
 * again; another tenant is told of nothing that is there, by no route of the document.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { knownRoutes, ofAContainer, ofNone, routesOf, upgraded } from "../../lib/tenant-routes";
import { until } from "../../lib/until";
import { bundle } from "../berthd-process";
import { type BackEnd, BackEndNode, SOON, signatureOf } from "./back-end-rig";
import { freePort } from "./setup-rig";

const SECRET = "secret123";
const TOKEN = "gho_0123456789abcdef";
const PHASES = ["queued", "cloning", "checking-out", "installing", "building-image", "starting", "ready"];

let programs: string;
beforeAll(async () => {
  programs = await bundle();
}, SOON);
afterAll(() => rmSync(programs, { recursive: true, force: true }));

describe.runIf(process.getuid?.() === 0)("a back-end", () => {
  let on: BackEndNode;
  let api: BackEnd;
  let port: number;

  beforeEach(async () => {
    on = new BackEndNode(programs);
    await on.start();
    api = await on.backEnd("web-ide");
    port = await freePort();
    on.host.tokens.set("/owner/repo.git", [TOKEN]);
    await project();
  }, SOON);
  afterEach(() => on.close(), SOON);

  /** @param more lines of the installation */
  async function project(more = ""): Promise<void> {
    const install = `${more}\necho installed in "$PWD" for "$NODE_ENV"\n`;
    const server = `
      require("node:http").createServer((_request, response) => response.end("hello of " + process.env.NODE_ENV))
        .listen(${port}, "127.0.0.1", () => console.log("[dev] ready on port ${port}"));`;
    await on.host.commit("owner", "repo", {
      "package.json": JSON.stringify({
        name: "repo",
        scripts: { preinstall: "sh install.sh", dev: "node server.js" },
      }),
      "package-lock.json": JSON.stringify({
        name: "repo",
        lockfileVersion: 3,
        packages: { "": { name: "repo" } },
      }),
      "install.sh": install,
      "server.js": server,
    });
  }

  async function create(): Promise<{ id: string; name: string; hostPort: number }> {
    const made = await api.ask("POST", "/api/containers", {
      name: "my-project",
      image: "node:24-slim",
      ports: [port],
    });
    expect([made.status, made.text]).toEqual([201, expect.stringContaining('"id"')]);
    return made.body;
  }

  const setUp = (id: string, more: object = {}) =>
    api.ask("POST", `/api/containers/${id}/setup`, {
      ...{ repo: "owner/repo", branch: "main", githubToken: TOKEN },
      ...{ callbackUrl: `http://127.0.0.1:${on.receiver.port}/docker-status`, callbackSecret: SECRET },
      ...{ hasMainImage: false, buildMainImage: true },
      envVars: { NODE_ENV: "development", npm_config_cache: join(on.node.folder, "npm") },
      ...more,
    });
  const phases = () => on.receiver.got.map(({ message }) => message.phase);
  const over = (times = 1) =>
    until("the set-up is over", SOON, () => {
      const ends = on.receiver.got.filter(({ message }) => /^(ready|failed)$/.test(message.phase));
      return ends.length >= times && ends.at(-1)?.message;
    });

  it(
    "has a project run, from health to its removal",
    async () => {
      const strangers = await on.node.call("GET", "/health", { port: api.port });
      expect(strangers.body).toEqual({ status: "ok", containerCount: 0, uptime: expect.any(Number) });
      const made = await create();
      expect(made).toMatchObject({ name: "my-project", hostPort: expect.any(Number) });
      expect(made.id).toMatch(/^[0-9a-f]{8}$/);
      const { containers } = (await api.ask("GET", "/api/containers")).body;
      expect(containers).toEqual([expect.objectContaining({ id: made.id, status: "running" })]);

      expect((await setUp(made.id)).status).toBe(202);
      expect(await over()).toMatchObject({ phase: "ready", message: "the project runs and listens" });
      expect(phases()).toEqual(PHASES);
      for (const { body, headers, path, message } of on.receiver.got) {
        expect(path).toBe("/docker-status");
        expect(headers.authorization).toBe(`Bearer ${SECRET}`);
        expect(headers["x-berth-signature"]).toBe(signatureOf(SECRET, body));
        expect(message).toMatchObject({
          containerId: made.id,
          name: "my-project",
          repo: "owner/repo",
          branch: "main",
        });
        expect(body).not.toContain(TOKEN);
      }
      const sequences = on.receiver.got.map(({ message }) => message.sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe("hello of development");
      expect((await api.ask("GET", `/api/containers/${made.id}`)).body.setup).toMatchObject({
        phase: "ready",
      });
      expect((await api.ask("GET", "/api/images")).body.own).toEqual([
        expect.objectContaining({ shown: "owner-repo:main" }),
      ]);
      // An operator sees what is kept for the next one.
      expect((await on.node.call("GET", "/metrics")).text).toMatch(
        /^berth_kept\{what="repositories"\} 1\n(.*\n)*berth_kept_bytes\{what="repositories"\} [1-9]/m,
      );

      const ran = await api.ask("POST", `/api/containers/${made.id}/exec`, {
        command: "ls -la /app",
        timeout: 60_000,
      });
      expect(ran.body).toMatchObject({
        exitCode: 0,
        timedOut: false,
        stdout: expect.stringContaining("package.json"),
      });

      const hasStarted = (all: { data?: { line: string } }[]) =>
        all.some(({ data }) => data?.line.includes("[dev] ready"));
      const all = await api.follow(made.id, undefined, hasStarted);
      const lines = all.map(({ data }) => data?.line);
      expect(lines).toEqual(
        expect.arrayContaining([expect.stringMatching(/^installed in .* for development$/)]),
      );
      expect(JSON.stringify(all)).not.toContain(TOKEN);
      const half = all[Math.floor(all.length / 2)];
      const rest = await api.follow(made.id, half?.id, hasStarted);
      expect(rest).toEqual(all.slice(all.findIndex(({ id }) => id === half?.id) + 1));

      await typed(made.id);
      const used = { read: new Date().toISOString(), memory_stats: { usage: 5, limit: 9 } };
      on.dockerd.data.stats.set(on.containerOf(made.id), used);
      expect((await api.ask("GET", `/api/containers/${made.id}/stats`)).body).toMatchObject({
        memoryLimitBytes: 9,
      });
      expect((await api.ask("DELETE", `/api/containers/${made.id}`)).body).toEqual({ id: made.id });
      expect((await api.ask("GET", `/api/containers/${made.id}`)).status).toBe(404);
      expect(on.dockerd.containers.size).toBe(0);
      // What it printed can be read for a while.
      expect(await api.follow(made.id, undefined, hasStarted)).toEqual(all);
      expect(on.berthd.output()).not.toContain(TOKEN);
    },
    SOON,
  );

  async function typed(id: string): Promise<void> {
    const ws = api.terminal(id);
    let shown = "";
    const controls: unknown[] = [];
    ws.on("message", (data, binary) => {
      if (binary) shown += String(data);
      else controls.push(JSON.parse(String(data)));
    });
    await until("the terminal is open", SOON, () => ws.readyState === ws.OPEN);
    ws.send(Buffer.from("echo $((40+2))\n"));
    await until("it shows what the shell says", SOON, () => shown.includes("42"));
    ws.send(Buffer.from("exit 7\n"));
    await until("it has ended", SOON, () => ws.readyState === ws.CLOSED);
    expect(controls).toEqual([{ type: "exit", exitCode: 7 }]);
  }

  it(
    "hears of a set-up that was cut off as berthd was killed, and has it done again",
    async () => {
      const go = join(on.node.folder, "go");
      await project(`until [ -e ${go} ]; do sleep 0.1; done`);
      const { id } = await create();
      expect((await setUp(id)).status).toBe(202);
      await until("it installs", SOON, () => phases().includes("installing"));
      await on.kill();
      await on.begin();
      expect(await over()).toMatchObject({ phase: "failed", message: expect.stringContaining("cut off") });
      // A message may come twice, and none before an earlier one.
      const sequences = on.receiver.got.map(({ message }) => message.sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
      expect((await api.ask("GET", `/api/containers/${id}`)).body).toMatchObject({
        ...{ status: "running", setup: { phase: "failed" } },
      });
      writeFileSync(go, "");
      const before = on.receiver.got.length;
      expect((await setUp(id)).status).toBe(202);
      expect(await over(2)).toMatchObject({ phase: "ready" });
      expect(phases().slice(before)).toEqual(PHASES);
      expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe("hello of development");
      // What the killed one had logged is there, and what the next one did comes after it.
      const all = await api.follow(id, undefined, (items) =>
        items.some(({ data }) => data?.line.includes("[dev] ready")),
      );
      const numbers = all.map((one) => Number(one.id));
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
      expect((await api.ask("DELETE", `/api/containers/${id}`)).status).toBe(200);
    },
    SOON,
  );

  it(
    "is told of nothing that another one has",
    async () => {
      const { id } = await create();
      const other = await on.backEnd("bench");
      const { body: document } = await other.ask("GET", "/openapi.json");
      expect(routesOf(document as Parameters<typeof routesOf>[0])).toEqual(knownRoutes);
      for (const { route, method, path, body, socket } of ofAContainer) {
        if (socket) {
          const at = (one: string) => `ws://127.0.0.1:${other.port}${path(one)}`;
          expect([route, await upgraded(at(id), other.token)]).toEqual([route, 404]);
          continue;
        }
        const answer = await other.ask(method, path(id), body);
        expect([route, answer.status]).toEqual([route, 404]);
        const none = await other.ask(method, path("00000000"), body);
        expect(answer.text.replaceAll(id, "00000000")).toBe(none.text);
      }
      for (const { route, method, path, body } of ofNone)
        expect([route, (await other.ask(method, path(""), body)).text]).toEqual([
          route,
          expect.not.stringMatching(new RegExp(`${id}|my-project|web-ide`)),
        ]);
      expect((await other.ask("GET", "/api/containers")).body).toEqual({ containers: [] });
      expect((await api.ask("GET", `/api/containers/${id}`)).body.status).toBe("running");
    },
    SOON,
  );
});
