/**
 * GPUs in the whole program: who is asked what, and what a workspace gets of it.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { STUB } from "../../../../components/gpu/stub";
import type { Assignment } from "../../../../core/gpu";
import { localStack, of, runCluster, type Seen } from "../cluster-recorder";

const POOL = "pulumi-nodejs:dynamic/berth:GpuPool";
const slice = { kind: "mig", profile: "1g.10gb" };
const alice = { name: "alice", node: "node-0", index: 0, gpu: slice };
const bob = { name: "bob", node: "node-1", index: 1, gpu: slice };
const carol = { name: "carol", node: "node-1", index: 2 };

/** Two nodes, each with one GPU cut in three. */
function stack(users: object[], more: Record<string, unknown> = {}): Record<string, unknown> {
  const config = localStack(users, more) as { nodes: object[] };
  const gpus = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB", mig: { "1g.10gb": 3 } }];
  return { ...config, nodes: config.nodes.map((node) => ({ ...node, gpus })) };
}

const pools = (seen: Seen[]) => of(seen, POOL);
const grants = (seen: Seen[]) =>
  Object.assign({}, ...pools(seen).map(({ inputs }) => inputs.assignment)) as Assignment;
const uuidsOf = (seen: Seen[], key: string) => (grants(seen)[key] ?? []).map(({ uuid }) => uuid);
function workspace(seen: Seen[], user: string) {
  const found = of(seen, "docker:index/container:Container").find(
    ({ name }) => name === `berth-workspace-${user}`,
  );
  if (!found) throw new Error(`${user} has no workspace`);
  const inputs = found.inputs as {
    envs: string[];
    labels: { label: string; value: string }[];
    deviceRequests?: unknown;
    devices?: unknown;
    gpus?: unknown;
    runtime?: unknown;
  };
  return { ...inputs, label: (name: string) => inputs.labels.find(({ label }) => label === name)?.value };
}

