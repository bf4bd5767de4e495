/**
 * The container manager in the program. Proves: what a node's berthd is told is read by its own schema, at the addresses that the plan
 * says; a tenant's token is an output that is secret, and the node gets its hash alone; another version changes that and nothing else; a
 * stack of one node with nothing but the manager has all that it needs, and no image, stage or container of Ray or of workspaces; the
 * image that stands in for others is built and told of only where the stack says for which.
 */
import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, it } from "vitest";
import { agentDocuments } from "../../../../components/agent/documents";
import { managerDocument, type NodeAddresses } from "../../../../components/manager";
import { tenantToken } from "../../../../components/secrets";
import type { Plan } from "../../../../config";
import { digitalocean, droplet, load, local } from "../../config/helpers";
import { localStack, makeCluster, names, of, SEED, type Seen } from "../cluster-recorder";

const tenants = [{ name: "web-ide" }, { name: "bench" }];
const at: NodeAddresses = { address: "192.0.2.10", privateAddress: "10.110.0.10" };
const alone = { nodes: [droplet(0)], digitalocean, ray: { enabled: false } };
/** As the stack's registry serves it. */
const DEV = `10.88.0.2:5000/berth/dev@sha256:${"0e".repeat(32)}`;
const plan = (more: object = {}, rest: object = {}): Plan =>
  load({ ...alone, manager: { tenants, ...more }, ...rest });
const nodeOf = (one: Plan, i = 0) => {
  const node = one.nodes[i];
  if (!node) throw new Error("no node");
  return node;
};
const documentOf = (more: object = {}) => {
  const one = plan(more);
  return managerDocument(one, nodeOf(one), at);
};

describe("what berthd is told of the container manager", () => {
  it.each<[object, string, string, string]>([
    [{}, "10.110.0.10", "10.110.0.10", "http://10.110.0.10:8080"],
    [
      { listen: "loopback", publish: "loopback", port: 8090 },
      "127.0.0.1",
      "127.0.0.1",
      "http://127.0.0.1:8090",
    ],
    [{ listen: "public", plainHttp: true }, "192.0.2.10", "10.110.0.10", "http://192.0.2.10:8080"],
    [{ publish: "public" }, "10.110.0.10", "192.0.2.10", "http://10.110.0.10:8080"],
    [
      { listen: "loopback", urls: { "drop-0": "https://ide.example/docker/" } },
      "127.0.0.1",
      "10.110.0.10",
      "https://ide.example/docker",
    ],
    [
      { listen: "public", tls: { certificate: "/etc/ssl/m.pem", key: "/etc/ssl/m.key" } },
      "192.0.2.10",
      "10.110.0.10",
      "https://192.0.2.10:8080",
    ],
  ])("with %j is at %s, publishes at %s, and is reached at %s", (more, listen, publish, url) => {
    expect(documentOf(more)).toMatchObject({
      listen: { address: listen },
      publish: { address: publish },
      url,
    });
  });

  it("is reached at an IPv6 address as a URL has it", () => {
    const one = plan({ listen: "public", plainHttp: true });
    expect(managerDocument(one, nodeOf(one), { ...at, address: "2001:db8::7" })?.url).toBe(
      "http://[2001:db8::7]:8080",
    );
  });

  it("is read by berthd's own schema, with every key of the stack file", async () => {
    const { nodeSchema } = await import("../../../../agent/src/config.js");
    const one = plan({
      listen: "public",
      tls: { certificate: "/etc/ssl/m.pem", key: "/etc/ssl/m.key" },
      urls: { "drop-0": "https://ide.example:8080" },
      templates: [
        {
          ...{ name: "node", image: "node:24-slim", memory: "1GiB", cpus: 2, containerPorts: [3000, 5173] },
          ...{ targetSize: 4, minSize: 2, maxCreating: 3, ttlSeconds: 3600, timeZone: "Australia/Sydney" },
          health: { command: ["node", "--version"], timeoutSeconds: 30 },
          schedule: [{ days: ["mon"], from: "08:00", to: "18:00", targetSize: 8 }],
        },
      ],
      images: {
        ...{ default: "node:24-slim", allowed: ["node:*", `python@sha256:${"0f".repeat(32)}`] },
        standIn: ["node:24-slim"],
      },
      repositories: {
        hosts: [{ host: "github.com" }, { host: "git.lan", port: 3000, insecure: true, internal: true }],
      },
      callbacks: { allowed: ["10.0.0.0/8", "hooks.lan"] },
      origins: ["https://ide.example"],
      reserve: "2GiB",
      mainImages: { unusedHours: 24 },
    });
    const hashes = { "web-ide": "ab".repeat(32), bench: "cd".repeat(32) };
    const { node } = agentDocuments(one, nodeOf(one), at, hashes, DEV);
    const read = nodeSchema.parse(JSON.parse(JSON.stringify(node)));
    expect(read.manager).toEqual(node.manager);
    expect(read.manager).toMatchObject({ reserveMiB: 2048, listen: { port: 8080 } });
    expect(read.manager?.images.standIn).toEqual({ names: ["node:24-slim"], image: DEV });
    // In the order of their names: another order in the stack file is no change.
    expect(read.tenants).toEqual([
      { name: "bench", tokenHash: hashes.bench },
      { name: "web-ide", tokenHash: hashes["web-ide"] },
    ]);
    expect(read.ports?.containers).toEqual({ start: 10000, end: 20000 });
  });

  it("is refused by that schema where what stands in is no image of the stack's registry by digest", async () => {
    const { nodeSchema } = await import("../../../../agent/src/config.js");
    const one = plan({ images: { standIn: ["node:24-slim"] } });
    const read = (image: string) =>
      nodeSchema.safeParse(agentDocuments(one, nodeOf(one), at, {}, image).node);
    expect(read(DEV).success).toBe(true);
    expect(read(DEV.replace("10.88.0.2", "[fd00::2]")).success).toBe(true);
    for (const image of ["node:24-slim", "10.88.0.2:5000/berth/dev:1", DEV.replace("dev", "ray"), `${DEV}0`])
      expect(read(image).success, image).toBe(false);
  });

  it("is, where nothing stands in for an image, what it was before anything could", () => {
    const one = plan();
    const document = managerDocument(one, nodeOf(one), at);
    expect(document?.images).toEqual({ default: "node:24-slim", allowed: ["node:*", "python:*"] });
    // The text is what a preview compares.
    expect(Object.keys(document ?? {})).toEqual([
      ...["listen", "publish", "url", "templates", "images", "repositories", "callbacks", "origins"],
      ...["reserveMiB", "mainImages"],
    ]);
    expect(managerDocument(one, nodeOf(one), at, DEV)).toEqual(document);
  });

  it("is nothing on a node without it, whose document is what it was before there was one", () => {
    const nodes = [droplet(0), droplet(1)];
    const one = plan({ nodes: ["drop-1"] }, { nodes });
    const { node } = agentDocuments(one, nodeOf(one), at, {});
    expect(Object.keys(node)).not.toEqual(expect.arrayContaining(["manager"]));
    expect(Object.keys(node)).not.toEqual(expect.arrayContaining(["tenants"]));
    expect(managerDocument(load(alone), nodeOf(load(alone)), at)).toBeUndefined();
  });
});

