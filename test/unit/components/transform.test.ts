/**
 * The escape hatch. Proves: a transform reaches each child that the components name, by the child's own name, and changes what the
 * engine is asked for; the list options of a component cannot be lost by it; what identifies a child cannot be changed, and a
 * typo does not compile; the policy pack judges what comes out.
 */
import type * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import { describe, expect, it } from "vitest";
import type { ClusterTransform } from "../../../components/cluster-transform";
import { type Transform, transformed } from "../../../components/transform";
import { factsOf } from "../../../policy/facts";
import { resourceRules, type Value } from "../../../policy/rules";
import { localStack, runCluster, type Seen } from "./cluster-recorder";

const local = localStack([
  { name: "alice", node: "node-0", index: 0, sudo: false },
  { name: "bob", node: "node-1", index: 1, sudo: false },
]);

const cloud = {
  nodes: [
    {
      ...{ kind: "digitalocean", name: "drop-0", role: "head", size: "s-2vcpu-4gb", cpus: 2, memory: "4GiB" },
      ...{ volumes: [{ name: "data", size: "10GiB", mount: "/mnt/storage" }], reservedIp: true },
    },
  ],
  users: [],
  digitalocean: {
    ...{ region: "fra1", project: "cluster", domain: "example.com" },
    allowSshFrom: ["198.51.100.0/24"],
  },
};

/** Stands in an input that the engine keeps as it is given. */
const MARK = "put here by the transform";

