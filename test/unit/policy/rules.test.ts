/**
 * The rules of the policy pack about ports, containers, images and volumes, on inputs as the engine hands them over.
 * Proves: what Berth's own components make passes; each thing that a rule forbids is reported, with where it is and how
 * to mend it; what only an update will know is no breach; only what configuration opens may be open.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  containers,
  digests,
  droplets,
  type Facts,
  isWorld,
  ports,
  type Seen,
  UNKNOWN,
  type Value,
  volumes,
} from "../../../policy/rules";
import {
  check,
  facts,
  type Inputs,
  inputsOf,
  labels,
  NO_NEW_RIGHTS,
  resource,
  specOf,
  workspace,
} from "./helpers";

const CONTAINER = "docker:index/container:Container";
const FIREWALL = "digitalocean:index/firewall:Firewall";
const ID = `sha256:${"0123456789abcdef".repeat(4)}`;
/** A local node, as components/node makes it: a whole machine. */
const machine = inputsOf(
  specOf("node", "system", {
    mounts: [{ type: "volume", source: "berth-prod-node-0-docker", target: "/var/lib/docker" }],
  }),
);

describe("containers", () => {
  it.each<[string, Inputs]>([
    ["a workspace", workspace],
    [
      "a workspace of a user without sudo",
      { ...workspace, ...NO_NEW_RIGHTS, labels: labels("workspace", "bob") },
    ],
    [
      "granted devices, each by its name",
      {
        ...workspace,
        deviceRequests: [{ driver: "cdi", count: 0, deviceIds: ["nvidia.com/gpu=GPU-1", UNKNOWN] }],
      },
    ],
    [
      "options that only an update will know",
      { ...workspace, labels: labels("ray"), securityOpts: UNKNOWN, gpus: UNKNOWN, deviceRequests: UNKNOWN },
    ],
    ["a local node", machine],
    ["Ray on the node's network", inputsOf(specOf("ray", "system"))],
    ["the registry, without a limit of CPUs", inputsOf(specOf("registry", "system", { cpus: undefined }))],
    [
      "limits that only an update will know",
      { ...workspace, memory: UNKNOWN, memorySwap: UNKNOWN, cpus: UNKNOWN },
    ],
    [
      "mounts that only an update will know",
      { ...workspace, mounts: UNKNOWN, ports: UNKNOWN, labels: workspace.labels ?? null },
    ],
  ])("pass: %s", (_, props) => {
    expect(check(containers, CONTAINER, props)).toEqual([]);
    expect(check(ports, CONTAINER, props)).toEqual([]);
  });

  it.each<[string, Inputs, string]>([
    ["no memory limit", { memory: null }, "memory is not set"],
    ["a memory limit of 0, which is none", { memory: 0, memorySwap: 0 }, "memory is not set"],
    ["swap beyond memory", { memorySwap: 6144 }, "memorySwap is 6144: set it to memory (3072)"],
    ["swap left out, which is twice the memory", { memorySwap: null }, "memorySwap is not set"],
    ["unlimited swap", { memorySwap: -1 }, "memorySwap is -1"],
    ["no CPU limit", { cpus: "" }, "cpus is not set"],
    ["no log driver", { logDriver: null }, "logDriver is not set"],
    ["a log driver without limits", { logDriver: "journald" }, "logDriver is journald"],
    ["logs without a size", { logOpts: { "max-file": "2" } }, 'logOpts["max-size"] is not set'],
    ["logs without a number", { logOpts: { "max-size": "10m" } }, 'logOpts["max-file"] is not set'],
    ["no labels", { labels: [] }, "label berth.owner is missing"],
    ["an empty owner", { labels: labels("workspace", "") }, "label berth.owner is missing"],
    [
      "another stack's label",
      { labels: labels("workspace", "alice", "dev") },
      'label berth.stack says "dev"',
    ],
    ["privileged", { privileged: true }, "privileged: true"],
    [
      "the engine's socket",
      { mounts: [{ type: "bind", source: "/var/run/docker.sock" }] },
      "socket of a container engine",
    ],
    [
      "its socket by another path",
      { volumes: [{ hostPath: "/run/../var//run/docker.sock" }] },
      "socket of a container engine",
    ],
    [
      "the folder of that socket",
      { mounts: [{ type: "bind", source: "/run/" }] },
      "mounts[0].source is /run of the host",
    ],
    ["the root of the host", { volumes: [{ hostPath: "/" }] }, "volumes[0].hostPath is / of the host"],
    [
      "the root by a detour",
      { mounts: [{ type: "bind", source: "/mnt/.." }] },
      "mounts[0].source is / of the host",
    ],
    ["/etc", { mounts: [{ type: "bind", source: "/etc", readOnly: true }] }, "is /etc of the host"],
    ["root's keys", { volumes: [{ hostPath: "/root/.ssh" }] }, "is /root/.ssh of the host"],
    ["another process's root", { volumes: [{ hostPath: "/proc/1/root" }] }, "is /proc/1/root of the host"],
    [
      "the engine's files",
      { volumes: [{ hostPath: "/var/lib/docker/volumes" }] },
      "/var/lib/docker/volumes of",
    ],
    [
      "the folder of containerd's socket",
      { volumes: [{ hostPath: "/var/run/containerd" }] },
      "is /var/run/containerd of the host",
    ],
    [
      "containerd's other socket",
      { volumes: [{ hostPath: "/run/containerd/containerd.sock.ttrpc" }] },
      "socket of a container engine",
    ],
    [
      "a path where a volume's name stands",
      { volumes: [{ volumeName: "/run/docker.sock", hostPath: "/mnt/storage/homes/alice" }] },
      "volumes[0].volumeName is the socket of a container engine",
    ],
    [
      "a volume that is a folder of the host",
      {
        mounts: [
          { type: "volume", volumeOptions: { driverOptions: { type: "none", o: "bind", device: "/" } } },
        ],
      },
      "mounts[0].volumeOptions.driverOptions.device is / of the host",
    ],
    ["the host's processes", { pidMode: "host" }, 'pidMode: "host"'],
    ["the host's network", { networkMode: "host" }, 'networkMode: "host"'],
    ["SYS_ADMIN", { capabilities: { adds: ["SYS_ADMIN"] } }, "capability SYS_ADMIN"],
    ["cap_sys_admin", { capabilities: { adds: ["cap_sys_admin"] } }, "capability cap_sys_admin"],
    ["all capabilities", { capabilities: { adds: ["ALL"] } }, "capability ALL"],
    ["a device of the host", { devices: [{ hostPath: "/dev/sda" }] }, "devices[0] (/dev/sda)"],
    ["a rule for devices", { deviceCgroupRules: ["c 195:* rwm"] }, "deviceCgroupRules"],
    ["GPUs past the grants", { gpus: "all" }, "gpus hands GPUs over"],
    [
      "all devices by CDI",
      { deviceRequests: [{ driver: "cdi", deviceIds: ["nvidia.com/gpu=all"] }] },
      "deviceRequests[0]",
    ],
    [
      "any number of devices",
      { deviceRequests: [{ driver: "cdi", count: -1, deviceIds: [] }] },
      "deviceRequests[0]",
    ],
    [
      "devices of another driver",
      { deviceRequests: [{ driver: "nvidia", deviceIds: ["0"] }] },
      "deviceRequests[0]",
    ],
    ["writable control groups", { securityOpts: ["writable-cgroups=true"] }, "turns a protection off"],
    ["no seccomp", { securityOpts: ["seccomp=unconfined"] }, 'securityOpts "seccomp=unconfined"'],
  ])("are refused for %s", (_, change, expected) => {
    const found = check(containers, CONTAINER, { ...workspace, ...change });
    expect(found.join("\n")).toContain(expected);
  });

  it.each<[string, Inputs]>([
    ["of a user without sudo", { labels: labels("workspace", "bob") }],
    ["of a user whom nobody knows", { labels: labels("workspace", "mallory") }],
    ["of the system, whoever has sudo", { labels: labels("ray", "system") }],
    ["of a person with sudo that is no workspace", { labels: labels("job", "alice") }],
    ["that say so and take it back", { securityOpts: ["no-new-privileges", "no-new-privileges:false"] }],
    ["that say another word", { securityOpts: ["no-new-privileges:no"] }],
  ])("gain no rights: those %s", (_, change) => {
    const props: Inputs = { ...workspace, labels: labels("workspace", "bob"), ...change };
    expect(check(containers, CONTAINER, props)).toEqual([
      expect.stringContaining('securityOpts lacks "no-new-privileges:true"'),
    ]);
    const right = { ...props, securityOpts: ["no-new-privileges:true"] };
    expect(check(containers, CONTAINER, right)).toEqual([]);
  });

  it.each<[string, Inputs]>([
    ["limits", { memory: null }],
    ["owners", { labels: labels("node", "") }],
    ["privileged", { privileged: true }],
    ["mounts", { mounts: [{ type: "bind", source: "/var/run/docker.sock" }] }],
  ])("of local nodes are no exception for %s", (_, change) => {
    expect(check(containers, CONTAINER, { ...machine, ...change })).toHaveLength(1);
  });
});

