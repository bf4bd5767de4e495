/**
 * The container manager of a node, for back-ends.
 *
 * Proves: `up` of the shape of Pulumi.manager-dev.yaml, whose second preview is empty; the variables that a back-end gets; a
 * container out of the pool, set up from a Git repository, with its callbacks, log and port; commands in it; that berthd and
 * Docker may end by force; a token replaced in place while requests go on; a back-end's own requests (manager-client.ts); a hostile
 * tenant (manager-hostile.ts); many claims and deletes by two tenants; the way down.
 * Does not prove: a registry of images on the Internet: the image of all containers is the one that stands in.
 *
 * Needs root and a Docker engine on this computer.
 */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { stress } from "../../lib/claim-stress";
import { type Configuration, TestStack } from "../../lib/stack";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";
import { Receiver } from "../../process/agent/callback-rig";
import { GitHost } from "../../process/agent/git-host";
import { clientCases } from "./manager-client";
import { hostileCases } from "./manager-hostile";

const STACK = "manager-e2e";
const NODE = "docker-host";
/** This computer's address in the node's network, where the test's own servers listen. */
const HERE = "10.94.7.1";
const ADDRESS = "10.94.7.10";
const GIT_PORT = 5948;
const IMAGE = "node:24-slim";
const SECRET = "s3cret-of-the-back-end";
/** Small, so that those of the clients and the pool have room beside what else is there. */
const SMALL = {
  ...{ name: "small", image: IMAGE, memory: "64MiB", cpus: 0.15, pids: 64, containerPorts: [3000] },
  ...{ targetSize: 4, minSize: 1, maxCreating: 4 },
};
/** `npm run bench -- claim` has 1,000: on two cores Docker makes and takes away two or three a second. */
const CLAIMS = Number(process.env.BERTH_STRESS_CLAIMS ?? 100);
const CLIENTS = 16;
/** What berthd may have more after all of them: garbage comes and goes. */
const MORE_FILES = 8;
const MORE_MIB = 24;
/** On the port that the container has. */
const SERVER =
  'node -e \'require("http").createServer((_, answer) => answer.end("hello"))' +
  '.listen(3000, () => console.log("ready on port 3000"))\'';

const stack = new TestStack(STACK);
const host = new GitHost();
const receiver = new Receiver();
let back: Record<string, string> = {};
// biome-ignore lint/suspicious/noExplicitAny: a container as the API tells of it
let one: any;

function configuration(): Configuration {
  const { config } = parse(readFileSync(join(__dirname, "../../../Pulumi.manager-dev.yaml"), "utf8"));
  const [node] = config["berth:nodes"];
  return {
    ...config,
    "berth:nodes": [{ ...node, address: ADDRESS }],
    "berth:network": { cidr: "10.94.7.0/24" },
    "berth:registryPort": 5947,
    "berth:manager": {
      ...config["berth:manager"],
      templates: [...config["berth:manager"].templates, SMALL],
      tenants: [{ name: "web-ide" }, { name: "other-ide" }],
      repositories: { hosts: [{ host: HERE, port: GIT_PORT, insecure: true, internal: true }] },
      callbacks: { allowed: [HERE] },
    },
  };
}

/** What `npm run status -- --env NODE` prints. */
async function variables(): Promise<Record<string, string>> {
  const args = ["scripts/status.mjs", "--stack", STACK, "--env", NODE, "--tenant", "web-ide"];
  const { stdout } = await stack.ok(process.execPath, args);
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/, 2) as [string, string]),
  );
}

const onNode = (script: string) => stack.docker("exec", `berth-${STACK}-${NODE}`, "bash", "-euc", script);

// biome-ignore lint/suspicious/noExplicitAny: what the API answers
type Answer = { status: number; body: any };

