/** Droplets and servers in the program, against a recording engine: what they are asked, and what stands on them. */
import { beforeAll, describe, expect, it } from "vitest";
import { nodeHostKey, ownHostKey } from "../../../components/secrets";
import { names, of, runCluster, SEED, type Seen } from "./cluster-recorder";

const DROPLET = "digitalocean:index/droplet:Droplet";
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p";

const droplet = (n: number, role: string, more: object = {}) => ({
  kind: "digitalocean",
  name: `drop-${n}`,
  role,
  size: "s-2vcpu-4gb",
  cpus: 2,
  memory: "4GiB",
  ...more,
});
const server = (n: number, role: string, more: object = {}) => ({
  kind: "baremetal",
  name: `metal-${n}`,
  role,
  address: `192.0.2.${100 + n}:10.20.0.${100 + n}`,
  hostKey: HOST_KEY,
  cpus: 8,
  memory: "32GiB",
  ...more,
});
const alice = { name: "alice", node: "drop-0", index: 0 };
const cloud = (more: Record<string, unknown> = {}) => ({
  nodes: [
    droplet(0, "head", {
      volumes: [{ name: "data", size: "10GiB", mount: "/mnt/storage" }],
      reservedIp: true,
    }),
    droplet(1, "worker", { ipv6: true }),
  ],
  users: [alice],
  digitalocean: {
    region: "fra1",
    project: "cluster",
    allowSshFrom: ["198.51.100.0/24"],
    domain: "example.com",
  },
  ...more,
});

describe.each([
  ["an update", false],
  ["a preview", true],
])("a stack of droplets in %s", (_, preview) => {
  let seen: Seen[];
  beforeAll(async () => {
    seen = await runCluster(cloud(), preview);
  });

  it("has exactly these resources", () => {
    expect(names(seen)).toMatchSnapshot();
  });

  it("uses nothing of the operator's own engine but to build images", () => {
    expect(names(seen)).not.toContain("pulumi:providers:docker berth-engine");
    expect(names(seen)).not.toContain("docker:index/network:Network berth-network");
  });

  it("hides the user data, which holds the host key", () => {
    for (const { inputs } of of(seen, DROPLET)) {
      const text = JSON.stringify(inputs.userData ?? null);
      // The recorder sees secrets as the engine does: wrapped in their mark.
      if (text !== "null") expect(text).toContain("4dabf18193072939515e22adb298388d");
    }
  });

  it("opens the cloud firewall for the plan's ports, and nothing to the world", () => {
    const [firewall] = of(seen, "digitalocean:index/firewall:Firewall");
    const rules = firewall?.inputs.inboundRules as { portRange: string; sourceAddresses: string[] }[];
    expect(rules).toMatchSnapshot();
    expect(JSON.stringify(rules)).not.toMatch(/0\.0\.0\.0\/0|::\/0/);
  });
});

describe("a droplet", () => {
  let seen: Seen[];
  beforeAll(async () => {
    seen = await runCluster(cloud(), false);
  });

  it("gets an SSH key, the firewall's tag, and no user data of another's", () => {
    const droplets = of(seen, DROPLET);
    expect(droplets.map(({ name }) => name)).toEqual(["berth-drop-0", "berth-drop-1"]);
    for (const { inputs, name } of droplets) {
      expect(inputs.sshKeys, name).toEqual(["1001"]);
      expect(inputs.tags, name).toContain("berth-dev");
      expect(JSON.stringify(inputs.userData), name).toContain(name.replace("berth-", ""));
    }
  });

  it("gets a host key that its user data does not hold, and every connection but the first asks for that", () => {
    for (const node of ["drop-0", "drop-1"]) {
      const [made, own] = [nodeHostKey(SEED, node), ownHostKey(SEED, node)];
      const line = (key: { privateKey: string }) => key.privateKey.split("\n")[3] ?? "?";
      const userData = JSON.stringify(of(seen, DROPLET).find(({ name }) => name === `berth-${node}`)?.inputs);
      expect(userData).toContain(line(made));
      expect(userData).not.toContain(line(own));
      const given = seen.find(({ name }) => name === `berth-${node}-host-key`);
      expect(given?.inputs).toMatchObject({
        create: "node scripts/host-key.mjs # machine 1001",
        addPreviousOutputInEnv: true,
        logging: "none",
      });
      const stdin = given?.inputs.stdin as { value?: string } | string | undefined;
      // As the engine gets a secret.
      expect(JSON.stringify(stdin)).toContain("4dabf18193072939515e22adb298388d");
      const job = JSON.parse((typeof stdin === "string" ? stdin : stdin?.value) ?? "{}");
      expect(job).toMatchObject({
        ...{ node, machine: "1001", port: 22, user: "root", made: made.publicKey, own: own.publicKey },
        ...{
          host: node === "drop-0" ? "203.0.113.9" : "192.0.2.11",
          secrets: { privateKey: own.privateKey },
        },
      });
      const commands = of(seen, "command:remote:Command").filter(({ name }) =>
        name.startsWith(`berth-${node}`),
      );
      expect(commands.length).toBeGreaterThan(5);
      for (const { inputs, name } of commands) {
        const connection = JSON.stringify(inputs.connection);
        expect(connection, name).toContain(own.publicKey);
        expect(connection, name).not.toContain(made.publicKey);
      }
    }
  });

  it("finds its volumes by the serial that DigitalOcean gives them", () => {
    const storage = seen.find(({ name }) => name === "berth-drop-0-host-storage");
    expect(String(storage?.inputs.create)).toContain("serial 0DO_Volume_berth-dev-data");
    const other = seen.find(({ name }) => name === "berth-drop-1-host-storage");
    expect(String(other?.inputs.create)).not.toContain("serial 0DO_Volume_berth-dev-data");
  });

  it("takes nothing along when another one comes", async () => {
    const base = cloud();
    const two = await runCluster({ ...base, nodes: [...base.nodes, droplet(2, "worker")] }, false);
    const byName = new Map(two.map((r) => [`${r.type} ${r.name}`, JSON.stringify(r.inputs)]));
    const changed = seen.filter((r) => byName.get(`${r.type} ${r.name}`) !== JSON.stringify(r.inputs));
    expect(changed.map(({ name }) => name)).toEqual([]);
  });
});