describe("what is let off as a local node or as Ray", () => {
  it.each<[string, string, Inputs, string]>([
    ["the host's processes", "node", { pidMode: "host" }, 'pidMode: "host"'],
    ["a device", "node", { devices: [{ hostPath: "/dev/sda" }] }, "devices[0] (/dev/sda)"],
    ["no seccomp", "node", { securityOpts: ["seccomp=unconfined"] }, "turns a protection off"],
    ["new rights", "node", { securityOpts: [] }, "no-new-privileges"],
    ["the node's network", "ray", { networkMode: "host" }, 'networkMode: "host"'],
  ])("is the system's alone: %s, as component %s", (_, component, change, expected) => {
    const of = (owner: string): Inputs => ({
      ...workspace,
      ...NO_NEW_RIGHTS,
      ...change,
      labels: labels(component, owner),
    });
    expect(check(containers, CONTAINER, of("system"))).toEqual([]);
    expect(check(containers, CONTAINER, of("alice")).join("\n")).toContain(expected);
  });
});

describe("volumes of Docker", () => {
  const VOLUME = "docker:index/volume:Volume";
  it.each(["/", "/etc", "/var/run/docker.sock", "/root/.ssh"])("are not the host's %s", (device) => {
    const found = check(containers, VOLUME, { driverOpts: { type: "none", o: "bind", device } });
    expect(found).toEqual([expect.stringContaining("driverOpts.device is ")]);
  });
  it.each<[string, Value]>([
    ["without options", null],
    ["on an NFS server", { type: "nfs", o: "addr=10.0.0.1", device: ":/data" }],
    ["of a folder that holds data", { type: "none", o: "bind", device: "/data" }],
  ])("pass: %s", (_, driverOpts) => {
    expect(check(containers, VOLUME, { driverOpts })).toEqual([]);
  });
});

