import { beforeAll, describe, expect, it } from "vitest";
import { WORKSPACE_GATEWAY, WORKSPACE_NETWORK } from "../../../config";
import { localStack, makeCluster, names, of, runCluster, type Seen } from "./cluster-recorder";

const alice = { name: "alice", node: "node-0", index: 0 };
const bob = { name: "bob", node: "node-1", index: 1 };
const run = (users: object[], preview: boolean, more: Record<string, unknown> = {}) =>
  runCluster(localStack(users, more), preview);

describe.each([
  ["an update", false],
  ["a preview", true],
])("the cluster in %s", (_, preview) => {
  let seen: Seen[];
  beforeAll(async () => {
    seen = await run([alice, bob], preview);
  });

  it("has exactly these resources", () => {
    expect(names(seen)).toMatchSnapshot();
  });

  it("adds only carol's when carol comes, wherever she stands in the list", async () => {
    const carol = { name: "carol", node: "node-1", index: 2 };
    const before = names(seen);
    const after = names(await run([carol, alice, bob], preview));
    const added = after.filter((name) => !before.includes(name));
    expect(before.filter((name) => !after.includes(name))).toEqual([]);
    expect(added.length).toBeGreaterThan(2);
    for (const name of added) expect(name).toContain("workspace-carol");
  });

  it("gives every container limits, owner labels, a log limit and no privilege", () => {
    const containers = of(seen, "docker:index/container:Container");
    expect(containers.length).toBe(7);
    for (const { name, inputs } of containers) {
      expect(inputs.privileged ?? false, name).toBe(false);
      expect(inputs.memory, name).toBeGreaterThan(0);
      expect(inputs.memorySwap, name).toBe(inputs.memory);
      expect(JSON.stringify(inputs.labels), name).toContain("berth.owner");
      expect((inputs.capabilities as { drops: string[] }).drops, name).toEqual(["ALL"]);
      expect(inputs.logOpts, name).toHaveProperty("max-size");
    }
  });

  it("publishes nothing on all addresses", () => {
    for (const { name, inputs } of of(seen, "docker:index/container:Container"))
      for (const port of (inputs.ports as { ip?: string }[] | undefined) ?? [])
        expect(["127.0.0.1", "10.88.0.10", "10.88.0.11"], name).toContain(port.ip);
  });

  it("gives a workspace neither the engine's socket, nor capabilities beyond the list, nor a GPU", () => {
    const workspaces = of(seen, "docker:index/container:Container").filter((r) =>
      r.name.includes("-workspace-"),
    );
    expect(workspaces.map((r) => r.name).sort()).toEqual(["berth-workspace-alice", "berth-workspace-bob"]);
    for (const { inputs } of workspaces) {
      expect(JSON.stringify(inputs.mounts)).not.toMatch(/docker\.sock|"source":"\/"/);
      expect((inputs.capabilities as { adds: string[] }).adds.join()).not.toMatch(
        /ADMIN|RAW|PTRACE|MODULE|MKNOD/,
      );
      expect(inputs.envs).toContain("NVIDIA_VISIBLE_DEVICES=void");
      expect(inputs.devices).toBeUndefined();
    }
  });

  // A change of the network makes all workspaces of the node anew, with either docker plugin.
  it("states the gateway of each node's network, and keeps one that was made without", () => {
    const networks = seen.filter(({ name }) => /-workspaces$/.test(name));
    expect(networks).toHaveLength(2);
    for (const { inputs, ignoreChanges } of networks) {
      expect(inputs.ipamConfigs).toEqual([{ subnet: WORKSPACE_NETWORK, gateway: WORKSPACE_GATEWAY }]);
      expect(ignoreChanges).toEqual(["ipamConfigs"]);
    }
  });

  it("keeps secrets out of every command's text", () => {
    const commands = seen.filter((r) => r.type.startsWith("command:"));
    expect(commands.length).toBeGreaterThan(10);
    for (const { name, inputs } of commands)
      for (const key of ["create", "update", "delete"])
        expect(String(inputs[key] ?? ""), name).not.toMatch(/PRIVATE KEY|seed-of-the-unit-tests/);
  });

  it("checks a host key wherever it connects", () => {
    if (preview) return;
    for (const { name, inputs } of of(seen, "command:remote:Command")) {
      const connection = inputs.connection as { hostKey?: string };
      expect(JSON.stringify(connection), name).toContain("ssh-ed25519 ");
    }
  });
});

