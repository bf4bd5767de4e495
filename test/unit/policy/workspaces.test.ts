/**
 * The rule of the policy pack about what people are given: folders, capabilities and namespaces of their containers.
 * Proves: what Berth's own program makes passes, as the program makes it; each way out of a person's own folders and
 * rights is reported, with where it is and how to mend it; what only an update will know is no breach.
 */
import { describe, expect, it } from "vitest";
import { peoplesFolders } from "../../../components/host/storage";
import { factsOf } from "../../../policy/facts";
import { containers, UNKNOWN, type Value, workspaces } from "../../../policy/rules";
import { localStack, of, runCluster } from "../components/cluster-recorder";
import { metal, metalStack } from "../config/helpers";
import { check, facts, type Inputs, labels, NO_NEW_RIGHTS, workspace } from "./helpers";

const CONTAINER = "docker:index/container:Container";
const bind = (source: Value, more: Inputs = {}): Inputs => ({
  mounts: [{ type: "bind", source, target: "/x", ...more }],
});
const judge = (change: Inputs, known = facts) =>
  check(workspaces, CONTAINER, { ...workspace, ...change }, known);

describe("what the program itself makes", () => {
  const people = (first: string, second: string) => [
    { name: "alice", node: first, index: 0 },
    { name: "bob", node: second, index: 1, sudo: false },
  ];
  it.each<[string, Record<string, unknown>]>([
    ["local nodes", localStack(people("node-0", "node-1"))],
    [
      "servers whose homes are bound from elsewhere",
      {
        ...metalStack,
        nodes: [metal(0, { storage: { bind: { homes: "/data/homes" } } }), metal(1)],
        users: people("metal-0", "metal-1"),
      },
    ],
  ])("passes, on %s", async (_, config) => {
    const raw = Object.fromEntries(
      Object.entries(config).map(([key, value]) => [`berth:${key}`, JSON.stringify(value)]),
    );
    const known = factsOf("dev", raw);
    const made = of(await runCluster(config, false), CONTAINER);
    expect(made.length).toBeGreaterThan(4);
    for (const { name, inputs } of made) {
      const props = JSON.parse(JSON.stringify(inputs)) as Inputs;
      expect(check(workspaces, CONTAINER, props, known), name).toEqual([]);
      expect(check(containers, CONTAINER, props, known), name).toEqual([]);
    }
    // Nobody who has no sudo is let off.
    const without = made.find(({ name }) => name.endsWith("workspace-bob"))?.inputs as Inputs;
    expect(check(containers, CONTAINER, { ...without, securityOpts: [] }, known)).toHaveLength(1);
  });
});