describe("a tenant's token", () => {
  it("is 64 hexadecimal digits, another one for each node, tenant and version", () => {
    const token = (node: string, name: string, tokenVersion: number) =>
      tenantToken(SEED, node, { name, tokenVersion });
    const all = [token("a", "b", 1), token("a", "b", 2), token("a", "c", 1), token("b", "b", 1)];
    expect(new Set(all).size).toBe(4);
    for (const one of all) expect(one).toMatch(/^[0-9a-f]{64}$/);
    expect(token("a", "b", 1)).toBe(all[0]);
  });
});

/** An output, with whether it is secret. */
const told = <T>(output: pulumi.Output<T>): Promise<{ value: T; secret: boolean }> =>
  new Promise((resolve) =>
    output.apply(async (value) => resolve({ value, secret: await pulumi.isSecret(output) })),
  );
const stack = (more: object = {}, rest: object = {}) => ({
  nodes: [local("node-0", "head", "10.88.0.10")],
  ray: { enabled: false },
  manager: { tenants, ...more },
  ...rest,
});
const stageOf = (seen: Seen[], role: string) => {
  const found = seen.find(({ name }) => name === `berth-node-0-${role}`);
  if (!found) throw new Error(`no ${role}`);
  return found.inputs as { create: string; stdin: string };
};