describe("the stack's outputs", () => {
  const users = [alice, bob, { name: "dave", node: "node-1", index: 3 }];
  const outputs = async (people: object[]) => {
    const { cluster } = await makeCluster(localStack(people), false);
    const infos = Object.entries(cluster.users).map(
      ([name, info]) => new Promise((told) => info.apply((value) => told([name, value]))),
    );
    return {
      nodes: Object.keys(cluster.nodes),
      users: Object.fromEntries((await Promise.all(infos)) as [string, object][]),
    };
  };

  // In a list whoever follows would take a place over, and a preview would show bob as changed into dave.
  it.each(users.map(({ name }) => name))("show that %s goes, and nobody else changed", async (name) => {
    const before = await outputs(users);
    const after = await outputs(users.filter((user) => user.name !== name));
    expect(Object.keys(before.users)).toEqual(["alice", "bob", "dave"]);
    expect(before.users[name]).toMatchObject({ name });
    const { [name]: _, ...rest } = before.users;
    expect(after.users).toEqual(rest);
    expect(after.nodes).toEqual(["node-0", "node-1"]);
  });
});

describe("Ray that is off", () => {
  it("is on no node, and nobody is told of it", async () => {
    const seen = await run([alice, bob], false, { ray: { enabled: false } });
    const rays = names(seen).filter((name) => /(?<!image)-ray\b/.test(name));
    expect(rays).toEqual([]);
    const prepared = seen.find(({ name }) => name === "berth-workspace-alice-prepare");
    expect(JSON.stringify(prepared?.inputs.stdin)).toContain("jupyterToken");
    expect(JSON.stringify(prepared?.inputs.stdin)).not.toMatch(/rayToken|30001/);
    for (const { name, inputs } of seen.filter((one) => one.name.endsWith("-host-firewall")))
      expect(String(inputs.create), name).not.toMatch(/\b(6379|30001|31000)\b/);
  });
});

describe("the services of a workspace that a browser opens", () => {
  const ports = (seen: Seen[], user: string) => {
    const found = of(seen, "docker:index/container:Container").find(
      ({ name }) => name === `berth-workspace-${user}`,
    );
    const published = (found?.inputs.ports ?? []) as { internal: number; external: number; ip: string }[];
    return published.map(({ internal, external, ip }) => `${ip}:${external} ${internal}`);
  };

  it("are not published: a node's address is every neighbour's too", async () => {
    const seen = await run([alice, bob], false);
    expect(ports(seen, "alice")).toEqual(["10.88.0.10:10022 22"]);
    expect(ports(seen, "bob")).toEqual(["10.88.0.11:10122 22"]);
  });

  it("are at the node's address where the stack says so, and on loopback again where it no longer does", async () => {
    const published = { workspaces: { services: "published-insecure" } };
    expect(ports(await run([alice, bob], false, published), "bob")).toEqual([
      "10.88.0.11:10122 22",
      "10.88.0.11:10102 10102",
      "10.88.0.11:10103 10103",
      "10.88.0.11:10104 10104",
    ]);
    const back = { workspaces: { services: "loopback" } };
    expect(ports(await run([alice, bob], false, back), "bob")).toEqual(["10.88.0.11:10122 22"]);
  });
});

describe("users", () => {
  it("that are stopped keep their container, that are removed leave nothing but what purges them", async () => {
    const seen = await run(
      [
        { ...alice, state: "stopped" },
        { ...bob, state: "removed" },
      ],
      false,
    );
    const container = seen.find((r) => r.name === "berth-workspace-alice" && r.type.startsWith("docker:"));
    expect(container?.inputs).toMatchObject({ mustRun: false, restart: "no" });
    const power = seen.find((r) => r.name === "berth-workspace-alice-power");
    expect(power?.inputs.create).toContain("docker container stop");
    expect(names(seen).filter((name) => name.includes("workspace-bob"))).toEqual([
      "berth:workspace:Workspace berth-workspace-bob",
    ]);
    const purged = await run([alice, { ...bob, state: "removed", purge: true }], false);
    expect(names(purged).filter((name) => name.includes("workspace-bob"))).toEqual([
      "berth:workspace:Workspace berth-workspace-bob",
      "command:remote:Command berth-workspace-bob-purge",
    ]);
  });

  it("gain no rights where they have no sudo", async () => {
    const seen = await run([alice, { ...bob, sudo: false }], false);
    const options = (user: string) =>
      of(seen, "docker:index/container:Container").find(({ name }) => name === `berth-workspace-${user}`)
        ?.inputs.securityOpts;
    expect([options("alice"), options("bob")]).toEqual([undefined, ["no-new-privileges:true"]]);
  });

  it("get no set-up where dockerFirst is off", async () => {
    const withSetup = { ...alice, setup: { aptPackages: ["jq"] } };
    expect(names(await run([withSetup], false)).join()).toContain("berth-workspace-alice-setup");
    expect(names(await run([withSetup], false, { dockerFirst: false })).join()).not.toContain("-setup");
  });

  it("get credentials by standard input alone", async () => {
    const seen = await run([{ ...alice, setup: { credentials: { TOKEN: "hunter2-hunter2" } } }], false);
    const setup = seen.find((r) => r.name === "berth-workspace-alice-setup");
    expect(JSON.stringify(setup?.inputs.stdin)).toContain("hunter2-hunter2");
    const others = JSON.stringify(seen.map(({ inputs: { stdin: _, ...rest } }) => rest));
    expect(others).not.toContain("hunter2-hunter2");
  });
});
