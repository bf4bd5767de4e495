/**
 * Storage, fast networks and placeholders in the configuration of real machines.
 * Proves: a part is inherited whole and fits the storage stage; mistakes are said once, where they are written;
 * placeholders pass a preview and stop an update.
 */
import { describe, expect, it } from "vitest";
import { renderStorage, type StorageOptions } from "../../../components/host/storage";
import type { LoadOptions } from "../../../config";
import { findPlaceholders, isPlaceholder } from "../../../config/placeholders";
import { mountProblem } from "../../../config/storage/check";
import { firewall, load, metal, metalStack, paths, problems } from "./helpers";

describe("storage", () => {
  const storage = {
    devices: [{ match: { serial: "S4EVNX0M" }, mount: "/data", options: ["discard"] }],
    lvm: {
      group: "berth",
      devices: [{ uuid: "6f9b1c1e-2b1f-4e43-9b43-3a8a3c1d3c55" }],
      volumes: [{ name: "homes", size: "50%", filesystem: "xfs", mount: "/mnt/storage" }],
    },
    nfs: {
      server: { exports: [{ path: "/data/shared", to: ["10.0.0.0/24"] }] },
      mounts: [{ from: "10.0.0.9:/export/sets", mount: "/sets" }],
    },
    quota: { home: { soft: "20GiB", hard: "25GiB" } },
  };

  it("is inherited by part, and fits the storage stage", () => {
    const own = { devices: [{ match: { uuid: "1234-ABCD" }, mount: "/other" }] };
    const users = [
      { name: "alice", node: "metal-0", index: 0 },
      { name: "bob", node: "metal-1", index: 1, quota: { soft: "1GiB", hard: "2GiB" } },
    ];
    const plan = load({ nodes: [metal(0), metal(1, { storage: own })], firewall, storage, users });
    const [first, second] = plan.nodes.map((node): StorageOptions => node.storage);
    expect(first?.devices?.[0]).toEqual({
      match: { serial: "S4EVNX0M" },
      filesystem: "ext4",
      mount: "/data",
      options: ["discard"],
    });
    expect(second?.devices?.map((d) => d.mount)).toEqual(["/other"]);
    expect(second?.lvm).toEqual(first?.lvm);
    for (const spec of [first, second]) expect(() => renderStorage({ node: "n", ...spec })).not.toThrow();
    expect(plan.users.map((u) => u.quota)).toEqual([
      { soft: "20GiB", hard: "25GiB" },
      { soft: "1GiB", hard: "2GiB" },
    ]);
  });

  const device = (mount: string, serial = "A100") => ({ match: { serial }, mount });
  const lvm = (change: object) => ({ lvm: { ...storage.lvm, ...change } });
  const volumes = (...sizes: string[]) =>
    lvm({ volumes: sizes.map((size, i) => ({ name: `v${i}`, size, mount: `/m${i}` })) });
  it.each<[string, object, string[]]>([
    [
      "one mount point twice",
      { devices: [device("/a"), device("/a", "B200")] },
      ["storage.devices[1].mount"],
    ],
    [
      "one mount point in another",
      { devices: [device("/a/b"), device("/a", "B200")] },
      ["storage.devices[1].mount"],
    ],
    ["one device twice", { devices: [device("/a"), device("/b")] }, ["storage.devices[1].match.serial"]],
    [
      "a device in a group and alone",
      { devices: [device("/a")], ...lvm({ devices: [{ serial: "A100" }] }) },
      ["storage.lvm.devices[0].serial"],
    ],
    ["a serial with a slash", { devices: [device("/a", "../sda")] }, ["storage.devices[0].match.serial"]],
    [
      "a match of two",
      { devices: [{ match: { serial: "a", uuid: "b" }, mount: "/a" }] },
      ["storage.devices[0].match"],
    ],
    [
      "options in one text",
      { devices: [{ ...device("/a"), options: ["rw,x y"] }] },
      ["storage.devices[0].options[0]"],
    ],
    ["a group's bad name", lvm({ group: "-x" }), ["storage.lvm.group"]],
    ["a share above the whole", volumes("60%", "50%"), ["storage.lvm.volumes"]],
    ["no share", volumes("0%"), ["storage.lvm.volumes[0].size"]],
    [
      "an export of the system",
      { nfs: { server: { exports: [{ path: "/etc", to: ["10.0.0.0/8"] }] } } },
      ["storage.nfs.server.exports[0].path"],
    ],
    [
      "an export to a name",
      { nfs: { server: { exports: [{ path: "/x", to: ["host"] }] } } },
      ["storage.nfs.server.exports[0].to[0]"],
    ],
    [
      "a mount from no host",
      { nfs: { mounts: [{ from: "/export", mount: "/x" }] } },
      ["storage.nfs.mounts[0].from"],
    ],
    [
      "a soft limit above the hard one",
      { quota: { home: { soft: "2GiB", hard: "1GiB" } } },
      ["storage.quota.home.soft"],
    ],
    ["a bind of the system", { bind: { homes: "/etc" } }, ["storage.bind.homes"]],
  ])("refuses %s, once", (_, change, expected) => {
    expect(paths({ ...metalStack, storage: change })).toEqual(expected);
  });

  it("refuses a node's mount that meets the stack's, at the node", () => {
    const nodes = [
      metal(0, { storage: { nfs: { mounts: [{ from: "10.0.0.9:/x", mount: "/data/x" }] } } }),
      metal(1),
    ];
    expect(paths({ nodes, firewall, storage: { devices: [device("/data")] } })).toEqual([
      "nodes[0].storage.nfs.mounts[0].mount",
    ]);
  });

  it.each([
    "/",
    "/etc",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/lib/berth",
    "/root/x",
    "/home",
    "/mnt",
    "data",
    "/a/",
    "/a//b",
    "/a/../etc",
    "/a b",
    "/a\n",
  ])("does not mount on %j", (path) => expect(mountProblem(path)).toBeDefined());
  it.each([
    "/data",
    "/data2",
    "/mnt/storage",
    "/home/shared",
    "/var/lib/docker",
    "/srv/x",
    "/usrdata",
    "/a.b-c_d",
  ])("mounts on %s", (path) => expect(mountProblem(path)).toBeUndefined());
});

