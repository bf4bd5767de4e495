/** What people read when their stack's file is wrong: our words, sizes with their unit, each mistake once, no secret. */
import { describe, expect, it } from "vitest";
import { ConfigError, loadConfig, type Problem } from "../../../config";
import { droplet, firewall, load, local, metal, problems } from "./helpers";

const nodes = [local("node-0", "head", "10.88.0.10"), local("node-1", "worker", "10.88.0.11")];
const alice = { name: "alice", node: "node-0", index: 0 };
const one = (config: Record<string, unknown>): Problem => {
  const found = problems({ nodes, ...config });
  expect(found).toHaveLength(1);
  return found[0] as Problem;
};
const user = (more: object) => one({ users: [{ ...alice, ...more }] });

/** Something in every part. */
const full = {
  nodes: [
    metal(0, {
      user: "ops",
      port: 22,
      jump: { host: "192.0.2.1", hostKey: metal(0).hostKey, port: 22 },
      privateInterface: "eth1",
      autoExec: { login: "ops", user: "alice" },
      storage: {
        devices: [{ match: { serial: "S3Z9NB0K" }, filesystem: "xfs", mount: "/data", options: ["discard"] }],
        nfs: {
          mounts: [{ from: "nas:/x", mount: "/x" }],
          server: { exports: [{ path: "/e", to: ["10.0.0.0/8"] }] },
        },
        bind: { homes: "/data/homes" },
        quota: { home: { soft: "1GiB", hard: "2GiB" } },
      },
      fabric: { enabled: true, interface: "ib0", address: "10.20.0.11/24", mtu: 4092 },
      runtime: {
        docker: { from: "docker", version: "29.3.1" },
        nvidia: { driver: { install: true, version: "580" } },
      },
      gpus: [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", count: 2, mig: false, nvlink: true }],
      ray: { gpu: { kind: "gpu", count: 1 } },
    }),
    droplet(1, { volumes: [{ name: "data", size: "10GiB", mount: "/data" }], backups: true }),
  ],
  users: [
    {
      ...{
        name: "alice",
        node: "metal-0",
        index: 0,
        state: "running",
        purge: false,
        keys: [metal(0).hostKey],
      },
      ...{
        sudo: true,
        password: "long enough for it",
        credentialsVersion: 1,
        cpus: 1,
        memory: "1GiB",
        shm: "64MiB",
      },
      ...{ pids: 512, quota: { soft: "1GiB", hard: "2GiB" }, gpu: { kind: "gpu", count: 1 } },
      setup: { credentials: { TOKEN: "t" }, aptPackages: ["git"], services: [{ name: "a", command: "x" }] },
    },
  ],
  network: { cidr: "10.88.0.0/24" },
  firewall: { ...firewall, rules: [{ port: 80, protocol: "tcp", from: ["10.0.0.0/8"] }] },
  ports: {
    users: { start: 10000, blocks: 100 },
    containers: { start: 20000, end: 24999 },
    ray: { client: 10001 },
  },
  workspaces: { cpus: 1, memory: "1GiB", address: "private" },
  ray: { enabled: true, access: ["alice"], memory: "2GiB", cpus: 1 },
  registryPort: 5001,
  digitalocean: { region: "fra1", tags: ["a"], sshKeys: [metal(0).hostKey] },
  gpu: { strategy: "pack", allocation: "shared", memoryLimit: "16GiB" },
  agent: { listen: "loopback", port: 9700 },
  production: false,
};

/** Every place in a value, outer ones first. */
function places(value: unknown, path: PropertyKey[] = []): PropertyKey[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([k, v]) => places(v, [...path, Array.isArray(value) ? Number(k) : k])),
  ];
}
function withValue(path: PropertyKey[], value: unknown): Record<string, unknown> {
  const copy = structuredClone(full) as Record<PropertyKey, unknown>;
  const holder = path.slice(0, -1).reduce((at, part) => at[part] as typeof copy, copy);
  holder[path.at(-1) as PropertyKey] = value;
  return copy as Record<string, unknown>;
}
/** As the schema library speaks. */
const LIBRARY = /Invalid|expected|received|Too (big|small)|Unrecognized|[<>]=|safeint|NaN|undefined|\[object/;

describe("the words of a mistake", () => {
  it("are never the schema library's, whatever stands anywhere", () => {
    const strange = [null, -1.5, 1e9, "", [null], { a: 1 }];
    for (const path of places(full).slice(1))
      for (const value of strange)
        for (const problem of problems(withValue(path, value))) {
          const text = `${problem.problem} | ${problem.allowed}`;
          expect(text, `${path.join(".")} = ${JSON.stringify(value)}: ${text}`).not.toMatch(LIBRARY);
          expect(problem.allowed).not.toBe("");
        }
  }, 60_000);

  it.each<[object, string, RegExp, RegExp]>([
    [{ memory: 4 }, "memory", /^is not a size$/, /a number and a unit/],
    [{ pids: 9999999 }, "pids", /^is too large$/, /^from 64 to 4194304$/],
    [{ pids: 1 }, "pids", /^is too small$/, /^from 64 to 4194304$/],
    [{ pids: 64.5 }, "pids", /^is no whole number$/, /a whole number/],
    [{ cpus: "2" }, "cpus", /^is text, where/, /a number, without quotes/],
    [{ sudo: "yes" }, "sudo", /^is text, where/, /true or false, without quotes/],
    [{ keys: "ssh-ed25519 AAAA" }, "keys", /^is text, where/, /a list: entries that begin with "- "/],
    [{ keys: [null] }, "keys[0]", /^is nothing, where/, /^text$/],
    [{ state: "runing" }, "state", /^is none of the values/, /^"running", "stopped", "removed"$/],
    [{ password: "short" }, "password", /^is too short$/, /^from 12 to 128 characters$/],
    [
      { setup: { python: { version: 3.13 } } },
      "setup.python.version",
      /^is a number/,
      /^text, in quotes: "3.13"$/,
    ],
    [{ setup: { credentials: { TOKEN: null } } }, "setup.credentials.TOKEN", /^is nothing, where/, /^text$/],
  ])("say of %j what belongs there", (more, path, problem, allowed) => {
    expect(user(more)).toMatchObject({
      path: `berth:users[0].${path}`,
      problem: expect.stringMatching(problem),
      allowed: expect.stringMatching(allowed),
    });
  });
});

describe("an unknown key", () => {
  it.each<[object, string, RegExp]>([
    [{ memroy: "8GiB" }, "memroy", /did you mean memory\?$/],
    [{ memory_reservation: "1GiB" }, "memory_reservation", /did you mean memoryReservation\?$/],
    [{ CPUs: 1 }, "CPUs", /did you mean cpus\?$/],
    [{ colour: "red" }, "colour", /^is an unknown key$/],
    [{ setup: { aptPackage: ["git"] } }, "setup.aptPackage", /did you mean aptPackages\?$/],
    [{ gpu: { kind: "gpu", cuont: 1 } }, "gpu.cuont", /did you mean count\?$/],
  ])("in %j is told with the key that was perhaps meant, and those that there are", (more, key, problem) => {
    const found = problems({ nodes, users: [{ ...alice, ...more }] })[0];
    expect(found).toMatchObject({ path: `berth:users[0].${key}`, problem: expect.stringMatching(problem) });
    expect(found?.allowed.split(", ").length).toBeGreaterThan(2);
  });

  it("shows its value, unless that may be a secret", () => {
    expect(user({ memroy: "8GiB" }).value).toBe("8GiB");
    expect(one({ users: [{ ...alice, passwort: "hunter2-hunter2" }] }).value).toBe("(hidden)");
    expect(one({ users: [{ ...alice, token: "hunter2-hunter2" }] }).value).toBe("(hidden)");
    const message = new ConfigError("dev", [user({ token: "hunter2-hunter2" })]).message;
    expect(message).toContain("berth:users[0].token = (hidden)\n");
  });

  it("of another kind of node says so", () => {
    const found = one({ nodes: [nodes[0], { ...nodes[1], hostKey: "x" }] });
    expect(found.problem).toBe("is a key of baremetal, not of this kind");
  });

  it("that has another name by now is told with it", () => {
    expect(one({ ports: { pool: { start: 20000, end: 24999 } } })).toMatchObject({
      path: "berth:ports.pool",
      problem: "is called ports.containers now",
    });
  });

  it("at the top names berth: in front", () => {
    expect(one({ user: [] }).problem).toBe("is an unknown key; did you mean berth:users?");
  });
});

describe("a key with nothing behind it", () => {
  const bare = { nodes };
  it.each([
    "users",
    "firewall",
    "ports",
    "workspaces",
    "ray",
    "storage",
    "runtime",
    "gpu",
    "limits",
    "agent",
    "baremetal",
  ])("is one that is left out: berth:%s", (key) => {
    expect(load({ ...bare, [key]: null })).toEqual(load(bare));
    const raw = { "berth:nodes": JSON.stringify(nodes), [`berth:${key}`]: "" };
    expect(loadConfig("prod", raw, () => []).plan).toEqual(load(bare));
  });

  it.each(["keys", "gpu", "setup", "group", "memory", "quota"])("is so in a user's part: %s", (key) => {
    const users = [alice];
    expect(load({ ...bare, users: [{ ...alice, [key]: null }] })).toEqual(load({ ...bare, users }));
  });

  it("is missing where something has to stand", () => {
    expect(one({ nodes: null })).toMatchObject({ path: "berth:nodes", problem: "is missing" });
    expect(user({ node: null })).toMatchObject({ path: "berth:users[0].node", problem: "is missing" });
  });

  it("keeps its meaning in the limits: no limit", () => {
    const limits = { groups: { staff: { members: ["alice"], memory: null } } };
    expect(problems({ nodes, users: [{ ...alice, memory: "4GiB" }], limits })).toEqual([]);
    expect(one({ limits: { defaults: { max_mig_instances: null } } }).path).toBe(
      "berth:limits.defaults.max_mig_instances",
    );
  });
});

describe("sizes", () => {
  it.each<[string, Record<string, unknown>, string, string]>([
    ["a workspace", { users: [{ ...alice, memory: "9GiB" }] }, '"9GiB"', "at most 8GiB"],
    ["half a GiB", { users: [{ ...alice, memory: "8.5GiB" }] }, '"8704MiB"', "at most 8GiB"],
    ["a decimal size", { users: [{ ...alice, memory: "10GB" }] }, '"10GB"', "at most 8GiB"],
    ["shared memory", { users: [{ ...alice, shm: "4GiB" }] }, '"4GiB"', "at most 3GiB"],
    ["Ray", { ray: { memory: "9GiB" } }, '"9GiB"', "at most 8GiB"],
    ["a GPU", { nodes: [{ ...nodes[0], gpus: [{ model: "A", memory: "64MiB" }] }] }, '"64MiB"', "256MiB"],
  ])("of %s stand in messages as people write them", (_, config, value, allowed) => {
    const { message } = new ConfigError("dev", [one(config)]);
    expect(message).toContain(`= ${value}\n`);
    expect(message).toContain(allowed);
    expect(message).not.toMatch(/\d{6,}|bytes/);
  });
});

describe("one mistake", () => {
  const users = [
    alice,
    { name: "bob", node: "node-0", index: 1 },
    { name: "carol", node: "node-1", index: 2 },
  ];
  it.each<[string, Record<string, unknown>, string[]]>([
    ["in Ray's memory", { ray: { memory: "9GiB" } }, ["berth:ray.memory"]],
    [
      "in what all workspaces have, once for each node",
      { users, workspaces: { memory: "9GiB" } },
      ["berth:workspaces.memory", "berth:workspaces.memory"],
    ],
    [
      "in a workspace's CPUs",
      { users: users.slice(0, 2), workspaces: { cpus: 3 } },
      ["berth:workspaces.cpus"],
    ],
  ])("%s is told once", (_, config, expected) => {
    expect(problems({ nodes, ...config }).map(({ path }) => path)).toEqual(expected);
  });
});
