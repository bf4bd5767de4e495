/**
 * The container manager on a machine: systemd is its first process, berthd a service with the bounds of its unit, the kernel its own.
 *
 * Proves: what a node gets for the manager; that berthd, as its unit has it, has git and the programs for packages run beside it, in
 * their slice; a set-up from a Git server on the network; an overlay that is mounted for a container while that runs shows in it, and
 * what one container writes there another does not see; the firewall opens ports of containers to whom the plan says; a restart of
 * berthd ends nothing; after a restart of the machine the container's files and packages are there, and its server when it is started.
 * Does not prove: images, which come by hand; npm and its like (test/e2e/nodes/manager-client.ts).
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderBase } from "../../components/host/base";
import { renderFirewall } from "../../components/host/firewall";
import { renderRuntime } from "../../components/host/runtime";
import { templateSchema } from "../../core/manager";
import { answers } from "../lib/client";
import { MINUTE } from "../lib/time";
import { until } from "../lib/until";
import { GitHost } from "../process/agent/git-host";
import { configOf } from "../unit/agent/manager/rig";
import { bringProgram, installBerthd } from "./lib/berthd";
import { Machines } from "./lib/machines";
import type { Server } from "./lib/server";
import { NETWORK, operator, type SiteClient } from "./lib/site";

const node = "metal-0";
const PORTS = { start: 10_000, end: 10_009 };
const TOKEN = "ab".repeat(32);
const GIT_TOKEN = "gho_0123456789abcdef";
const IMAGE = "own:1";
/** Debian's busybox, called by the names of its programs. */
const MAKE_IMAGE = `mkdir -p /root/i/bin /root/i/tmp && cp /bin/busybox /root/i/bin/
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "/root/i/bin/$name"; done
tar -C /root/i -c . | docker import - ${IMAGE}`;

const host = new GitHost();
let machines: Machines;
let server: Server;
let allowed: SiteClient;
let denied: SiteClient;
const trimmed = async (command: string) => (await server.onNode(command)).trim();

// biome-ignore lint/suspicious/noExplicitAny: what the API answers
async function call(method: string, path: string, body?: object): Promise<{ status: number; body: any }> {
  const answer = await fetch(`http://${server.address}:8080${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(2 * MINUTE),
  });
  return { status: answer.status, body: await answer.json() };
}

const healthy = () =>
  until("the manager, in health", 5 * MINUTE, async () => {
    const { status, body } = await call("GET", "/health");
    if (status !== 200 || body.status !== "ok")
      throw new Error(`${JSON.stringify(body)} ${(await server.ssh("berth health")).stdout}`);
    return true;
  });

interface Made {
  id: string;
  hostPort: number;
}

async function claim(): Promise<Made> {
  const { status, body } = await call("POST", "/api/containers/claim", {});
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}

async function setUp({ id }: Made, installCommand: string): Promise<void> {
  const asked = await call("POST", `/api/containers/${id}/setup`, {
    ...{ repo: "acme/shop", branch: "main", githubToken: GIT_TOKEN, buildMainImage: false, installCommand },
    startCommand: "exec httpd -f -p 3000 -h /app",
  });
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  const setup = await until("the set-up", 5 * MINUTE, async () => {
    const now = (await call("GET", `/api/containers/${id}`)).body.setup;
    return /^(ready|failed)$/.test(now?.phase) && now;
  });
  expect(setup).toMatchObject({ phase: "ready", message: "the project runs and listens" });
}

async function inside({ id }: Made, command: string): Promise<string> {
  const { status, body } = await call("POST", `/api/containers/${id}/exec`, { command });
  expect([status, body]).toEqual([200, expect.objectContaining({ exitCode: 0 })]);
  return body.stdout;
}

/** Where its packages are on the machine. */
const packagesOf = ({ id }: Made) => `/var/lib/berth/packages/containers/${id}/node_modules`;
const open = ({ hostPort }: Made) =>
  until("the container's server", 2 * MINUTE, () => answers(allowed.inside, server.address, hostPort, 20));

beforeAll(async () => {
  machines = await Machines.create();
  server = await machines.server(node, 10);
  allowed = await machines.client("allowed", 20);
  denied = await machines.client("denied", 21);
  await host.start(operator.address);
  await host.commit("acme", "shop", {
    "package-lock.json": "{}",
    "package.json": "{}",
    "index.html": "shop\n",
  });
  host.tokens.set("/acme/shop.git", [GIT_TOKEN]);
  await bringProgram(server);
  await server.stage(renderBase({ node, manager: true }));
  await server.stage(renderRuntime({ node, avoidNetworks: [NETWORK], insecureRegistries: [] }));
  await server.onNode(MAKE_IMAGE);
  await server.stage(
    renderFirewall({
      ...{ node, allowSsh: [operator.address], allowUsers: [], userPorts: [] },
      ...{ clusterAddresses: [server.address], clusterPorts: [] },
      rules: [
        { port: 8080, from: [operator.address] },
        { port: PORTS, from: [allowed.address] },
      ],
    }),
  );
  const port = host.host.port ?? 0;
  await installBerthd(server, {
    node: {
      ...{ stack: "machines", node, strategy: "least-allocated", allocation: "exclusive", users: [] },
      tenants: [{ name: "web-ide", tokenHash: createHash("sha256").update(TOKEN).digest("hex") }],
      manager: configOf({
        ...{ listen: { address: server.address, port: 8080 }, url: `http://${server.address}:8080` },
        publish: { address: server.address },
        // The machine has little room: none stands ready.
        templates: [
          templateSchema.parse({
            name: "small",
            image: IMAGE,
            memory: "64MiB",
            pids: 128,
            targetSize: 0,
            minSize: 0,
          }),
        ],
        images: { default: IMAGE, allowed: [IMAGE] },
        repositories: { hosts: [{ host: operator.address, port, insecure: true, internal: true }] },
        reserveMiB: 512,
      }),
      ...{ listen: "off", port: 9700, ports: { containers: PORTS } },
    },
    limits: {},
  });
  await healthy();
}, 40 * MINUTE);

