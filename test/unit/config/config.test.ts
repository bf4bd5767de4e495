import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, loadConfig } from "../../../config";
import {
  defaultPorts,
  namedRanges,
  overlaps,
  REGISTRY_PORTS,
  userPorts,
} from "../../../config/network/ports";
import { parseSize } from "../../../config/values";

const node = (name: string, role: string, address: string, more: object = {}) => ({
  kind: "local",
  name,
  role,
  address,
  cpus: 2,
  memory: "8GiB",
  ...more,
});
const nodes = [node("node-0", "head", "10.88.0.10"), node("node-1", "worker", "10.88.0.11")];
const alice = { name: "alice", node: "node-0", index: 0 };
const bob = { name: "bob", node: "node-1", index: 1 };

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+S1ZLn0dWllTuZ3lITcTnfLyQstcmEZMlktosn+KxF alice";

function load(config: Record<string, unknown>) {
  const raw = Object.fromEntries(
    Object.entries({ nodes, users: [alice, bob], ...config }).map(([k, v]) => [
      `berth:${k}`,
      JSON.stringify(v),
    ]),
  );
  return loadConfig("dev", raw, () => []);
}

function problems(config: Record<string, unknown>): { path: string; value: unknown; allowed: string }[] {
  try {
    load(config);
  } catch (error) {
    if (error instanceof ConfigError) return [...error.problems];
    throw error;
  }
  return [];
}