describe.each([
  ["an update", false],
  ["a preview", true],
])("a stack with nothing but the manager, in %s", (_, preview) => {
  let seen: Seen[];
  let cluster: Awaited<ReturnType<typeof makeCluster>>["cluster"];
  beforeAll(async () => {
    ({ seen, cluster } = await makeCluster(stack(), preview));
  }, 120_000);

  it("has no part of Ray or of workspaces, and no image of theirs", () => {
    expect(names(seen).filter((name) => /-ray\b|workspace-|image-workspace/.test(name))).toEqual([]);
    const images = of(seen, "berth:images:Image").map(({ name }) => name);
    expect(images.filter((name) => /ray|workspace|dev/.test(name))).toEqual([]);
    expect(names(seen).join()).toContain("berth-node-0-agent-stage");
  });

  it("gives the node git and its account, and opens just its ports", () => {
    const base = stageOf(seen, "host-base").create;
    expect(base).toContain("apt_install dbus git");
    expect(base).toContain("git_name=berth-git git_uid=10002");
    expect(base).toContain("/etc/systemd/system/berth-manager.slice");
    const firewall = stageOf(seen, "host-firewall").create;
    expect(firewall).toContain("proto tcp from 10.88.0.0/24 to any port 8080");
    for (const protocol of ["tcp", "udp"])
      expect(firewall).toMatch(
        new RegExp(`-s 10\\.88\\.0\\.0/24 -p ${protocol} .*--ctstate DNAT --ctorigdstport 10000:20000`),
      );
    // Nothing of the node itself hears what is sent to it by UDP.
    expect(firewall).not.toContain("proto udp");
    expect(firewall).not.toMatch(/10000:19999|\b(6379|8265)\b/);
  });

  it("tells berthd the hashes of the tenants' tokens, which are secret outputs", async () => {
    const { node } = JSON.parse(stageOf(seen, "agent-stage").stdin) as { node: { tenants: object[] } };
    const token = (name: string) => tenantToken(SEED, "node-0", { name, tokenVersion: 1 });
    const hash = (name: string) => createHash("sha256").update(token(name)).digest("hex");
    expect(node.tenants).toEqual([
      { name: "bench", tokenHash: hash("bench") },
      { name: "web-ide", tokenHash: hash("web-ide") },
    ]);
    const manager = cluster.managers?.["node-0"];
    if (!manager) throw new Error("no output");
    expect(await told(manager.DOCKER_HOST)).toEqual({ value: "10.88.0.10", secret: false });
    expect(await told(manager.DOCKER_HOST_URL)).toEqual({ value: "http://10.88.0.10:8080", secret: false });
    expect(await told(manager.DOCKER_API_SECRET)).toEqual({ value: token("web-ide"), secret: true });
    const others = cluster.tenantTokens?.["node-0"] ?? {};
    expect(Object.keys(others)).toEqual(["web-ide", "bench"]);
    expect(await told(others.bench ?? pulumi.output(""))).toEqual({ value: token("bench"), secret: true });
  });

  it("brings no token to a node", () => {
    for (const { name, inputs } of seen)
      for (const { name: tenant } of tenants)
        expect(JSON.stringify(inputs), name).not.toContain(
          tenantToken(SEED, "node-0", { name: tenant, tokenVersion: 1 }),
        );
  });
});

describe.each([
  ["an update", false],
  ["a preview", true],
])("what stands in for images, in %s", (_, preview) => {
  it("is built, pushed, and told to the nodes that have the manager", { timeout: 120_000 }, async () => {
    const nodes = [local("node-0", "head", "10.88.0.10"), local("node-1", "worker", "10.88.0.11")];
    const manager = { tenants, nodes: ["node-0"], images: { standIn: ["node:24-slim"] } };
    const { seen } = await makeCluster({ nodes, ray: { enabled: false }, manager }, preview);
    expect(names(seen).filter((name) => /\bdev\b/.test(name))).toEqual([
      "berth:images:Image berth-image-dev",
      "command:local:Command berth-image-dev",
      "command:local:Command berth-registry-push-dev",
    ]);
    if (preview) return;
    const told = (node: string) =>
      seen.find(({ name }) => name === `berth-${node}-agent-stage`)?.inputs.stdin as string;
    expect(JSON.parse(told("node-0")).node.manager.images.standIn).toEqual({
      names: ["node:24-slim"],
      image: `10.88.0.2:5000/berth/dev@sha256:${"def0".repeat(16)}`,
    });
    expect(told("node-1")).not.toContain("standIn");
  });
});

describe("an edit", () => {
  const stages = async (config: Record<string, unknown>) =>
    (await makeCluster(config, false)).seen.filter(({ type }) => type === "command:remote:Command");
  const changed = (before: Seen[], after: Seen[]) =>
    before
      .filter(({ name, inputs }) => {
        const now = after.find((one) => one.name === name);
        return JSON.stringify(now?.inputs) !== JSON.stringify(inputs);
      })
      .map(({ name }) => name);

  it("of a token's version, and one more tenant, change what berthd is told and nothing else", {
    timeout: 120_000,
  }, async () => {
    const before = await stages(stack());
    const rotated = await stages(
      stack({ tenants: [{ name: "web-ide", tokenVersion: 2 }, { name: "bench" }] }),
    );
    expect(changed(before, rotated)).toEqual(["berth-node-0-agent-stage"]);
    const one = (all: Seen[]) => all.find(({ name }) => name === "berth-node-0-agent-stage")?.inputs;
    expect(one(rotated)?.create).toBe(one(before)?.create);
    const more = await stages(stack({ tenants: [...tenants, { name: "third" }] }));
    expect(changed(before, more)).toEqual(["berth-node-0-agent-stage"]);
    expect(changed(before, await stages(stack()))).toEqual([]);
  });

  it("without the manager leaves a stack with users as it was", { timeout: 120_000 }, async () => {
    const users = [{ name: "alice", node: "node-0", index: 0 }];
    const { seen, cluster } = await makeCluster(localStack(users), false);
    expect([cluster.managers, cluster.tenantTokens]).toEqual([undefined, undefined]);
    expect(stageOf(seen, "host-base").create).not.toMatch(/apt_install dbus git|berth-git|berth-manager/);
    expect(Object.keys(JSON.parse(stageOf(seen, "agent-stage").stdin).node)).not.toContain("tenants");
  });
});