afterAll(async () => {
  await machines?.close();
  await host.close();
}, 2 * MINUTE);

describe("the container manager on a machine", { timeout: 15 * MINUTE }, () => {
  let first: Made;
  let second: Made;

  it("sets a container up from a Git server, by programs that run beside berthd", async () => {
    first = await claim();
    await setUp(first, "mkdir -p node_modules/left && echo left >node_modules/left/index.js");
    expect(await inside(first, "cat /app/index.html /app/node_modules/left/index.js")).toBe("shop\nleft\n");
    const used = await trimmed("systemctl show -p CPUUsageNSec --value berth-manager.slice");
    expect(Number(used)).toBeGreaterThan(0);
    expect(await trimmed("stat -c %U /var/cache/berth/repositories/*/acme/shop.git")).toBe("berth-git");
    // Nothing of it waits, failed, or took berthd with it.
    expect(
      await trimmed("systemctl --failed --plain --no-legend; systemctl show -p NRestarts --value berthd"),
    ).toBe("0");
  });

  it("opens its port to whom the firewall is told, and to nobody else", async () => {
    await open(first);
    expect(await answers(denied.inside, server.address, first.hostPort, 10)).toBe(false);
    expect(await answers(denied.inside, server.address, 8080, 10)).toBe(false);
  });

  it("puts what was installed below another container's packages, by an overlay of each one's own", async () => {
    second = await claim();
    await setUp(second, "cp node_modules/left/index.js found && echo more >>node_modules/left/index.js");
    expect(await inside(second, "cat /app/found")).toBe("left\n");
    for (const one of [first, second]) {
      expect(await trimmed(`findmnt -n -o FSTYPE ${packagesOf(one)}`)).toBe("overlay");
      expect(await inside(one, "grep -c ' /app/node_modules .* - overlay ' /proc/self/mountinfo")).toBe(
        "1\n",
      );
    }
    expect(await inside(first, "cat /app/node_modules/left/index.js")).toBe("left\n");
    expect(await inside(second, "cat /app/node_modules/left/index.js")).toBe("left\nmore\n");
  });

  it("ends nothing when berthd is restarted", async () => {
    const before = await inside(first, "pidof httpd");
    await server.onNode("systemctl restart berthd");
    await healthy();
    expect(await inside(first, "pidof httpd")).toBe(before);
    await open(first);
    await setUp(first, "cat node_modules/left/index.js");
  });

  it("has the packages there again after a restart of the machine, and the server when it is started", async () => {
    await server.reboot();
    await healthy();
    for (const one of [first, second]) {
      expect((await call("GET", `/api/containers/${one.id}`)).body.status).toBe("stopped");
      const started = await call("POST", `/api/containers/${one.id}/start`);
      expect(started.status, JSON.stringify(started.body)).toBe(200);
    }
    expect(await inside(first, "cat /app/node_modules/left/index.js")).toBe("left\n");
    expect(await inside(second, "cat /app/node_modules/left/index.js")).toBe("left\nmore\n");
    await open(first);
    expect(await answers(denied.inside, server.address, first.hostPort, 10)).toBe(false);
  });

  it("leaves no mount and no folder of containers that are deleted", async () => {
    for (const one of [first, second])
      expect((await call("DELETE", `/api/containers/${one.id}`)).status).toBe(200);
    await until(
      "their folders to go",
      MINUTE,
      async () =>
        (await trimmed(
          "ls /var/lib/berth/packages/containers; findmnt -n -o TARGET -t overlay | grep packages || true",
        )) === "",
    );
    await expect(answers(allowed.inside, server.address, first.hostPort, 10)).resolves.toBe(false);
  });
});