describe.each([
  ["an update", false],
  ["a preview", true],
])("in %s", (_, preview) => {
  /** With alice, bob and carol. */
  let seen: Seen[];
  /** Without alice. */
  let withoutAlice: Seen[];
  beforeAll(async () => {
    seen = await runCluster(stack([alice, bob, carol]), preview);
    withoutAlice = await runCluster(stack([bob, carol]), preview);
  });

  it("each node that grants something has one pool, with what is asked for there", () => {
    expect(pools(seen).map(({ name }) => name)).toEqual(["berth-node-0-gpus", "berth-node-1-gpus"]);
    const [zero, one] = pools(seen).map(({ inputs }) => inputs);
    expect(zero).toMatchObject({
      node: "node-0",
      target: "root@10.88.0.10:22",
      declared: { "workspace/alice": { user: "alice", ask: { ...slice, count: 1 } } },
      strategy: "least-allocated",
      allowShared: false,
    });
    expect(Object.keys(one?.declared as object)).toEqual(["workspace/bob"]);
    expect(Object.keys(grants(seen)).sort()).toEqual(["workspace/alice", "workspace/bob"]);
  });

  it("a workspace gets its devices by UUID, is labelled with them, and never sees others", () => {
    const [uuid = "none"] = uuidsOf(seen, "workspace/bob");
    const bobs = workspace(seen, "bob");
    expect(bobs.deviceRequests).toEqual([{ driver: "cdi", deviceIds: [`nvidia.com/gpu=${uuid}`] }]);
    expect(bobs.label("berth.grant")).toBe("workspace/bob");
    expect(bobs.label("berth.gpus")).toBe(uuid);
    expect(bobs.labels.map(({ label }) => label)).toEqual(bobs.labels.map(({ label }) => label).sort());
    expect(uuidsOf(seen, "workspace/alice")).not.toContain(uuid);
    for (const user of ["alice", "bob", "carol"]) {
      const { envs, devices, gpus, runtime } = workspace(seen, user);
      expect(envs.filter((one) => one.startsWith("NVIDIA_"))).toEqual(["NVIDIA_VISIBLE_DEVICES=void"]);
      expect({ devices, gpus, runtime }).toEqual({});
    }
  });

  it("a share's label says how much it is, so that the ledger can be rebuilt from containers", async () => {
    const share = (name: string, index: number, memory: string) => ({
      ...{ name, node: "node-1", index, gpu: { kind: "share", memory } },
    });
    const config = stack([alice, share("bob", 1, "20GiB"), share("carol", 2, "8GiB")], {
      gpu: { allocation: "shared" },
    }) as { nodes: { gpus: object[] }[] };
    const gpus = [{ model: "NVIDIA H100 80GB HBM3", memory: "80GiB" }];
    const seen = await runCluster(
      { ...config, nodes: config.nodes.map((node, i) => (i === 1 ? { ...node, gpus } : node)) },
      preview,
    );
    const size = (user: string) => workspace(seen, user).label("berth.gpu-memory");
    expect([size("alice"), size("bob"), size("carol")]).toEqual(["", "20480", "8192"]);
    expect(workspace(seen, "carol").label("berth.gpus")).toBe(workspace(seen, "bob").label("berth.gpus"));
  });

  it("a workspace that asks for nothing is as it would be without GPUs", async () => {
    const without = await runCluster(localStack([carol]), preview);
    expect(pools(without)).toEqual([]);
    expect(workspace(withoutAlice, "carol").labels).toEqual(workspace(without, "carol").labels);
    expect(workspace(withoutAlice, "carol").deviceRequests).toBeUndefined();
  });

  it("nobody's inputs change when somebody comes in front", async () => {
    const dave = { name: "dave", node: "node-1", index: 3, gpu: slice };
    const after = await runCluster(stack([dave, carol, bob]), preview);
    expect(Object.keys(grants(after))).toEqual(["workspace/bob", "workspace/dave"]);
    expect(pools(after)[1]?.inputs).toMatchObject({ declared: pools(withoutAlice)[1]?.inputs.declared });
    expect(workspace(after, "bob").labels).toHaveLength(7);
  });

  it("one who has left is granted nothing, one who is stopped keeps it", async () => {
    const seen = await runCluster(
      stack([
        { ...alice, state: "removed" },
        { ...bob, state: "stopped" },
      ]),
      preview,
    );
    expect(Object.keys(grants(seen))).toEqual(["workspace/bob"]);
  });

  it("the state gets the stub and nothing secret", () => {
    for (const { inputs } of pools(seen)) {
      expect(inputs.__provider).toBe(STUB);
      expect(JSON.stringify(inputs)).not.toMatch(
        /PRIVATE KEY|seed-of-the-unit-tests|4dabf18193072939515e22adb298388d/,
      );
    }
  });
});

describe("too much", () => {
  it("is refused with the rule, before anything is made", async () => {
    const limits = { groups: { student: { max_mig_instances: 1, max_gpus_per_container: 3 } } };
    const greedy = { ...alice, group: "student", gpu: { ...slice, count: 2 } };
    await expect(runCluster(stack([greedy], { limits }), true)).rejects.toThrow(
      "groups.student.max_mig_instances",
    );
  });
});