describe("workspaces", () => {
  const ports = (seen: Seen[]) =>
    of(seen, "docker:index/container:Container")
      .filter(({ name }) => name === "berth-workspace-alice")
      .flatMap(({ inputs }) => (inputs.ports as { ip: string }[]).map(({ ip }) => ip));

  it("listen on the private address unless the stack says otherwise", async () => {
    expect(new Set(ports(await runCluster(cloud(), false)))).toEqual(new Set(["10.110.0.10"]));
  });

  it("listen on the public one where it does", async () => {
    const nodes = [droplet(0, "head")];
    const seen = await runCluster(cloud({ nodes, workspaces: { address: "public" } }), false);
    expect(new Set(ports(seen))).toEqual(new Set(["192.0.2.10"]));
  });
});

describe("a stack of servers", () => {
  const metal = (more: Record<string, unknown> = {}) => ({
    nodes: [
      server(0, "head", {
        storage: { nfs: { server: { exports: [{ path: "/data/shared", to: ["10.20.0.0/24"] }] } } },
      }),
      server(1, "worker", {
        storage: { nfs: { mounts: [{ from: "metal-0:/data/shared", mount: "/mnt/storage/shared" }] } },
      }),
    ],
    users: [{ ...alice, node: "metal-0", quota: { soft: "10GiB", hard: "12GiB" } }],
    firewall: { allowSsh: ["198.51.100.0/24"] },
    ...more,
  });
  let seen: Seen[];
  beforeAll(async () => {
    seen = await runCluster(metal(), false);
  });

  it("has exactly these resources", () => {
    expect(names(seen)).toMatchSnapshot();
  });

  it("connects to no server without its host key", () => {
    const commands = of(seen, "command:remote:Command");
    expect(commands.length).toBeGreaterThan(10);
    for (const { inputs, name } of commands)
      expect(JSON.stringify(inputs.connection), name).toContain(HOST_KEY);
  });

  it("mounts from a node by the node's name, and opens NFS there to the clients alone", () => {
    const script = (name: string) => String(seen.find((r) => r.name === name)?.inputs.create);
    expect(script("berth-metal-1-host-storage")).toContain("10.20.0.100:/data/shared");
    expect(script("berth-metal-0-host-firewall")).toContain("from 10.20.0.0/24 to any port 2049");
    expect(script("berth-metal-1-host-firewall")).not.toContain("to any port 2049");
  });

  it("limits the homes that have a quota", () => {
    const storage = seen.find((r) => r.name === "berth-metal-0-host-storage");
    expect(String(storage?.inputs.create)).toContain("alice");
  });

  it("takes away what Berth put on a server that leaves", () => {
    const adoption = seen.find((r) => r.name === "berth-metal-0-adoption");
    expect(String(adoption?.inputs.delete)).toContain("retire");
  });
});

describe("what cannot be used together is refused", () => {
  const refused = (config: Record<string, unknown>) => runCluster(config, false).then(() => "", String);

  it("workspaces on an address that DigitalOcean keeps outside the droplet", async () => {
    expect(await refused(cloud({ workspaces: { address: "public" } }))).toContain("nodes[0].reservedIp");
  });

  it("nodes that wait for each other's file systems, and one that waits for itself", async () => {
    const mounts = (from: string) => ({
      storage: { nfs: { mounts: [{ from: `${from}:/data`, mount: "/mnt/storage/a" }] } },
    });
    const stack = (a: object, b: object) => ({
      nodes: [server(0, "head", a), server(1, "worker", b)],
      firewall: { allowSsh: ["198.51.100.0/24"] },
    });
    const both = await refused(stack(mounts("metal-1"), mounts("metal-0")));
    expect(both).toContain('lead back to "metal-0"');
    expect(both).toContain('lead back to "metal-1"');
    expect(await refused(stack(mounts("metal-0"), {}))).toContain('lead back to "metal-0"');
    expect(await refused(stack({}, mounts("metal-0")))).toBe("");
  });
});