describe("a transform", () => {
  const named = { args: { hostname: MARK } };
  const noted = { args: { driverOpts: { note: MARK } } };
  const described = { args: { description: MARK } };
  const CONTAINER = "docker:index/container:Container";
  const VOLUME = "docker:index/volume:Volume";
  it.each<[string, Record<string, unknown>, ClusterTransform, string[]]>([
    [
      "a local node's container",
      local,
      { localNode: { container: () => named } },
      [`${CONTAINER} berth-node-0`, `${CONTAINER} berth-node-1`],
    ],
    [
      "a local node's volumes",
      local,
      { localNode: { volume: (_args, _opts, name) => (name === "berth-node-1-storage" ? noted : {}) } },
      [`${VOLUME} berth-node-1-storage`],
    ],
    [
      "the registry's container",
      local,
      { registry: { container: () => named } },
      [`${CONTAINER} berth-registry`],
    ],
    [
      "the registry's volume",
      local,
      { registry: { volume: () => noted } },
      [`${VOLUME} berth-registry-data`],
    ],
    [
      "Ray's containers",
      local,
      { rayNode: { container: () => named } },
      [`${CONTAINER} berth-node-0-ray`, `${CONTAINER} berth-node-1-ray`],
    ],
    [
      "one person's workspace",
      local,
      { workspace: { container: (_args, _opts, name) => (name === "berth-workspace-bob" ? named : {}) } },
      [`${CONTAINER} berth-workspace-bob`],
    ],
    [
      "the droplets' network",
      cloud,
      { account: { vpc: () => ({ args: { ipRange: MARK } }) } },
      ["digitalocean:index/vpc:Vpc berth-digitalocean-vpc"],
    ],
    [
      "the cloud firewall",
      cloud,
      {
        account: {
          firewall: () => ({ args: { outboundRules: [{ protocol: "tcp", destinationAddresses: [MARK] }] } }),
        },
      },
      ["digitalocean:index/firewall:Firewall berth-digitalocean-firewall"],
    ],
    [
      "the project",
      cloud,
      { account: { project: () => ({ args: { purpose: MARK } }) } },
      ["digitalocean:index/project:Project berth-digitalocean-project"],
    ],
    [
      "a droplet",
      cloud,
      { dropletNode: { droplet: () => ({ args: { image: MARK } }) } },
      ["digitalocean:index/droplet:Droplet berth-drop-0"],
    ],
    [
      "a droplet's volume",
      cloud,
      { dropletNode: { volume: () => described } },
      ["digitalocean:index/volume:Volume berth-drop-0-volume-data"],
    ],
    [
      "a reserved IP",
      cloud,
      { dropletNode: { reservedIp: () => ({ args: { region: MARK } }) } },
      ["digitalocean:index/reservedIp:ReservedIp berth-drop-0-reserved-ip"],
    ],
    [
      "DNS records",
      cloud,
      { dropletNode: { record: () => ({ args: { value: MARK } }) } },
      ["a", "a-wildcard"].map((role) => `digitalocean:index/dnsRecord:DnsRecord berth-drop-0-record-${role}`),
    ],
  ])("changes %s, and nothing else", async (_, config, transform, changed) => {
    const text = (seen: Seen[]) =>
      seen.map(({ type, name, inputs }) => `${type} ${name} ${JSON.stringify(inputs)}`).sort();
    const before = text(await runCluster(config, false));
    const after = text(await runCluster(config, false, transform));
    const other = after.filter((line) => !before.includes(line));
    expect(other.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(changed);
    for (const line of other) expect(line).toContain(MARK);
    expect(after).toHaveLength(before.length);
  });

  it("is told what the component would register", () => {
    const told: unknown[] = [];
    transformed(
      (...given) => {
        told.push(...given);
        return {};
      },
      "berth-thing",
      { image: "sha256:abc" },
      { protect: true },
    );
    expect(told).toEqual([{ image: "sha256:abc" }, { protect: true }, "berth-thing"]);
  });

  it("adds to the lists of a component's options and replaces the others", () => {
    const own: pulumi.CustomResourceOptions = {
      ...{ protect: true, additionalSecretOutputs: ["uploads"], ignoreChanges: ["userData"] },
    };
    const [name, args, opts] = transformed(
      () => ({ opts: { protect: false, additionalSecretOutputs: ["logs"], ignoreChanges: ["labels"] } }),
      "berth-thing",
      { memory: 512 },
      own,
    );
    expect(name).toBe("berth-thing");
    expect(args).toEqual({ memory: 512 });
    expect(opts).toEqual({
      protect: false,
      additionalSecretOutputs: ["uploads", "logs"],
      ignoreChanges: ["userData", "labels"],
    });
    expect(own.additionalSecretOutputs).toEqual(["uploads"]);
  });

  it("fails the type check (tsc, not this run) with a name that is none, and for what identifies the resource", () => {
    const wrong: ClusterTransform[] = [
      // @ts-expect-error: no such component
      { workspaces: {} },
      // @ts-expect-error: no such child
      { workspace: { contianer: () => ({}) } },
      // @ts-expect-error: no such input
      { workspace: { container: () => ({ args: { memmory: 1024 } }) } },
      // @ts-expect-error: the scripts find the container by it
      { workspace: { container: () => ({ args: { name: "alice" } }) } },
      // @ts-expect-error: the policy pack would take it for another kind of container
      { workspace: { container: () => ({ args: { labels: [] } }) } },
      // @ts-expect-error: the state finds the resource by it
      { workspace: { container: () => ({ opts: { parent: undefined } }) } },
      // @ts-expect-error: a forgotten return
      { registry: { container: () => {} } },
    ];
    expect(wrong).toHaveLength(7);
  });

  // Pulumi runs a program without looking at its types.
  it("is refused by its name before anything is registered", async () => {
    const transform: object = {
      ...{ workspaces: {}, workspace: null, registry: { container: {} } },
      dropletNode: { volumes: () => ({}) },
    };
    await expect(runCluster(local, false, transform as ClusterTransform)).rejects.toThrow(
      "transform.workspaces is nothing that can be changed; " +
        "allowed: account, dropletNode, localNode, registry, rayNode, workspace\n" +
        "transform.registry.container is no function; allowed: (args, opts, name) => ({ … })\n" +
        "transform.dropletNode.volumes is nothing that can be changed; allowed: droplet, volume, reservedIp, record",
    );
  });

  it.each<[string, unknown, string]>([
    [
      "another name",
      { args: { name: "mine" } },
      "changes name, by which the resource is found: leave it out",
    ],
    ["other labels", { args: { labels: [] } }, "changes labels, by which"],
    ["another parent", { opts: { parent: undefined, provider: undefined } }, "changes parent, by which"],
    ["nothing", undefined, "returns nothing: return {} where it is to change nothing"],
  ])("is refused where it gives %s", (_, changed, message) => {
    const parent = {} as pulumi.Resource;
    const volume = { name: "berth-dev-registry", labels: [{ label: "berth.owner", value: "system" }] };
    const transform = (() => changed) as Transform<docker.VolumeArgs>;
    expect(() => transformed(transform, "berth-registry-data", volume, { parent })).toThrow(
      `the transform of berth-registry-data ${message}`,
    );
  });

  it("may hand back the inputs that it got", () => {
    const args = { name: "berth-dev-registry", labels: [], memory: 512 };
    const [, after] = transformed<docker.VolumeArgs & { memory: number }>(
      (own) => ({ args: { ...own, memory: 1024 } }),
      "berth-registry",
      args,
      {},
    );
    expect(after).toEqual({ ...args, memory: 1024 });
  });
});

describe("the policy pack", () => {
  const facts = factsOf(
    "dev",
    Object.fromEntries(Object.entries(local).map(([key, value]) => [`berth:${key}`, JSON.stringify(value)])),
  );
  const judged = async (transform: ClusterTransform) => {
    const seen = await runCluster(local, false, transform);
    return seen.flatMap(({ type, name, inputs }) =>
      resourceRules.flatMap((rule) =>
        rule
          .check({ type, urn: name, protect: false, props: inputs as Record<string, Value> }, facts)
          .map((said) => `${name}: ${rule.name}: ${said}`),
      ),
    );
  };

  it("has nothing against a transform that takes no right", async () => {
    const container: Transform<docker.ContainerArgs> = () => ({ args: { memory: 1024, memorySwap: 1024 } });
    expect(
      await judged({ registry: { container }, workspace: { container }, rayNode: { container } }),
    ).toEqual([]);
  });

  it.each<[string, Partial<docker.ContainerArgs>, string]>([
    ["privileged", { privileged: true }, "containers-limited-and-labelled: privileged"],
    [
      "another capability",
      { capabilities: { drops: ["ALL"], adds: ["CAP_SYS_ADMIN"] } },
      "people-stay-in-their-own: capability CAP_SYS_ADMIN",
    ],
    [
      "the engine's socket",
      { mounts: [{ type: "bind", source: "/var/run/docker.sock", target: "/var/run/docker.sock" }] },
      "containers-limited-and-labelled: mounts[0]",
    ],
    [
      "a port on every address",
      { ports: [{ internal: 22, external: 10_022 }] },
      "no-port-outside-the-plan: ports[0]",
    ],
    ["no limit of memory", { memory: undefined }, "containers-limited-and-labelled: memory is not set"],
    [
      "setuid programs that gain rights",
      { securityOpts: [] },
      "containers-limited-and-labelled: securityOpts lacks",
    ],
  ])("refuses a workspace that a transform gives: %s", async (_, args, said) => {
    const found = await judged({ workspace: { container: () => ({ args }) } });
    expect(
      found.filter((line) => line.startsWith("berth-workspace-alice: ") && line.includes(said)),
    ).toHaveLength(1);
    expect(found.filter((line) => !line.startsWith("berth-workspace-"))).toEqual([]);
  });
});