describe("ports of containers", () => {
  it.each<[string, Value | undefined]>([
    ["no address", undefined],
    ["an empty address", ""],
    ["null", null],
    ["every IPv4 address", "0.0.0.0"],
    ["every IPv6 address", "::"],
    ["a public address", "192.0.2.7"],
    ["a public IPv6 address", "2001:db8::7"],
  ])("are refused on %s", (_, ip) => {
    const address: Inputs = ip === undefined ? {} : { ip };
    expect(check(ports, CONTAINER, { ports: [{ internal: 80, external: 8080, ...address }] })).toHaveLength(
      1,
    );
  });

  it.each(["127.0.0.1", "::1", "10.0.0.7", "172.16.3.4", "192.168.1.1", "fd00::7"])("pass on %s", (ip) => {
    expect(check(ports, CONTAINER, { ports: [{ internal: 80, external: 80, ip }] })).toEqual([]);
  });

  it("pass on a public address only where configuration publishes them there", () => {
    const known: Facts = { ...facts, published: [{ protocol: "tcp", start: 10000, end: 19999 }] };
    const at = (external: number, ip: string) =>
      check(ports, CONTAINER, { ports: [{ internal: 80, external, ip }] }, known);
    expect(at(10002, "192.0.2.7")).toEqual([]);
    expect(at(20000, "192.0.2.7")).toHaveLength(1);
    expect(at(10002, "0.0.0.0")).toHaveLength(1);
  });

  it("are refused all at once with publishAllPorts", () => {
    expect(check(ports, CONTAINER, { publishAllPorts: true })).toHaveLength(1);
  });
});