describe("the stack's configuration", () => {
  it("fills in the plan of the default stack", () => {
    const { plan } = load({});
    expect(plan.head.name).toBe("node-0");
    expect(plan.network).toEqual({ cidr: "10.88.0.0/24", gateway: "10.88.0.1", registry: "10.88.0.2" });
    expect(plan.users.map((u) => [u.name, u.uid, u.ports.ssh, u.ports.code, u.ports.jupyter])).toEqual([
      ["alice", 20000, 10022, 10002, 10003],
      ["bob", 20001, 10122, 10102, 10103],
    ]);
    expect(plan.firewall.allowSsh).toEqual(["10.88.0.0/24"]);
  });

  const cases: [string, Record<string, unknown>, string[]][] = [
    ["no head", { nodes: [node("node-0", "worker", "10.88.0.10")], users: [] }, ["berth:nodes[*].role"]],
    ["two heads", { nodes: [nodes[0], node("node-1", "head", "10.88.0.11")] }, ["berth:nodes[*].role"]],
    [
      "twin nodes",
      { nodes: [nodes[0], node("node-0", "worker", "10.88.0.11")], users: [] },
      ["berth:nodes[1].name"],
    ],
    [
      "twin addresses",
      { nodes: [nodes[0], node("node-1", "worker", "10.88.0.10")] },
      ["berth:nodes[1].address"],
    ],
    [
      "an address outside",
      { nodes: [node("node-0", "head", "10.99.0.10")], users: [] },
      ["berth:nodes[0].address"],
    ],
    [
      "the gateway's address",
      { nodes: [node("node-0", "head", "10.88.0.1")], users: [] },
      ["berth:nodes[0].address"],
    ],
    [
      "a login that no local node has",
      {
        nodes: [
          node("node-0", "head", "10.88.0.10", { autoExec: { login: "ops", user: "alice" } }),
          nodes[1],
        ],
      },
      ["berth:nodes[0].autoExec.login"],
    ],
    ["twin users", { users: [alice, { ...bob, name: "alice" }] }, ["berth:users[1].name"]],
    ["twin indexes", { users: [alice, { ...bob, index: 0 }] }, ["berth:users[1].index"]],
    ["an unknown node", { users: [{ ...alice, node: "node-9" }] }, ["berth:users[0].node"]],
    ["an index past the last block", { users: [{ ...alice, index: 100 }] }, ["berth:users[0].index"]],
    ["root", { users: [{ ...alice, name: "root" }] }, ["berth:users[0].name"]],
    ["an option for a name", { users: [{ ...alice, name: "-x" }] }, ["berth:users[0].name"]],
    ["a path for a name", { users: [{ ...alice, name: "../a" }] }, ["berth:users[0].name"]],
    ["a bad key", { users: [{ ...alice, keys: ["ssh-ed25519 AAAA alice"] }] }, ["berth:users[0].keys[0]"]],
    [
      "a key with options",
      { users: [{ ...alice, keys: [`command="sh" ${KEY}`] }] },
      ["berth:users[0].keys[0]"],
    ],
    ["too much memory", { users: [{ ...alice, memory: "9GiB" }] }, ["berth:users[0].memory"]],
    ["too many CPUs", { users: [{ ...alice, cpus: 3 }] }, ["berth:users[0].cpus"]],
    ["no size", { users: [{ ...alice, memory: "lots" }] }, ["berth:users[0].memory"]],
    ["an unknown key", { nodez: 1 }, ["berth:nodez"]],
    ["an unknown key of a user", { users: [{ ...alice, gpu: 1 }] }, ["berth:users[0].gpu"]],
    [
      "ports of containers in the users' blocks",
      { ports: { containers: { start: 19000, end: 21000 } } },
      ["berth:ports.containers"],
    ],
    [
      "blocks that put alice's Jupyter on a port that every workspace has inside",
      { ports: { users: { start: 8885, blocks: 2 } } },
      ["berth:ports.users.start"],
    ],
    [
      "the same of bob's TensorBoard",
      { ports: { users: { start: 5902, blocks: 2 } } },
      ["berth:ports.users.start"],
    ],
    ["an ephemeral Ray port", { ports: { ray: { client: 40000 } } }, ["berth:ports.ray.client"]],
    ["no way in", { firewall: { allowSsh: [] } }, ["berth:firewall.allowSsh"]],
    [
      "a network with host bits",
      { firewall: { allowUsers: ["10.0.0.1/8"] } },
      ["berth:firewall.allowUsers[0]"],
    ],
    ["purge of a running workspace", { users: [{ ...alice, purge: true }] }, ["berth:users[0].purge"]],
    [
      "the workspaces' own network",
      { network: { cidr: "172.30.0.0/24" }, nodes: [node("node-0", "head", "172.30.0.10")], users: [] },
      ["berth:network.cidr"],
    ],
  ];
  it.each(cases)("refuses %s", (_, config, paths) => {
    expect(problems(config).map((p) => p.path)).toEqual(paths);
  });

  it("reports everything at once, the misshapen and the mistaken alike", () => {
    const found = problems({
      users: [
        { ...alice, name: "root", memory: "9GiB" },
        { ...bob, node: "x", gpu: 1 },
      ],
      nodez: 1,
    });
    expect(found.map((p) => p.path).sort()).toEqual(
      [
        "berth:nodez",
        "berth:users[0].memory",
        "berth:users[0].name",
        "berth:users[1].gpu",
        "berth:users[1].node",
      ].sort(),
    );
    for (const problem of found) expect(problem.allowed).not.toBe("");
  });

  it("never shows a secret", () => {
    const secret = "hunter2-hunter2";
    for (const users of [
      [{ ...alice, password: "short-pw" }],
      [{ ...alice, password: secret, name: "root" }],
      [{ ...alice, setup: { credentials: { TOKEN: { nested: secret } } } }],
      [{ ...alice, passwort: secret }],
    ]) {
      expect(() => load({ users })).toThrow(ConfigError);
      try {
        load({ users });
      } catch (error) {
        expect((error as Error).message).not.toContain(secret);
        expect((error as Error).message).not.toContain("short-pw");
      }
    }
  });

  it("accepts a real key", () => {
    expect(load({ users: [{ ...alice, keys: [KEY] }] }).plan.users[0]?.keys).toEqual([KEY]);
  });

  it("keeps a user's ports and uid whoever comes and goes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 2, max: 99 }), { maxLength: 20 }), (indexes) => {
        const others = indexes.map((index) => ({
          name: `u${index}`,
          node: "node-1",
          index,
          memoryReservation: "1MiB",
        }));
        const found = load({ users: [...others, alice] }).plan.users.find((u) => u.name === "alice");
        expect(found).toEqual(load({ users: [alice] }).plan.users[0]);
      }),
      { numRuns: 50 },
    );
  });
});

describe("the port plan", () => {
  it("has no overlap by default", () => {
    expect(overlaps(namedRanges({ ...defaultPorts, registry: REGISTRY_PORTS }))).toEqual([]);
  });

  it("gives blocks that never meet and hold their services", () => {
    const index = fc.integer({ min: 0, max: 99 });
    fc.assert(
      fc.property(index, index, (a, b) => {
        const [x, y] = [userPorts(defaultPorts, a), userPorts(defaultPorts, b)];
        for (const port of [x.ssh, x.vnc, x.novnc, x.code, x.jupyter, x.tensorboard, x.rdp])
          expect(port >= x.block.start && port <= x.block.end).toBe(true);
        if (a !== b) expect(x.block.end < y.block.start || y.block.end < x.block.start).toBe(true);
        expect(x.block.end).toBeLessThan(defaultPorts.containers.start);
      }),
    );
  });
});

describe("sizes and networks", () => {
  it.each([
    ["8GiB", 8 * 2 ** 30],
    ["512MiB", 512 * 2 ** 20],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["2GB", 2e9],
    ["8", undefined],
    ["-1GiB", undefined],
    ["1e9GiB", undefined],
  ])("reads %s", (text, bytes) => expect(parseSize(text)).toBe(bytes));
});