async function call(
  method: string,
  path: string,
  body?: object,
  token = back.DOCKER_API_SECRET,
): Promise<Answer> {
  const answer = await fetch(`${back.DOCKER_HOST_URL}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30 * SECOND),
  });
  return { status: answer.status, body: await answer.json() };
}

const poolReady = () =>
  until("a pool that is full", 3 * MINUTE, async () => {
    const { pools } = (await call("GET", "/api/pool")).body;
    if (pools[0].ready !== 3) throw new Error(JSON.stringify(pools));
    return true;
  });

/** Answers of the container's own server, through its port of the node. */
const greeting = async () =>
  (await fetch(`http://${ADDRESS}:${one.hostPort}/`, { signal: AbortSignal.timeout(5 * SECOND) })).text();

const healthy = () =>
  until("berthd", MINUTE, async () => {
    const { status, body } = await call("GET", "/health");
    if (status !== 200 || body.status !== "ok") throw new Error(JSON.stringify(body));
    return true;
  });

/** The container's log as it is told, up to what is looked for. */
async function logUntil(text: string): Promise<string> {
  const answer = await fetch(one.logsUrl, {
    headers: { authorization: `Bearer ${back.DOCKER_API_SECRET}` },
    signal: AbortSignal.timeout(30 * SECOND),
  });
  let seen = "";
  for await (const part of answer.body ?? []) {
    seen += Buffer.from(part).toString();
    if (seen.includes(text)) return seen;
  }
  throw new Error(`the log ended without ${text}:\n${seen}`);
}

/** Of each tenant. */
async function tokens(): Promise<[string, string]> {
  const outputs = await stack.pulumi(["stack", "output", "tenantTokens", "--json", "--show-secrets"]);
  const all = JSON.parse(outputs)[NODE];
  return [all["web-ide"], all["other-ide"]];
}

beforeAll(async () => {
  await stack.removeLeftovers();
  stack.makeHome();
  await host.commit("acme", "shop", { "README.md": "shop\n", "greeting.txt": "hello from the repository\n" });
}, 2 * MINUTE);

afterAll(async () => {
  await stack.removeLeftovers();
  await host.close();
  await receiver.close();
}, 2 * MINUTE);

describe("a node for back-ends", () => {
  it("comes up, and a second preview has nothing to do", { timeout: 25 * MINUTE }, async () => {
    stack.writeConfiguration(configuration());
    await stack.up(["--skip-preview"]);
    await stack.nothingToDo();
    back = await variables();
    expect(back).toEqual({
      DOCKER_HOST: ADDRESS,
      DOCKER_HOST_URL: `http://${ADDRESS}:8080`,
      DOCKER_API_SECRET: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    // The networks are there now.
    await host.start(HERE, GIT_PORT);
    await receiver.listen(HERE);
  });

  it("keeps containers ready, and gives one at once", { timeout: 7 * MINUTE }, async () => {
    await poolReady();
    const made = await call("POST", "/api/containers", { name: "my-project", image: IMAGE, ports: [3000] });
    expect(made).toMatchObject({
      status: 201,
      body: { name: "my-project", fromPool: true, status: "running" },
    });
    one = made.body;
    expect(one.ports).toEqual({ 3000: one.hostPort });
    expect(one.hostPort).toBeGreaterThanOrEqual(10_000);
    await poolReady();
  });

  it("begins it with what stands in for its image", async () => {
    const programs = ["node", "npm", "pnpm", "yarn", "python", "uv", "git", "tar", "setsid", "ps"];
    const command = `${programs.map((program) => `${program} --version`).join(" && ")} && bash -c 'command -v npx'`;
    const said = await call("POST", `/api/containers/${one.id}/exec`, { command });
    expect(said.body).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^v24\.[\s\S]*GNU tar[\s\S]*util-linux/),
    });
    const there = await onNode("docker image ls --digests --format '{{.Repository}} {{.Digest}}'");
    expect(there).toMatch(/^10\.94\.7\.2:5000\/berth\/dev sha256:[0-9a-f]{64}$/m);
    expect((await call("GET", `/api/containers/${one.id}`)).body.image).toBe(IMAGE);
  });

  it("sets it up from its repository, and tells the back-end of each phase", {
    timeout: 3 * MINUTE,
  }, async () => {
    const asked = await call("POST", `/api/containers/${one.id}/setup`, {
      ...{ repo: "acme/shop", branch: "main", callbackUrl: `http://${HERE}:${receiver.port}/status` },
      ...{ callbackSecret: SECRET, installCommand: "true", startCommand: SERVER },
    });
    expect(asked.status).toBe(202);
    await until("the end of the set-up", 2 * MINUTE, async () => {
      const last = receiver.got.at(-1)?.message.phase;
      if (last !== "ready")
        throw new Error(`${last}: ${JSON.stringify((await call("GET", `/api/containers/${one.id}`)).body)}`);
      return true;
    });
    expect(receiver.got.map(({ message }) => message.sequence)).toEqual(receiver.got.map((_, at) => at + 1));
    expect(receiver.got.map(({ message }) => message.phase)).toEqual(
      expect.arrayContaining(["queued", "cloning", "checking-out", "installing", "starting", "ready"]),
    );
    for (const { headers, body } of receiver.got) {
      const signature = `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`;
      expect(headers["x-berth-signature"]).toBe(signature);
      expect(headers.authorization).toBe(`Bearer ${SECRET}`);
    }
    expect(await greeting()).toBe("hello");
    const said = await call("POST", `/api/containers/${one.id}/exec`, { command: "cat /app/greeting.txt" });
    expect(said).toMatchObject({ status: 200, body: { exitCode: 0, stdout: "hello from the repository\n" } });
    expect(await logUntil("ready on port 3000")).toContain("[berth] cloning");
  });

  it("is nobody else's", async () => {
    const [, other] = await tokens();
    expect((await call("GET", "/api/containers", undefined, other)).body).toEqual({ containers: [] });
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/stop"],
      ["GET", "/stats"],
    ] as const)
      expect((await call(method, `/api/containers/${one.id}${path}`, undefined, other)).status).toBe(404);
    expect((await call("GET", "/api/tokens")).status).toBe(404);
  });

  const node = { here: HERE, address: ADDRESS, host, call, tokens, onNode };
  clientCases(node);
  hostileCases({ ...node, victim: () => one, small: SMALL });

  it("outlives a berthd and a Docker that are killed", { timeout: 4 * MINUTE }, async () => {
    await onNode('kill -9 "$(systemctl show --property MainPID --value berthd)"');
    await healthy();
    expect((await call("GET", `/api/containers/${one.id}`)).body).toMatchObject({
      id: one.id,
      hostPort: one.hostPort,
    });
    expect(await greeting()).toBe("hello");
    await onNode("systemctl kill --signal SIGKILL docker");
    await healthy();
    await until("the container to start", MINUTE, async () => {
      const started = await call("POST", `/api/containers/${one.id}/start`);
      if (started.status !== 200) throw new Error(JSON.stringify(started));
      return true;
    });
    expect(await until("its server", MINUTE, greeting)).toBe("hello");
    await poolReady();
  });

  it("replaces a token in place, and drops no request", { timeout: 5 * MINUTE }, async () => {
    const old = back.DOCKER_API_SECRET ?? "";
    const statuses: number[] = [];
    let going = true;
    const asking = (async () => {
      while (going) {
        statuses.push((await call("GET", "/api/containers", undefined, old)).status);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    stack.edit((config) => {
      config["berth:manager"].tenants[0].tokenVersion = 2;
    });
    await stack.up(["--skip-preview"]);
    going = false;
    await asking;
    expect(statuses.length).toBeGreaterThan(10);
    expect([...new Set(statuses)]).toEqual([200]);
    back = await variables();
    expect(back.DOCKER_API_SECRET).not.toBe(old);
    expect((await call("GET", "/api/containers")).body.containers).toHaveLength(1);
    await stack.nothingToDo();
  });

  it(`hands out ${CLAIMS} containers to ${CLIENTS} clients, each once, and is afterwards as it was`, {
    timeout: 25 * MINUTE,
  }, async () => {
    const options = { template: SMALL.name, claims: CLAIMS, clients: CLIENTS, deadlineMs: 20 * MINUTE };
    const { claims, more } = await stress({ call, tokens: await tokens(), onNode }, options);
    expect([claims.length, new Set(claims.map(({ id }) => id)).size]).toEqual([CLAIMS, CLAIMS]);
    // More clients than stand ready: the others get one that is made, and hear of it.
    expect([...new Set(claims.map(({ fromPool }) => fromPool))].sort()).toEqual([false, true]);
    expect(more.files).toBeLessThanOrEqual(MORE_FILES);
    expect(more.mebibytes).toBeLessThan(MORE_MIB);
    expect((await call("GET", "/api/containers")).body.containers).toHaveLength(1);
  });

  it("takes the container away, and then goes down", { timeout: 5 * MINUTE }, async () => {
    expect((await call("DELETE", `/api/containers/${one.id}`)).status).toBe(200);
    expect((await call("GET", `/api/containers/${one.id}`)).status).toBe(404);
    await expect(greeting()).rejects.toThrow();
    const down = await stack.berth("destroy", ["--yes"]);
    expect(down.code, down.text).toBe(0);
    expect(await stack.footprint()).toEqual([]);
  });
});
