/** Local nodes that are said to have more than the computer has that they would run on. */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { askEngine, askNodes, checkRoom, roomProblems } from "../../../components/local-room";
import { ConfigError } from "../../../config";
import { load, local, metalStack } from "../config/helpers";

const GiB = 2 ** 30;
const plan = (memory: string, cpus = 2) =>
  load({
    nodes: [
      { ...local("node-0", "head", "10.88.0.10"), memory, cpus },
      local("node-1", "worker", "10.88.0.11"),
    ],
  });
const told = (of: ReturnType<typeof plan>, gib: number, cpus = 2) =>
  roomProblems(of, { memoryBytes: Math.floor(gib * GiB), cpus }).map(
    ({ path, allowed }) => `${path}: ${allowed}`,
  );

describe("a local node", () => {
  it.each<[string, string, number]>([
    ["a computer of 8 GB, of which its kernel shows 7.6 GiB", "8GiB", 7.63],
    ["one of 16 GB", "16GiB", 15.5],
    ["one of 64 GB", "64GiB", 62.7],
  ])("may have what its computer is sold with: %s", (_, memory, shown) => {
    expect(told(plan(memory), shown)).toEqual([]);
  });

  it("may not have more memory or CPUs than the computer, and is told all at once", () => {
    expect(told(plan("64GiB", 16), 15.5, 8)).toEqual([
      "berth:nodes[0].memory: at most 17GiB",
      "berth:nodes[0].cpus: at most 8",
    ]);
    expect(told(plan("8GiB"), 3.8)).toEqual([
      "berth:nodes[0].memory: at most 4GiB",
      "berth:nodes[1].memory: at most 4GiB",
    ]);
  });

  it("shares it with the others: their sum is not judged", () => {
    expect(told(plan("8GiB"), 8)).toEqual([]);
  });
});

describe("checkRoom", () => {
  const engine = async () => ({ memoryBytes: 4 * GiB, cpus: 1 });
  const nodes = async () => new Set<string>();
  it("ends an update before anything is made", async () => {
    const ended = checkRoom(plan("8GiB"), false, { engine, nodes });
    await expect(ended).rejects.toThrow(ConfigError);
    await expect(ended).rejects.toThrow(
      /has 4 problems; nothing was touched[\s\S]*"8GiB"[\s\S]*at most 5GiB/,
    );
  });

  it("warns in a preview, which may run on another computer", async () => {
    const warnings: string[] = [];
    await checkRoom(plan("8GiB", 1), true, { engine, nodes, warn: (text) => warnings.push(text) });
    expect(warnings[0]).toMatch(
      /^berth:nodes\[0\]\.memory = 8GiB is more than .*\(at most 5GiB\).*An update there would be refused\.$/,
    );
    expect(warnings).toHaveLength(3);
  });

  it("warns of the memory of nodes that are there: Docker took it, and their updates went well", async () => {
    const warnings: string[] = [];
    const warn = (text: string) => void warnings.push(text);
    const roomy = async () => ({ memoryBytes: 4 * GiB, cpus: 2 });
    const both = async () => new Set(["node-0", "node-1"]);
    await checkRoom(plan("8GiB"), false, { engine: roomy, nodes: both, warn });
    expect(warnings).toEqual([
      expect.stringMatching(/^berth:nodes\[0\]\.memory = 8GiB .*at most 5GiB.*The node is there/),
      expect.stringMatching(/^berth:nodes\[1\]\.memory/),
    ]);
    const one = async () => new Set(["node-0"]);
    await expect(checkRoom(plan("8GiB"), false, { engine: roomy, nodes: one, warn })).rejects.toThrow(
      /has a problem;[\s\S]*nodes\[1\]\.memory/,
    );
    // A container with more CPUs than there are does not start.
    await expect(checkRoom(plan("8GiB"), false, { engine, nodes: both, warn })).rejects.toThrow(
      /has 2 problems;[\s\S]*nodes\[0\]\.cpus[\s\S]*nodes\[1\]\.cpus/,
    );
  });

  it("asks no engine for a stack of servers, and goes on where none answers", async () => {
    const never = () => Promise.reject(new Error("asked"));
    await checkRoom(load(metalStack), false, { engine: never, nodes: never });
    await checkRoom(plan("8000GiB"), false, { engine: async () => undefined, nodes: never });
  });
});

describe("the engine", () => {
  let folder = "";
  let server: Server | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-engine-"));
  });
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const listen = (text: string, at: string | number) =>
    new Promise<string[]>((resolve) => {
      const asked: string[] = [];
      server = createServer((request, answer) => {
        asked.push(`${request.method} ${request.url}`);
        answer.end(text);
      }).listen(at, () => resolve(asked));
    });
  const info = JSON.stringify({ NCPU: 4, MemTotal: 8 * GiB, Name: "x" });

  it("is asked at its socket, and over plain TCP", async () => {
    const socket = join(folder, "docker.sock");
    const asked = await listen(info, socket);
    expect(await askEngine(`unix://${socket}`)).toEqual({ cpus: 4, memoryBytes: 8 * GiB });
    expect(asked).toEqual(["GET /info"]);
    server?.close();
    await listen(info, 0);
    const { port } = (server as Server).address() as AddressInfo;
    expect(await askEngine(`tcp://127.0.0.1:${port}`)).toEqual({ cpus: 4, memoryBytes: 8 * GiB });
  });

  it("names the nodes of a stack that it has", async () => {
    const labels = (node: string) => ({ Labels: { "berth.component": "node", "berth.node": node } });
    const asked = await listen(JSON.stringify([labels("node-0"), labels("node-1"), { Labels: {} }, null]), 0);
    const { port } = (server as Server).address() as AddressInfo;
    expect([...(await askNodes("dev", `tcp://127.0.0.1:${port}`))]).toEqual(["node-0", "node-1"]);
    expect(decodeURIComponent(asked[0] ?? "")).toBe(
      'GET /containers/json?all=true&filters={"label":["berth.stack=dev","berth.component=node"]}',
    );
    for (const broken of ["unix:///nowhere", "ssh://x"])
      expect(await askNodes("dev", broken)).toEqual(new Set());
  });

  it.each(["no JSON", "{}", '{"NCPU":0,"MemTotal":0}', '{"NCPU":"4","MemTotal":"x"}'])(
    "that answers %s says nothing",
    async (text) => {
      await listen(text, 0);
      const { port } = (server as Server).address() as AddressInfo;
      expect(await askEngine(`tcp://127.0.0.1:${port}`)).toBeUndefined();
    },
  );

  it.each([
    "unix:///nowhere/docker.sock",
    "tcp://127.0.0.1:1",
    "ssh://me@host",
    "npipe:////./pipe/x",
    "tcp://not a host",
  ])("%s is nobody to ask", async (host) => expect(await askEngine(host)).toBeUndefined());
});