describe("DigitalOcean's firewall", () => {
  const rule = (portRange: Value, sourceAddresses: Value, protocol = "tcp"): Inputs => ({
    inboundRules: [{ protocol, portRange, sourceAddresses }],
  });
  const open: Facts = {
    ...facts,
    open: [
      { protocol: "tcp", start: 443, end: 443 },
      { protocol: "tcp", start: 10000, end: 10099 },
      { protocol: "tcp", start: 10100, end: 10199 },
    ],
  };

  it.each<[string, Inputs, Facts]>([
    ["a known network", rule("22", ["192.0.2.0/24"]), facts],
    ["a port that configuration opens", rule("443", ["0.0.0.0/0", "::/0"]), open],
    ["a range over two that configuration opens", rule("10000-10199", ["0.0.0.0/0"]), open],
    ["icmp, which has no ports", rule(null, ["0.0.0.0/0"], "icmp"), facts],
    ["addresses that only an update will know", rule("22", [UNKNOWN]), facts],
    ["rules that only an update will know", { inboundRules: UNKNOWN }, facts],
    [
      "outbound traffic",
      { outboundRules: [{ protocol: "tcp", portRange: "1-65535", destinationAddresses: ["0.0.0.0/0"] }] },
      facts,
    ],
  ])("passes with %s", (_, props, known) => {
    expect(check(ports, FIREWALL, props, known)).toEqual([]);
  });

  it.each<[string, Inputs, string]>([
    [
      "a port that configuration does not open",
      rule("22", ["0.0.0.0/0"]),
      "opens port 22 (tcp) to 0.0.0.0/0",
    ],
    ["IPv6 alone", rule("22", ["::/0"]), "to ::/0"],
    ["the world in two halves", rule("22", ["0.0.0.0/1", "128.0.0.0/1"]), "to 0.0.0.0/1, 128.0.0.0/1"],
    ["the world with host bits", rule("22", ["192.0.2.1/0"]), "to 192.0.2.1/0"],
    ["a range with one port too many", rule("10000-10200", ["0.0.0.0/0"]), "opens ports 10000-10200"],
    ["all ports by name", rule("all", ["0.0.0.0/0"]), "opens ports 1-65535"],
    ["all ports by leaving them out", rule(null, ["0.0.0.0/0"]), "opens ports 1-65535"],
    ["another protocol than the one opened", rule("443", ["0.0.0.0/0"], "udp"), "opens port 443 (udp)"],
    [
      "one address of the world among others",
      rule("22", ["192.0.2.0/24", UNKNOWN, "0.0.0.0/0"]),
      "to 0.0.0.0/0",
    ],
  ])("is refused for %s, with where to open it knowingly", (_, props, expected) => {
    const found = check(ports, FIREWALL, props, open);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(expected);
    expect(found[0]).toContain("berth:firewall.rules");
    expect(found[0]).toContain("Pulumi.prod.yaml");
  });

  it("takes no network that one holder can have for the world", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, prefix) => {
        expect(isWorld(`${address}/${prefix}`)).toBe(prefix < 8);
      }),
    );
    for (const private6 of ["fc00::/7", "fd00::/8"]) expect(isWorld(private6)).toBe(false);
    for (const world of ["2000::/3", "::/0", "0.0.0.0", "::"]) expect(isWorld(world)).toBe(true);
    for (const other of ["2001:db8::/32", "10.0.0.0/8", "192.0.2.7", "<your network>"])
      expect(isWorld(other)).toBe(false);
  });
});