describe("the fast network between nodes", () => {
  it("is taken over, and has addresses of its own", () => {
    const fabric = { enabled: true, interface: "ib0", address: "10.20.0.11/24", mtu: 4092 };
    expect(load({ nodes: [metal(0, { fabric })], firewall }).nodes[0]?.fabric).toEqual(fabric);
    expect(paths({ nodes: [metal(0, { fabric }), metal(1, { fabric })], firewall })).toEqual([
      "nodes[1].fabric.address",
    ]);
  });

  it.each<[object, string]>([
    [{ interface: "a-name-too-long-for-it" }, "nodes[0].fabric.interface"],
    [{ interface: "ib0", address: "10.20.0.11" }, "nodes[0].fabric.address"],
    [{ address: "10.20.0.11/24" }, "nodes[0].fabric.interface"],
    [{ mtu: 100 }, "nodes[0].fabric.mtu"],
    [{ speed: 200 }, "nodes[0].fabric.speed"],
  ])("refuses %j", (change, path) => {
    expect(paths({ nodes: [metal(0, { fabric: { enabled: true, ...change } })], firewall })).toEqual([path]);
  });
});

describe("placeholders", () => {
  const nodes = [
    metal(0, { address: "<public address>:<private address>", hostKey: "<host key>" }),
    metal(1, { address: "192.0.2.7:<private address>", hostKey: "TODO: ask the data centre" }),
  ];
  const config = { nodes, firewall: { allowSsh: ["<office network>"] }, baremetal: { user: "<user>" } };

  it("are refused, each by its name, and not judged as values", () => {
    expect(paths(config).sort()).toEqual(
      [
        "baremetal.user",
        "firewall.allowSsh[0]",
        "nodes[0].address",
        "nodes[0].hostKey",
        "nodes[1].address",
        "nodes[1].hostKey",
      ].sort(),
    );
    for (const problem of problems(config)) expect(problem.problem).toContain("placeholder");
  });

  it("are allowed in a preview, where the plan shows them", () => {
    const [first, second] = load(config, { placeholders: "allow" }).nodes;
    expect(first).toMatchObject({ address: "<public address>", hostKey: "<host key>", sshUser: "<user>" });
    expect(second).toMatchObject({ address: "192.0.2.7", privateAddress: "<private address>" });
  });

  it("hide no mistake beside them", () => {
    const wrong = { ...config, nodes: [...nodes, metal(2, { name: "X", cpus: "<cpus>" })] };
    expect(paths(wrong, { placeholders: "allow" })).toContain("nodes[2].cpus");
    const also = { ...config, nodes: [...nodes, metal(2, { name: "X" })] };
    expect(paths(also, { placeholders: "allow" })).toEqual(["nodes[2].name"]);
  });

  it("do not stand for what decides which resources there are", () => {
    const users = [{ name: "<you>", node: "<node>", index: 0 }];
    const allow: LoadOptions = { placeholders: "allow" };
    expect(paths({ ...metalStack, users, network: { cidr: "<network>" } }, allow)).toEqual([
      "network.cidr",
      "users[0].name",
      "users[0].node",
    ]);
  });

  it("never show a secret", () => {
    const users = [{ name: "alice", node: "metal-0", index: 0, password: "<hunter2-hunter2>" }];
    const [problem] = problems({ ...metalStack, users });
    expect(problem).toMatchObject({ path: "berth:users[0].password", value: "(hidden)" });
  });

  it.each(["<x>", "<a b>", "TODO", "TODO: x", "<a>:<b>"])("are texts such as %s", (text) =>
    expect(isPlaceholder(text)).toBe(true),
  );
  it.each(["", "a <b>", "sort <in >out", "TODOS", "<a", "Ann <ann@example.com>"])("are not %j", (text) =>
    expect(isPlaceholder(text)).toBe(false),
  );

  it("are not looked for in the set-up of workspaces, whose text is free", () => {
    expect(
      findPlaceholders({ users: [{ setup: { services: [{ command: "<in>" }] }, name: "<n>" }] }),
    ).toEqual([{ path: "users[0].name", value: "<n>" }]);
  });
});
