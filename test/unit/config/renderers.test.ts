/**
 * One rule for each value: what the configuration takes, every renderer takes too. What a renderer would refuse in the
 * middle of a preview is told at its place in the stack's file, with everything else.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderUserData } from "../../../cloud-init";
import {
  renderBase,
  renderFabric,
  renderFirewall,
  renderRuntime,
  renderStorage,
} from "../../../components/host";
import { renderPreflight } from "../../../components/host/preflight";
import { baremetalAccess } from "../../../components/node/ssh-access";
import { deriveSshKey } from "../../../components/secrets/derive";
import {
  baseOptions,
  fabricSpec,
  firewallOptions,
  preflightOptions,
  runtimeOptions,
  storageOptions,
} from "../../../components/stage-options";
import { ConfigError, loadConfig, type Plan } from "../../../config";
import { bracketed } from "../../../core/net";
import { digitalocean, droplet, firewall, KEY, load, local, metal, metalStack, paths } from "./helpers";

const hostKey = deriveSshKey("seed", "host");
const files = { folder: "/nonexistent", operatorKey: "/nonexistent/id", knownHosts: "/nonexistent/known" };

/** Everything that an update makes of the plan before it reaches a machine. */
function renderAll(plan: Plan): void {
  for (const node of plan.nodes) {
    const address = node.privateAddress ?? "10.110.0.2";
    renderBase({ ...baseOptions(plan, node), node: node.name });
    renderFirewall({ ...firewallOptions(plan, node), node: node.name });
    renderStorage({ ...storageOptions(plan, node), node: node.name });
    renderFabric({ ...fabricSpec(node), node: node.name });
    renderRuntime({ ...runtimeOptions(plan, node, `${bracketed(address)}:5000`), node: node.name });
    if (node.kind === "baremetal") {
      renderPreflight({ ...preflightOptions(plan, node), node: node.name });
      baremetalAccess(node, files, hostKey, { preview: true, env: {}, warn: () => {} });
    }
    if (node.kind === "digitalocean") {
      const keys = [`${hostKey.publicKey} berth`, ...(plan.digitalocean?.sshKeys ?? [])];
      renderUserData({ node: node.name, hostKey, login: { name: node.sshUser, keys } });
    }
  }
}

const nfs = (from: string) => ({ ...metalStack, storage: { nfs: { mounts: [{ from, mount: "/data" }] } } });
const exported = (...exports: object[]) => ({ ...metalStack, storage: { nfs: { server: { exports } } } });
const fabric = (more: object) => ({ nodes: [metal(0, { fabric: { enabled: true, ...more } })], firewall });
const ib = { interface: "ib0", address: "10.20.0.11/24" };
const serial = { serial: "S3Z9NB0K" };
const lvm = { group: "g", devices: [serial], volumes: [{ name: "v", size: "50%", mount: "/lv" }] };
const jump = { host: "192.0.2.1", hostKey: KEY };