describe("droplets", () => {
  const DROPLET = "digitalocean:index/droplet:Droplet";
  const droplet = (tags: Value) => resource(DROPLET, { tags });
  const firewall = (tags: Value) => resource(FIREWALL, { tags });

  it.each<[string, Seen[]]>([
    ["with the firewall's tag", [firewall(["berth-prod"]), droplet(["gpu", "berth-prod"])]],
    ["with tags that only an update will know", [firewall(["berth-prod"]), droplet([UNKNOWN])]],
    ["behind a firewall whose tags only an update will know", [firewall([UNKNOWN]), droplet(["a"])]],
    ["that are not there", []],
  ])("pass %s", (_, all) => {
    expect(droplets.check(all, facts)).toEqual([]);
  });

  it.each<[string, Seen[]]>([
    ["without any firewall", [droplet([UNKNOWN])]],
    ["with another tag", [firewall(["berth-prod"]), droplet(["berth-dev"])]],
    ["without tags", [firewall(["berth-prod"]), droplet(null)]],
  ])("are refused %s", (_, all) => {
    expect(droplets.check(all, facts)).toEqual([expect.stringContaining("thing carries no tag")]);
  });
});

describe("images", () => {
  const IMAGE = "docker:index/remoteImage:RemoteImage";
  it.each<[string, string, Value]>([
    [CONTAINER, "image", ID],
    [CONTAINER, "image", `10.0.0.1:5000/berth/ray@${ID}`],
    [IMAGE, "name", `10.0.0.1:5000/berth/ray@${ID}`],
    [IMAGE, "name", UNKNOWN],
  ])("%s pass by digest: %s", (type, field, name) => {
    expect(check(digests, type, { [field]: name })).toEqual([]);
  });

  it.each<[string, string, Value]>([
    [CONTAINER, "image", "debian"],
    [CONTAINER, "image", "debian:13"],
    [CONTAINER, "image", `debian@${ID.slice(0, -1)}`],
    [IMAGE, "name", "registry.example.com/ray:latest"],
    [IMAGE, "name", null],
  ])("%s are refused in production by tag: %s %s", (type, field, name) => {
    expect(check(digests, type, { [field]: name })).toHaveLength(1);
    expect(check(digests, type, { [field]: name }, { ...facts, production: false })).toEqual([]);
  });
});

describe("volumes", () => {
  const BLOCK = "digitalocean:index/volume:Volume";
  const DOCKER = "docker:index/volume:Volume";
  const homes: Inputs = { name: "berth-prod-node-0-storage", labels: labels("node") };

  it.each<[string, string, Inputs]>([
    ["a block volume", BLOCK, { name: "berth-prod-data" }],
    ["a volume of homes", DOCKER, homes],
    ["a volume without labels", DOCKER, { name: "x" }],
  ])("in production %s has to be protected", (_, type, props) => {
    expect(check(volumes, type, props)).toHaveLength(1);
    expect(check(volumes, type, props, facts, true)).toEqual([]);
    expect(check(volumes, type, props, { ...facts, production: false })).toEqual([]);
  });

  it.each<[string, Inputs]>([
    ["the registry's images", { name: "berth-prod-registry", labels: labels("registry") }],
    ["a local node's images", { name: "berth-prod-node-0-docker", labels: labels("node") }],
  ])("what can be made again need not be: %s", (_, props) => {
    expect(check(volumes, DOCKER, props)).toEqual([]);
  });
});
