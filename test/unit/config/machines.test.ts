/**
 * The configuration of real machines: droplets and bare metal.
 * Proves: what is agreed is accepted and ends in the plan; every rule refuses what breaks it, at the place where it
 * is written, all at once; inherited fields have one rule.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { locate, parseHostKey } from "../../../config";
import { inherit } from "../../../config/inherit";
import { parseAddressPair } from "../../../config/machines/addresses";
import { parseHostKeys } from "../../../plugins/base/src/hostkey";
import {
  BLOB,
  digitalocean,
  droplet,
  dropletStack,
  firewall,
  KEY,
  load,
  local,
  metal,
  metalStack,
  paths,
  problems,
} from "./helpers";

describe("bare metal", () => {
  it("ends in the plan with every default", () => {
    expect(load(metalStack).nodes[1]).toEqual({
      kind: "baremetal",
      name: "metal-1",
      role: "worker",
      address: "192.0.2.11",
      privateAddress: "10.0.0.11",
      sshUser: "root",
      sshPort: 22,
      hostKey: KEY,
      key: { from: "stack" },
      cpus: 16,
      memoryBytes: 64 * 2 ** 30,
      ray: { cpus: 16, memoryBytes: expect.any(Number) },
      storage: {},
      runtime: {},
    });
  });

  it("lets workspaces be reached from the nodes themselves unless the stack says more", () => {
    expect(load(metalStack).firewall.allowUsers).toEqual(["10.0.0.10", "10.0.0.11"]);
  });

  it.each([
    ["192.0.2.7:10.0.0.7", "192.0.2.7", "10.0.0.7"],
    ["[2001:db8::7]:[fd00::7]", "2001:db8::7", "fd00::7"],
    ["node.example.com:192.168.1.7", "node.example.com", "192.168.1.7"],
    ["10.0.0.7:10.0.0.7", "10.0.0.7", "10.0.0.7"],
    [{ public: "2001:db8::7", private: "172.31.0.7" }, "2001:db8::7", "172.31.0.7"],
  ])("takes the addresses %j", (address, outer, inner) => {
    const node = load({ nodes: [metal(0, { address })], firewall }).nodes[0];
    expect([node?.address, node?.privateAddress]).toEqual([outer, inner]);
  });

  it.each([
    ["one address", "192.0.2.7", "nodes[0].address"],
    ["IPv6 without brackets", "2001:db8::7:fd00::7", "nodes[0].address"],
    ["three parts", "192.0.2.7:10.0.0.7:22", "nodes[0].address"],
    ["a public address inside", "192.0.2.7:192.0.2.8", "nodes[0].address"],
    ["shared address space (RFC 6598) inside", "192.0.2.7:100.64.0.1", "nodes[0].address"],
    ["a global IPv6 address inside", "[2001:db8::7]:[2001:db8::8]", "nodes[0].address"],
    ["just below 172.16.0.0/12", "192.0.2.7:172.15.255.255", "nodes[0].address"],
    ["just above 172.16.0.0/12", "192.0.2.7:172.32.0.0", "nodes[0].address"],
    ["no address outside", "192.0.2.999:10.0.0.7", "nodes[0].address"],
    ["an option for a host", "-oProxyCommand=x:10.0.0.7", "nodes[0].address"],
    ["a name inside", { public: "192.0.2.7", private: "inner.example.com" }, "nodes[0].address.private"],
  ])("refuses %s for addresses", (_, address, path) => {
    expect(paths({ nodes: [metal(0, { address })], firewall })).toEqual([path]);
  });

  it("says which command prints a missing host key, with the node's own port", () => {
    const nodes = [metal(0, { hostKey: undefined, port: 2222 })];
    const [problem] = problems({ nodes, firewall });
    expect(problem?.path).toBe("berth:nodes[0].hostKey");
    expect(problem?.allowed).toContain("ssh-keyscan -p 2222 -t ed25519 192.0.2.10");
    expect(problem?.allowed).toContain("/etc/ssh/ssh_host_ed25519_key.pub");
  });

  it.each([
    ["as the .pub file holds it", `${KEY} root@metal`],
    ["as ssh-keyscan prints it", `192.0.2.10 ${KEY}`],
    ["as ssh-keyscan prints it for another port", `[192.0.2.10]:2222 ${KEY}\n`],
  ])("takes a host key %s", (_, hostKey) => {
    expect(load({ nodes: [metal(0, { hostKey })], firewall }).nodes[0]).toMatchObject({ hostKey: KEY });
  });

  it.each([
    ["a fingerprint", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
    ["a cut key", "ssh-ed25519 AAAAC3NzaC1lZDI1"],
    ["a key of another type inside", `ssh-rsa ${BLOB}`],
    ["a security key", `sk-ssh-ed25519@openssh.com ${BLOB}`],
    ["two keys", `${KEY}\n${KEY}`],
    ["a revoked key", `@revoked ${KEY}`],
    ["a hashed name", `|1|c2FsdA==|aGFzaA== ${KEY}`],
  ])("refuses %s for a host key", (_, hostKey) => {
    expect(paths({ nodes: [metal(0, { hostKey })], firewall })).toEqual(["nodes[0].hostKey"]);
  });

  it("agrees with the provider on host keys: what passes here is the same key there", () => {
    const line = fc.tuple(
      fc.constantFrom("", "192.0.2.10 ", "@revoked ", "# ", "x y "),
      fc.constantFrom(KEY, `ssh-rsa ${BLOB}`, "ssh-ed25519", KEY.slice(0, 40)),
      fc.constantFrom("", " comment", " a b", "\n", "\r\n# x"),
    );
    fc.assert(
      fc.property(line, (parts) => {
        const taken = parseHostKey(parts.join(""));
        if (taken === undefined) return;
        const [type, blob] = taken.split(" ");
        expect(parseHostKeys(taken)).toEqual([
          { type, blob: Buffer.from(blob as string, "base64"), revoked: false },
        ]);
      }),
    );
  });

  it("wants who may open SSH, since no network of the machines is known", () => {
    expect(paths({ nodes: [metal(0)] })).toEqual(["firewall.allowSsh"]);
  });

  it.each<[string, Record<string, unknown>, string[]]>([
    ["a jump host without a key", { jump: { host: "jump.example.com" } }, ["baremetal.jump.hostKey"]],
    ["a jump host that is none", { jump: { host: "a b", hostKey: KEY } }, ["baremetal.jump.host"]],
    ["an option for a user", { user: "-oX=y" }, ["baremetal.user"]],
    ["a key file that is no path", { keyFile: "id_ed25519" }, ["baremetal.keyFile"]],
    ["a key file and an agent", { keyFile: "~/.ssh/key", agent: true }, ["baremetal.agent"]],
    ["an interface with a blank", { privateInterface: "eth 1" }, ["baremetal.privateInterface"]],
  ])("refuses %s once, not once per node", (_, baremetal, expected) => {
    expect(paths({ ...metalStack, baremetal })).toEqual(expected);
  });

  it("refuses an address that two nodes share, whatever its spelling and kind", () => {
    const nodes = [
      metal(0, { address: "[2001:db8::1]:10.0.0.1" }),
      metal(1, { address: "[2001:DB8:0::1]:10.0.0.2" }),
      metal(2, { address: "192.0.2.9:10.0.0.1" }),
    ];
    expect(paths({ nodes, firewall })).toEqual(["nodes[1].address", "nodes[2].address"]);
    const mixed = [metal(0, { address: "192.0.2.1:10.88.0.10" }), local("node-1", "worker", "10.88.0.10")];
    expect(paths({ nodes: mixed, firewall })).toEqual(["nodes[0].address"]);
  });

  it("counts heads over all kinds", () => {
    const nodes = [metal(0), droplet(0), local("node-0", "head", "10.88.0.10")];
    expect(paths({ nodes, firewall, digitalocean })).toEqual(["nodes[*].role"]);
  });
});

describe("inherited fields", () => {
  const jump = { host: "jump.example.com", hostKey: KEY };
  it("come from the node, then from the stack, then from the defaults", () => {
    const baremetal = { user: "ops", port: 2200, keyFile: "~/.ssh/berth", jump, privateInterface: "eth1" };
    const nodes = [
      metal(0),
      metal(1, { user: "root", agent: true, jump: { ...jump, host: "other.example.com", port: 2022 } }),
    ];
    const [first, second] = load({ nodes, firewall, baremetal }).nodes;
    expect(first).toMatchObject({
      sshUser: "ops",
      sshPort: 2200,
      key: { from: "file", path: "~/.ssh/berth" },
      jump: { host: "jump.example.com", user: "ops", port: 22, hostKey: KEY },
      privateInterface: "eth1",
    });
    expect(second).toMatchObject({
      sshUser: "root",
      sshPort: 2200,
      key: { from: "agent" },
      jump: { host: "other.example.com", user: "root", port: 2022 },
    });
  });

  it("keep what the nearer part sets, and take the rest from the farther one", () => {
    const part = fc.record(
      { a: fc.option(fc.integer(), { nil: undefined }), b: fc.option(fc.boolean(), { nil: undefined }) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(part, part, (far, near) => {
        const got = inherit<{ a?: number; b?: boolean }>(far, near);
        expect(got.a).toBe(near.a === undefined ? far.a : near.a);
        expect(got.b).toBe(near.b === undefined ? far.b : near.b);
      }),
    );
  });
});

describe("droplets", () => {
  it("end in the plan with every default, and without an address", () => {
    const plan = load({
      ...dropletStack,
      nodes: [droplet(0, { volumes: [{ name: "data", size: "100GiB", mount: "/data" }] })],
    });
    const [node] = plan.nodes;
    expect(node).toMatchObject({
      kind: "digitalocean",
      size: "s-2vcpu-4gb",
      image: "debian-13-x64",
      region: "fra1",
      monitoring: true,
      ipv6: false,
      backups: false,
      reservedIp: false,
      sshUser: "root",
      volumes: [{ name: "data", sizeBytes: 100 * 2 ** 30, filesystem: "ext4", mount: "/data" }],
    });
    expect(node).not.toHaveProperty("address");
    expect(plan.digitalocean).toEqual({
      region: "fra1",
      vpcCidr: "10.110.0.0/20",
      tags: [],
      sshKeys: [],
      allowSshFrom: ["192.0.2.0/24"],
    });
    expect(plan.firewall).toMatchObject({ allowSsh: ["192.0.2.0/24"], allowUsers: ["10.110.0.0/20"] });
    expect(plan.production).toBe(false);
  });

  it("get their addresses later; the others keep theirs", () => {
    const found = { address: "192.0.2.50", privateAddress: "10.110.0.2" };
    const [node] = load(dropletStack).nodes;
    expect(node && locate(node, found)).toMatchObject({ name: "drop-0", ...found });
    const [other] = load(metalStack).nodes;
    expect(other && locate(other, found)).toBe(other);
  });

  it.each(["so1_5-2vcpu-16gb", "gpu-h100x1-80gb", "s-1vcpu-512mb-10gb", "c-60-intel", "512mb"])(
    "takes the size %s, whichever there are",
    (size) => expect(paths({ ...dropletStack, nodes: [droplet(0, { size })] })).toEqual([]),
  );
  it.each(["debian-13-x64", "ubuntu-24-04-x64", "rancheros-1.4", "pop_os-24", "123456789"])(
    "takes the image %s",
    (image) => expect(paths({ ...dropletStack, nodes: [droplet(0, { image })] })).toEqual([]),
  );

  const volume = (more: object) => [
    droplet(0, { volumes: [{ name: "data", size: "1GiB", mount: "/data", ...more }] }),
  ];
  it.each<[string, Record<string, unknown>, string[]]>([
    ["no stack-level part", { digitalocean: undefined, firewall }, ["digitalocean"]],
    ["a size that is no slug", { nodes: [droplet(0, { size: "2 CPUs" })] }, ["nodes[0].size"]],
    ["an image that is no slug", { nodes: [droplet(0, { image: "Debian 13" })] }, ["nodes[0].image"]],
    ["another region than the network's", { nodes: [droplet(0, { region: "nyc3" })] }, ["nodes[0].region"]],
    [
      "a region that is no slug",
      { digitalocean: { ...digitalocean, region: "Frankfurt" } },
      ["digitalocean.region"],
    ],
    [
      "a public VPC",
      { digitalocean: { ...digitalocean, vpcCidr: "192.0.2.0/24" } },
      ["digitalocean.vpcCidr"],
    ],
    [
      "too large a VPC",
      { digitalocean: { ...digitalocean, vpcCidr: "10.0.0.0/8" } },
      ["digitalocean.vpcCidr"],
    ],
    [
      "the workspaces' network",
      { digitalocean: { ...digitalocean, vpcCidr: "172.30.0.0/20" } },
      ["digitalocean.vpcCidr"],
    ],
    ["a tag with a blank", { digitalocean: { ...digitalocean, tags: ["a b"] } }, ["digitalocean.tags[0]"]],
    [
      "a domain without a dot",
      { digitalocean: { ...digitalocean, domain: "cluster" } },
      ["digitalocean.domain"],
    ],
    [
      "a bad operator key",
      { digitalocean: { ...digitalocean, sshKeys: ["x"] } },
      ["digitalocean.sshKeys[0]"],
    ],
    [
      "a network with host bits",
      { digitalocean: { ...digitalocean, allowSshFrom: ["192.0.2.1/24"] } },
      ["digitalocean.allowSshFrom[0]"],
    ],
    ["nobody who may open SSH", { digitalocean: { region: "fra1" } }, ["firewall.allowSsh"]],
    ["an upper-case volume", { nodes: volume({ name: "Data" }) }, ["nodes[0].volumes[0].name"]],
    ["half a GiB", { nodes: volume({ size: "512MiB" }) }, ["nodes[0].volumes[0].size"]],
    ["a GiB and a half", { nodes: volume({ size: "1.5GiB" }) }, ["nodes[0].volumes[0].size"]],
    ["more than 16 TiB", { nodes: volume({ size: "17TiB" }) }, ["nodes[0].volumes[0].size"]],
    ["a mount point of the system", { nodes: volume({ mount: "/etc/x" }) }, ["nodes[0].volumes[0].mount"]],
    ["an unknown key", { nodes: [droplet(0, { gpu: true })] }, ["nodes[0].gpu"]],
    ["another kind", { nodes: [droplet(0, { kind: "cloud" })] }, ["nodes[0].kind"]],
  ])("refuse %s", (_, change, expected) => {
    expect(paths({ ...dropletStack, ...change })).toEqual(expected);
  });

  it("accept the ends of the range of volumes", () => {
    for (const size of ["1GiB", "16TiB"])
      expect(paths({ ...dropletStack, nodes: volume({ size }) })).toEqual([]);
  });

  it("refuse a volume's name twice, on other droplets too", () => {
    const nodes = [droplet(0), droplet(1)].map((node) => ({
      ...node,
      volumes: [{ name: "data", size: "1GiB", mount: "/data" }],
    }));
    expect(paths({ ...dropletStack, nodes })).toEqual(["nodes[1].volumes[0].name"]);
  });

  it("say which kinds there are", () => {
    const [problem] = problems({ ...dropletStack, nodes: [droplet(0, { kind: "cloud" })] });
    expect(problem?.allowed).toBe('"local", "digitalocean", "baremetal"');
  });
});

describe("everything at once", () => {
  it("names every problem, with what is allowed", () => {
    const found = problems({
      nodes: [
        metal(0, { address: "192.0.2.7", hostKey: "x", port: 0 }),
        droplet(1, { size: "?", volumes: [{ name: "X", size: "1MiB", mount: "/" }] }),
      ],
      storage: {
        lvm: {
          group: "-",
          devices: [{ serial: "abcd" }],
          volumes: [{ name: "v", size: "1%", mount: "/proc" }],
        },
      },
      nodez: 1,
    });
    expect(found.map((p) => p.path.replace("berth:", "")).sort()).toEqual(
      [
        "digitalocean",
        "firewall.allowSsh",
        "nodes[0].address",
        "nodes[0].hostKey",
        "nodes[0].port",
        "nodes[1].size",
        "nodes[1].volumes[0].mount",
        "nodes[1].volumes[0].name",
        "nodes[1].volumes[0].size",
        "nodez",
        "storage.lvm.group",
        "storage.lvm.volumes[0].mount",
      ].sort(),
    );
    for (const problem of found) expect(problem.allowed).not.toBe("");
  });
});

describe("addresses", () => {
  it("read back from what was written, IPv4 and IPv6", () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    const written = (text: string) => (text.includes(":") ? `[${text}]` : text);
    fc.assert(
      fc.property(address, address, (outer, inner) => {
        expect(parseAddressPair(`${written(outer)}:${written(inner)}`)).toEqual({
          public: outer,
          private: inner,
        });
      }),
    );
  });
});