const refused: [string, Record<string, unknown>, string][] = [
  [
    "an IPv6 network with bits behind its prefix",
    { ...metalStack, firewall: { allowSsh: ["fd00::1/8"] } },
    "firewall.allowSsh[0]",
  ],
  [
    "the same for users",
    { ...metalStack, firewall: { ...firewall, allowUsers: ["2001:db8::1/32"] } },
    "firewall.allowUsers[0]",
  ],
  [
    "the same in a rule",
    { ...metalStack, firewall: { ...firewall, rules: [{ port: 80, from: ["fe80::1/10"] }] } },
    "firewall.rules[0].from[0]",
  ],
  [
    "an address with its link",
    { ...metalStack, firewall: { allowSsh: ["fe80::1%eth0"] } },
    "firewall.allowSsh[0]",
  ],
  [
    "the same for droplets",
    { nodes: [droplet(0)], digitalocean: { ...digitalocean, allowSshFrom: ["fd00::1/8"] } },
    "digitalocean.allowSshFrom[0]",
  ],
  [
    "the same in an export",
    exported({ path: "/data", to: ["fd00::1/8"] }),
    "storage.nfs.server.exports[0].to[0]",
  ],
  [
    "one path exported twice",
    exported({ path: "/data", to: ["10.0.0.0/8"] }, { path: "/data", to: ["::/0"] }),
    "storage.nfs.server.exports[1].path",
  ],
  ["an NFS path with a blank", nfs("10.0.0.5:/my files"), "storage.nfs.mounts[0].from"],
  ["an NFS path with a way out of fstab's words", nfs("10.0.0.5:/a\\040b"), "storage.nfs.mounts[0].from"],
  ["an NFS path that climbs", nfs("10.0.0.5:/export/../x"), "storage.nfs.mounts[0].from"],
  ["an NFS path with a comma", nfs("10.0.0.5:/a,b"), "storage.nfs.mounts[0].from"],
  ["an interface that is an option", fabric({ ...ib, interface: "-ib0" }), "nodes[0].fabric.interface"],
  ["a fabric address of everybody", fabric({ ...ib, address: "10.20.0.11/0" }), "nodes[0].fabric.address"],
  ["a fabric address with its link", fabric({ ...ib, address: "fe80::1%ib0/64" }), "nodes[0].fabric.address"],
  [
    "a disk with one use in the stack's part and one in the node's",
    {
      nodes: [metal(0, { storage: { devices: [{ match: serial, mount: "/d" }] } })],
      firewall,
      storage: { lvm },
    },
    "storage.lvm.devices[0].serial",
  ],
  [
    "a volume of Berth's own by its serial",
    {
      nodes: [
        droplet(0, {
          volumes: [{ name: "data", size: "10GiB", mount: "/data" }],
          storage: { devices: [{ match: { serial: "0DO_Volume_berth-prod-data" }, mount: "/d" }] },
        }),
      ],
      digitalocean,
    },
    "nodes[0].storage.devices[0].match.serial",
  ],
  [
    "a key file with a blank behind a jump host",
    { ...metalStack, baremetal: { keyFile: "/my keys/id", jump } },
    "baremetal.keyFile",
  ],
  [
    "networks that leave Docker none",
    {
      nodes: [
        metal(0, { address: "192.0.2.10:192.168.200.1" }),
        metal(1, { address: "192.0.2.11:172.26.0.1" }),
        metal(2, { address: "192.0.2.12:10.201.5.1" }),
      ],
      firewall,
    },
    "nodes[*].address",
  ],
  [
    "more keys than user data holds",
    {
      nodes: [droplet(0)],
      digitalocean: { ...digitalocean, sshKeys: Array.from({ length: 700 }, () => KEY) },
    },
    "digitalocean.sshKeys",
  ],
];

const taken: [string, Record<string, unknown>][] = [
  [
    "IPv6 throughout",
    {
      nodes: [metal(0, { address: "[2001:db8::7]:[fd00::7]" })],
      firewall: { allowSsh: ["2001:db8::/32", "::1"] },
    },
  ],
  ["an interface with a digit first", fabric({ ...ib, interface: "6ib" })],
  ["a large MTU", fabric({ ...ib, mtu: 9000 })],
  ["the root of an NFS server", nfs("nas.example.com:/")],
  ["an NFS server by IPv6", nfs("[fd00::5]:/export")],
  ["one by an IPv6 address that holds an IPv4 one", nfs("[::ffff:10.0.0.5]:/export")],
  ["an NFS path with a / at its end", nfs("10.0.0.5:/export/")],
  ["an NFS path with doubled slashes", nfs("10.0.0.5://export//home//")],
  ["an NFS path with signs that mean nothing there", nfs("10.0.0.5:/~ann/50%=(a)#1")],
  ["a login with _ first", { ...metalStack, baremetal: { user: "_ops" } }],
  [
    "as many keys as fit",
    {
      nodes: [droplet(0)],
      digitalocean: { ...digitalocean, sshKeys: Array.from({ length: 610 }, () => KEY) },
    },
  ],
  [
    "all three kinds",
    {
      nodes: [metal(0), droplet(1), local("node-2", "worker", "172.24.0.12")],
      firewall,
      digitalocean,
      network: { cidr: "172.24.0.0/16" },
    },
  ],
];