describe("Ray", () => {
  const ray = (seen: Seen[], node: string) => {
    const found = of(seen, "docker:index/container:Container").find(
      ({ name }) => name === `berth-${node}-ray`,
    );
    if (!found) throw new Error(`${node} has no Ray`);
    return found.inputs as {
      envs: string[];
      labels: { label: string; value: string }[];
      deviceRequests?: unknown;
    };
  };

  it("gets what the stack asks for it on a node, whatever the rules for people, and offers it by model and profile", async () => {
    const limits = { defaults: { max_mig_instances: 0 } };
    const config = stack([carol], { limits }) as { nodes: object[] };
    config.nodes[1] = { ...config.nodes[1], ray: { gpu: { ...slice, count: 2 } } };
    const seen = await runCluster({ ...config }, false);
    const uuids = uuidsOf(seen, "ray");
    expect(uuids).toHaveLength(2);
    const { envs, labels, deviceRequests } = ray(seen, "node-1");
    expect(deviceRequests).toEqual([
      { driver: "cdi", deviceIds: uuids.map((uuid) => `nvidia.com/gpu=${uuid}`) },
    ]);
    expect(envs).toContain(`CUDA_VISIBLE_DEVICES=${uuids.join(",")}`);
    expect(envs).toContain("NVIDIA_VISIBLE_DEVICES=void");
    expect(envs).toContain("BERTH_RAY_GPUS=2");
    expect(envs).toContain('BERTH_RAY_RESOURCES={"node_node-1":1,"gpu:H100":2,"mig:1g.10gb":2}');
    expect(labels).toContainEqual({ label: "berth.grant", value: "ray" });
    // The same name stands in the ledger, which knows the container by its owner.
    expect(labels).toContainEqual({ label: "berth.owner", value: "system" });
    expect(pools(seen)[1]?.inputs.declared).toMatchObject({ ray: { user: "system" } });

    const other = ray(seen, "node-0");
    expect(other.deviceRequests).toBeUndefined();
    expect(other.envs).toContain("BERTH_RAY_GPUS=0");
    expect(other.envs.join()).not.toContain("CUDA_VISIBLE_DEVICES");
  });
});

describe("a droplet with a driver of its own", () => {
  const config = {
    nodes: [
      {
        kind: "digitalocean",
        name: "drop-0",
        role: "head",
        size: "gpu-h100x1-80gb",
        cpus: 20,
        memory: "240GiB",
      },
    ],
    users: [{ name: "alice", node: "drop-0", index: 0, gpu: { kind: "mig", profile: "1g.10gb" } }],
    digitalocean: { region: "fra1", allowSshFrom: ["198.51.100.0/24"] },
  };

  it("leaves open in its first preview who gets what, and what hangs on it", async () => {
    const seen = await runCluster(config, true);
    expect(pools(seen).map(({ name }) => name)).toEqual(["berth-drop-0-gpus"]);
    expect(pools(seen)[0]?.inputs.assignment).toBeUndefined();
    const { deviceRequests, label, envs } = workspace(seen, "alice");
    const unknown = { __pulumiUnknown: true };
    expect(deviceRequests).toMatchObject([{ driver: "cdi", deviceIds: unknown }]);
    expect(label("berth.gpus")).toMatchObject(unknown);
    expect(label("berth.grant")).toBe("workspace/alice");
    expect(envs).toContain("NVIDIA_VISIBLE_DEVICES=void");
  });
});

describe("a node whose GPUs the stack only divides", () => {
  const mig = [{ gpu: "all", layout: "all-1g.10gb" }];
  const droplet = (name: string, role: string, more: object = {}) => ({
    ...{ kind: "digitalocean", name, role, size: "gpu-h100x1-80gb", cpus: 20, memory: "240GiB", ...more },
  });
  const config = (runtime: object) => ({
    nodes: [droplet("drop-0", "head"), droplet("drop-1", "worker", { runtime: { gpu: "off" } })],
    users: [{ name: "alice", node: "drop-0", index: 0 }],
    digitalocean: { region: "fra1", allowSshFrom: ["198.51.100.0/24"] },
    runtime,
  });

  it("has a pool, so that a preview asks who holds them; one that leaves its GPUs alone has none", async () => {
    const found = pools(await runCluster(config({ nvidia: { mig } }), true));
    expect(found.map(({ name }) => name)).toEqual(["berth-drop-0-gpus"]);
    expect(found[0]?.inputs).toMatchObject({ declared: {}, layouts: JSON.stringify(mig) });
  });

  it("has none without a layout, nor where it is a local one", async () => {
    expect(pools(await runCluster(config({ nvidia: { mig: [] } }), true))).toEqual([]);
    expect(pools(await runCluster(localStack([carol], { runtime: { nvidia: { mig } } }), true))).toEqual([]);
  });
});