describe("a person's container", () => {
  it.each<[string, Inputs]>([
    ["its own home", bind("/mnt/storage/homes/alice")],
    ["its own home by a detour", bind("/mnt/storage/homes/bob/..//alice/")],
    ["its own scratch space", bind("/mnt/storage/workspaces/alice")],
    ["its own state", bind("/mnt/storage/docker-volumes/alice-state")],
    ["what is shared", bind("/mnt/storage/shared")],
    ["a folder of what is shared", bind("/mnt/storage/shared/datasets")],
    ["its own logs", bind("/mnt/storage/shared/tensorboard/alice")],
    ["its own home as a volume", { volumes: [{ hostPath: "/mnt/storage/homes/alice" }] }],
    ["Berth's programs, read-only", bind("/usr/local/lib/berth/agent", { readOnly: true })],
    ["its own socket, read-only", bind("/run/berth/users/alice", { readOnly: true })],
    ["its own secrets, read-only", bind("/var/lib/berth/workspaces/alice", { readOnly: true })],
    ["a temporary file system", { tmpfs: { "/tmp": "exec,nosuid,nodev" }, mounts: [{ type: "tmpfs" }] }],
    ["a source that only an update will know", bind(UNKNOWN)],
    ["mounts and volumes that only an update will know", { mounts: UNKNOWN, volumes: UNKNOWN }],
    [
      "modes and capabilities that only an update will know",
      { cgroupnsMode: UNKNOWN, capabilities: UNKNOWN, cgroupParent: UNKNOWN },
    ],
    ["drops that only an update will know", { capabilities: { drops: [UNKNOWN] } }],
    ["a private propagation", bind("/mnt/storage/shared", { bindOptions: { propagation: "rprivate" } })],
  ])("may have %s", (_, change) => {
    expect(judge(change)).toEqual([]);
  });

  it.each<[string, Inputs, string]>([
    ["everybody's homes", bind("/mnt/storage/homes"), "mounts[0].source is /mnt/storage/homes,"],
    ["another one's home", bind("/mnt/storage/homes/bob"), "neither alice's own folder nor shared"],
    ["a name that begins alike", bind("/mnt/storage/homes/alice2"), "neither alice's"],
    ["another one's state", bind("/mnt/storage/docker-volumes/alice-b-state"), "neither alice's"],
    [
      "what lies below its own, which may be a link",
      bind("/mnt/storage/homes/alice/link"),
      "neither alice's",
    ],
    ["another one's logs", bind("/mnt/storage/shared/tensorboard/bob"), "neither alice's"],
    ["the whole tree", bind("/mnt/storage"), "neither alice's"],
    ["a way out of its home", bind("/mnt/storage/homes/alice/../../../../opt"), "is /opt,"],
    ["a folder that nothing guards", bind("/srv/data", { readOnly: true }), "storage.bind"],
    ["the same as a volume", { volumes: [{ hostPath: "/srv/data" }] }, "volumes[0].hostPath is /srv/data"],
    ["Berth's programs to write to", bind("/usr/local/lib/berth/agent"), "readOnly: true"],
    ["its secrets to write to", bind("/var/lib/berth/workspaces/alice"), "readOnly: true"],
    ["another one's secrets", bind("/var/lib/berth/workspaces/bob", { readOnly: true }), "neither alice's"],
    ["everybody's sockets", bind("/run/berth/users", { readOnly: true }), "neither alice's"],
    ["a volume of Docker", { mounts: [{ type: "volume", source: "x" }] }, "mounts[0] is of type volume"],
    ["a volume by its name", { volumes: [{ volumeName: "x" }] }, "volumes[0] is a volume of Docker"],
    ["another container's volumes", { volumes: [{ fromContainer: "x" }] }, "volumes[0] is a volume"],
    [
      "a volume beside its own home",
      { volumes: [{ volumeName: "x", hostPath: "/mnt/storage/homes/alice" }] },
      "volumes[0] is a volume",
    ],
    [
      "another container's beside its own home",
      { volumes: [{ fromContainer: "x", hostPath: "/mnt/storage/homes/alice" }] },
      "volumes[0] is a volume",
    ],
    ["a nameless volume", { volumes: [{ containerPath: "/x" }] }, "volumes[0] is a volume"],
    ["setuid programs in memory", { tmpfs: { "/x": "exec,suid" } }, 'tmpfs["/x"] has the option suid'],
    ["devices in memory", { tmpfs: { "/x": "dev" } }, "option dev"],
    [
      "what is mounted later",
      bind("/mnt/storage/shared", { bindOptions: { propagation: "rslave" } }),
      "propagation is rslave",
    ],
    ["Docker's own capabilities", { capabilities: { adds: [] } }, 'drops lacks "ALL"'],
    ["no word about capabilities", { capabilities: null }, 'drops lacks "ALL"'],
    ["MKNOD", { capabilities: { adds: ["MKNOD"], drops: ["ALL"] } }, "capability MKNOD"],
    ["cap_net_raw", { capabilities: { adds: ["cap_net_raw"], drops: ["ALL"] } }, "capability cap_net_raw"],
    ["the engine's own cgroup namespace", { cgroupnsMode: null }, 'cgroupnsMode is not "private"'],
    ["the host's", { cgroupnsMode: "host" }, 'cgroupnsMode is not "private"'],
    ["no slice", { cgroupParent: null }, 'say "/berth.slice/berth-GROUP.slice/berth-GROUP-alice.slice"'],
    ["the engine's slice", { cgroupParent: "/system.slice" }, "alice's totals do not hold"],
    ["a neighbour's slice", { cgroupParent: "berth-default-bob.slice" }, "alice's totals do not hold"],
    [
      "a slice of that name elsewhere",
      { cgroupParent: "/system.slice/berth-default-alice.slice" },
      "alice's totals do not hold",
    ],
    ["another container's processes", { pidMode: "container:x" }, 'pidMode: "container:x"'],
    ["another container's network", { networkMode: "container:x" }, 'networkMode: "container:x"'],
    ["another container's memory", { ipcMode: "container:x" }, 'ipcMode: "container:x"'],
    ["memory that others may have", { ipcMode: "shareable" }, 'ipcMode: "shareable"'],
    ["a node that nobody knows", { labels: labels("workspace", "alice", "prod", "node-9") }, "berth.node"],
    ["a node of JavaScript's", { labels: labels("workspace", "alice", "prod", "toString") }, "berth.node"],
    ["an owner that is a path", { labels: labels("workspace", ".") }, "berth.owner is no name"],
    ["no owner", { labels: labels("workspace", "") }, "berth.owner is no name"],
  ])("may not have %s", (_, change, expected) => {
    const found = judge(change);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });

  it("may have what configuration binds, by both paths, on that node alone", () => {
    const known = { ...facts, folders: { "node-0": peoplesFolders({ bind: { homes: "/data/homes" } }) } };
    expect(judge(bind("/data/homes/alice"), known)).toEqual([]);
    expect(judge(bind("/mnt/storage/homes/alice"), known)).toEqual([]);
    expect(judge(bind("/data/homes/bob"), known)).toHaveLength(1);
    expect(judge(bind("/data/homes/alice"))).toHaveLength(1);
  });

  it.each(["workspace", "job", "ray", "node", "registry"])(
    "is one by its owner, as component %s too",
    (name) => {
      expect(judge({ labels: labels(name, "alice"), ...bind("/srv") })).toHaveLength(1);
    },
  );

  it.each(["ray", "node", "registry"])("is none of the system's: %s", (name) => {
    const change: Inputs = { ...NO_NEW_RIGHTS, labels: labels(name), ...bind("/srv"), capabilities: null };
    expect(judge(change)).toEqual([]);
  });
});