describe("one rule for each value", () => {
  it.each(refused)("refuses %s where it is written", (_, config, path) => {
    expect(paths(config)).toEqual([path]);
  });

  it.each(taken)("takes %s, and so does every renderer", (_, config) => {
    expect(() => renderAll(load(config))).not.toThrow();
  });

  it.each([
    ["10.0.0.5:/export/", "10.0.0.5:/export"],
    ["nas.example.com://export//home//", "nas.example.com:/export/home"],
    ["[fd00::5]:/", "[fd00::5]:/"],
    ["[fd00::5]:///", "[fd00::5]:/"],
    [" 10.0.0.5:/export\n", "10.0.0.5:/export"],
  ])("writes an NFS export as the kernel shows the mount: %j", (given, written) => {
    expect(load(nfs(given)).nodes[0]?.storage.nfs?.mounts?.[0]?.from).toBe(written);
  });

  it("names the network that was perhaps meant", () => {
    const allowed = (network: string) => {
      try {
        load({ ...metalStack, firewall: { allowSsh: [network] } });
      } catch (error) {
        return (error as ConfigError).problems[0]?.allowed;
      }
      return undefined;
    };
    expect(allowed("fd12:3456::1/16")).toContain("'fd12::/16', or the address 'fd12:3456::1'");
    expect(allowed("10.1.2.3/8")).toContain("'10.0.0.0/8', or the address '10.1.2.3'");
  });

  it.each([
    [
      "the local nodes' network",
      { nodes: [local("node-0", "head", "10.88.0.10")], network: { cidr: "10.88.0.10/24" } },
    ],
    ["a VPC", { nodes: [droplet(0)], digitalocean: { ...digitalocean, vpcCidr: "10.88.0.10/24" } }],
  ])("says the same of bits behind a prefix: %s", (_, config) => {
    try {
      load(config);
      expect.unreachable();
    } catch (error) {
      const problem = (error as ConfigError).problems.find(({ path }) => /cidr$/i.test(path));
      expect(problem?.problem).toBe("has bits set behind its prefix");
      expect(problem?.allowed).toContain("'10.88.0.0/24'");
    }
  });

  it("judges the stack's name too", () => {
    const named = (stack: string) => () =>
      loadConfig(
        stack,
        { "berth:nodes": JSON.stringify([metal(0)]), "berth:firewall": JSON.stringify(firewall) },
        () => [],
      );
    for (const stack of ["_lab", "-lab", "x".repeat(64)]) expect(named(stack)).toThrow(/the stack's name = /);
    for (const stack of ["lab", "Lab.2_a-b", "x".repeat(63)]) expect(named(stack)).not.toThrow();
  });

  it("lets nothing through that a renderer throws at, whatever is written", () => {
    const bit = fc.constantFrom(
      ..."/.:-_%[]@,+ ~",
      "10.0.0.5",
      "fd00::1",
      "0",
      "64",
      "eth0",
      "data",
      "a",
      "é",
      "..",
      "\n",
    );
    const text = fc.array(bit, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(""));
    const place = fc.constantFrom<(value: string) => Record<string, unknown>>(
      (value) => ({ ...metalStack, firewall: { allowSsh: [value] } }),
      (value) => ({ ...metalStack, firewall: { ...firewall, rules: [{ port: 80, from: [value] }] } }),
      (value) => exported({ path: "/data", to: [value] }),
      (value) => exported({ path: value, to: ["10.0.0.0/8"] }),
      nfs,
      (value) => nfs(`nas:/${value}`),
      (value) => nfs(`${value}:/data`),
      (value) => fabric({ ...ib, interface: value }),
      (value) => fabric({ ...ib, address: value }),
      (value) => ({ ...metalStack, storage: { bind: { homes: value } } }),
      (value) => ({ ...metalStack, storage: { devices: [{ match: { serial: value }, mount: "/d" }] } }),
      (value) => ({ ...metalStack, storage: { devices: [{ match: { uuid: value }, mount: "/d" }] } }),
      (value) => ({ ...metalStack, storage: { devices: [{ match: serial, mount: `/${value}` }] } }),
      (value) => ({
        ...metalStack,
        storage: { devices: [{ match: serial, mount: "/d", options: [value] }] },
      }),
      (value) => ({ ...metalStack, storage: { lvm: { ...lvm, group: value } } }),
      (value) => ({ nodes: [metal(0, { privateInterface: value })], firewall }),
      (value) => ({ nodes: [metal(0, { user: value })], firewall }),
      (value) => ({ nodes: [metal(0, { keyFile: `/nonexistent/${value}.key`, jump })], firewall }),
      (value) => ({ nodes: [metal(0, { jump: { ...jump, host: value } })], firewall }),
      (value) => ({ nodes: [metal(0, { address: { public: value, private: "10.0.0.7" } })], firewall }),
      (value) => ({ nodes: [metal(0, { address: { public: "192.0.2.7", private: value } })], firewall }),
    );
    fc.assert(
      fc.property(place, text, (write, value) => {
        let plan: Plan;
        try {
          plan = load(write(value));
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          return;
        }
        renderAll(plan);
      }),
      { numRuns: 1500 },
    );
  }, 60_000);
});
