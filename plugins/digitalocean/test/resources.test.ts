/** Every other kind: bodies sent, outputs kept, no diff after a create, drift, waiting, deletes that are done already. */
import type { Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { done, empty, ok, pending, type Script, start } from "./scripted";
import { type Answer, closeServers, thrown } from "./support";

closeServers();

describe.each<{
  kind: string;
  program: Props;
  script: Script;
  body: [line: string, body: unknown];
  id: string;
  outs: Props;
  path: string;
}>([
  {
    kind: "tag",
    program: { name: "berth" },
    script: {
      "POST /v2/tags": ok({ tag: { name: "berth" } }),
      "GET /v2/tags/berth": ok({ tag: { name: "berth" } }),
    },
    body: ["POST /v2/tags", { name: "berth" }],
    id: "berth",
    outs: { name: "berth" },
    path: "/v2/tags/berth",
  },
  {
    kind: "sshKey",
    program: { name: "k", publicKey: "ssh-ed25519 AAAA me\n" },
    script: {
      "POST /v2/account/keys": ok({
        ssh_key: { id: 7, name: "k", fingerprint: "f", public_key: "ssh-ed25519 AAAA me" },
      }),
      // A new key does not show at once.
      "GET /v2/account/keys/7": [
        { status: 404, body: {} },
        ok({ ssh_key: { id: 7, name: "k", fingerprint: "f", public_key: "ssh-ed25519 AAAA me" } }),
      ],
    },
    body: ["POST /v2/account/keys", { name: "k", public_key: "ssh-ed25519 AAAA me\n" }],
    id: "7",
    outs: { fingerprint: "f", __meta: '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":120000000000}}' },
    path: "/v2/account/keys/7",
  },
  {
    kind: "vpc",
    program: { name: "v", region: "fra1", ipRange: "10.110.0.0/20" },
    script: {
      "POST /v2/vpcs": ok({
        vpc: {
          id: "u",
          urn: "do:vpc:u",
          name: "v",
          region: "fra1",
          ip_range: "10.110.0.0/20",
        },
      }),
    },
    body: ["POST /v2/vpcs", { name: "v", region: "fra1", ip_range: "10.110.0.0/20" }],
    id: "u",
    outs: { vpcUrn: "do:vpc:u" },
    path: "/v2/vpcs/u",
  },
  {
    kind: "firewall",
    program: {
      name: "f",
      dropletIds: [2, 1],
      inboundRules: [
        { protocol: "tcp", portRange: "22", sourceAddresses: ["0.0.0.0/0", "::/0"] },
        { protocol: "icmp", sourceTags: ["berth"] },
        { protocol: "tcp", portRange: "25", action: "deny", sourceAddresses: ["0.0.0.0/0"] },
      ],
      outboundRules: [{ protocol: "udp", portRange: "all", destinationAddresses: ["0.0.0.0/0"] }],
    },
    script: {
      "POST /v2/firewalls": ok({
        firewall: {
          id: "w",
          name: "f",
          droplet_ids: [1, 2],
          tags: [],
          // In another order, and "0" for what the program calls "all" or leaves out.
          inbound_rules: [
            { protocol: "icmp", ports: "0", sources: { tags: ["berth"] } },
            { protocol: "tcp", ports: "25", action: "deny", sources: { addresses: ["0.0.0.0/0"] } },
            { protocol: "tcp", ports: "22", action: "allow", sources: { addresses: ["::/0", "0.0.0.0/0"] } },
          ],
          outbound_rules: [{ protocol: "udp", ports: "0", destinations: { addresses: ["0.0.0.0/0"] } }],
        },
      }),
    },
    body: [
      "POST /v2/firewalls",
      {
        name: "f",
        droplet_ids: [2, 1],
        tags: [],
        inbound_rules: [
          { protocol: "tcp", ports: "22", sources: { addresses: ["0.0.0.0/0", "::/0"] } },
          { protocol: "icmp", sources: { tags: ["berth"] } },
          { protocol: "tcp", ports: "25", action: "deny", sources: { addresses: ["0.0.0.0/0"] } },
        ],
        outbound_rules: [{ protocol: "udp", ports: "all", destinations: { addresses: ["0.0.0.0/0"] } }],
      },
    ],
    id: "w",
    outs: { dropletIds: [2, 1] },
    path: "/v2/firewalls/w",
  },
  {
    kind: "dnsRecord",
    program: { domain: "example.org", type: "A", name: "@", value: "203.0.113.9" },
    script: {
      "POST /v2/domains/example.org/records": ok({
        domain_record: { id: 3, type: "A", name: "@", data: "203.0.113.9", ttl: 1800 },
      }),
    },
    body: ["POST /v2/domains/example.org/records", { type: "A", name: "@", data: "203.0.113.9" }],
    id: "3",
    outs: { fqdn: "example.org", ttl: 1800, value: "203.0.113.9" },
    path: "/v2/domains/example.org/records/3",
  },
  {
    kind: "reservedIp",
    program: { region: "FRA1" },
    script: {
      "GET /v2/reserved_ips": ok({ reserved_ips: [] }),
      "POST /v2/reserved_ips": ok({
        reserved_ip: { ip: "203.0.113.9", region: { slug: "fra1" }, droplet: null },
      }),
    },
    body: ["POST /v2/reserved_ips", { region: "fra1" }],
    id: "203.0.113.9",
    outs: { region: "fra1", ipAddress: "203.0.113.9", reservedIpUrn: "do:reservedip:203.0.113.9" },
    path: "/v2/reserved_ips/203.0.113.9",
  },
  {
    kind: "project",
    program: { name: "p", environment: "production", purpose: "GPU cluster" },
    script: {
      "POST /v2/projects": ok({
        project: { id: "pr", name: "p", purpose: "Other: GPU cluster", environment: "Production" },
      }),
    },
    body: ["POST /v2/projects", { name: "p", purpose: "GPU cluster", environment: "production" }],
    id: "pr",
    outs: { purpose: "GPU cluster", environment: "Production" },
    path: "/v2/projects/pr",
  },
])("$kind", ({ kind, program, script, body, id, outs, path }) => {
  it("sends what the program says, keeps what the API says, and then has no diff", async () => {
    const thing = await start(kind, { ...script });
    const made = await thing.create(program);
    expect(made.id).toBe(id);
    expect(thing.sent(body[0])[0]).toEqual(body[1]);
    expect(made.outs).toMatchObject({ id, ...outs });
    expect(await thing.diff(made.outs, program)).toEqual({});
  });
  it("that is gone reads as gone, and is deleted without a fault", async () => {
    const thing = await start(kind, {});
    const olds = { ...program, ...outs };
    expect((await thing.read(id, { ...olds, name: "n" })).id).toBe("");
    await thing.delete(id, olds);
    expect(
      thing.server
        .lines()
        .filter((line) => !line.startsWith("GET /v2/tags?"))
        .at(-1),
    ).toBe(`DELETE ${path}`);
  });
});

describe("reservedIpAssignment", () => {
  const address = (droplet: number | null) =>
    ok({
      reserved_ip: {
        ip: "203.0.113.9",
        region: { slug: "fra1" },
        droplet: droplet === null ? null : { id: droplet, region: { slug: "fra1" } },
      },
    });
  it("waits for the droplet's other actions, and for its own", async () => {
    const thing = await start("reservedIpAssignment", {
      "GET /v2/droplets/9/actions": [
        ok({ actions: [{ id: 1, status: "in-progress" }] }),
        ok({ actions: [] }),
      ],
      "GET /v2/reserved_ips/203.0.113.9": address(null),
      "POST /v2/reserved_ips/203.0.113.9/actions": pending,
      "GET /v2/reserved_ips/203.0.113.9/actions/5": [{ status: 404, body: {} }, pending, done],
    });
    const { outs } = await thing.create({ ipAddress: "203.0.113.9", dropletId: 9 });
    expect(outs).toMatchObject({ ipAddress: "203.0.113.9", dropletId: 9 });
    expect(thing.sent("POST /v2/reserved_ips/203.0.113.9/actions")).toEqual([
      { type: "assign", droplet_id: 9 },
    ]);
    expect(thing.clock.slept).toHaveLength(3);
  });
  it("is imported by address and droplet, and taken off only from its own droplet", async () => {
    const thing = await start("reservedIpAssignment", {
      "GET /v2/reserved_ips/203.0.113.9": [address(9), address(1)],
    });
    const read = await thing.read("203.0.113.9,9");
    expect([read.id, read.outs]).toEqual([
      expect.stringMatching(/^9-203\.0\.113\.9-\d{26}$/),
      expect.objectContaining({ dropletId: 9 }),
    ]);
    await thing.delete(read.id, read.outs);
    expect(thing.server.lines().filter((line) => line.startsWith("POST"))).toEqual([]);
    expect(await thrown(thing.read("9"))).toContain("ADDRESS,DROPLET_ID");
  });
});

describe("projectResources", () => {
  it("moves what left to the default project, and sees only its own", async () => {
    const thing = await start("projectResources", {
      "GET /v2/projects/default": ok({ project: { id: "d" } }),
      "POST /v2/projects/d/resources": ok({}),
      "POST /v2/projects/p/resources": ok({}),
      "GET /v2/projects/p": ok({ project: { id: "p", name: "p" } }),
      "GET /v2/projects/p/resources": [
        ok({
          resources: [{ urn: "do:droplet:1" }, { urn: "do:floatingip:203.0.113.9" }, { urn: "do:volume:x" }],
        }),
        ok({ resources: [{ urn: "do:droplet:2" }, { urn: "do:volume:x" }] }),
      ],
    });
    // A deleted droplet is in no project.
    const olds = {
      project: "p",
      resources: ["do:droplet:1", "do:droplet:7", "do:reservedip:203.0.113.9"],
    };
    const { outs } = await thing.update("p", olds, { project: "p", resources: ["do:droplet:2"] });
    expect(thing.sent("POST /v2/projects/d/resources")).toEqual([
      { resources: ["do:droplet:1", "do:reservedip:203.0.113.9"] },
    ]);
    expect(thing.sent("POST /v2/projects/p/resources")).toEqual([{ resources: ["do:droplet:2"] }]);
    expect((await thing.read("p", outs)).outs.resources).toEqual(["do:droplet:2"]);
  });
});

describe("deletes that need patience", () => {
  it("a VPC waits for its members, and at the end says what the API said", async () => {
    const busyVpc: Answer = { status: 403, body: { message: "Can not delete VPC with members" } };
    const thing = await start("vpc", { "DELETE /v2/vpcs/u": [busyVpc, busyVpc, empty] });
    await thing.delete("u", {});
    expect(thing.clock.slept).toHaveLength(2);
    const never = await start("vpc", { "DELETE /v2/vpcs/u": busyVpc });
    expect(await thrown(never.delete("u", {}))).toContain("Can not delete VPC with members");
  });
  it("a project waits for its resources to leave", async () => {
    const held: Answer = { status: 412, body: { message: "cannot delete a project with resources" } };
    const thing = await start("project", { "DELETE /v2/projects/p": [held, empty] });
    await thing.delete("p", {});
    expect(thing.clock.slept).toHaveLength(1);
  });
});

describe("checks over several properties", () => {
  it.each<[string, Props, RegExp]>([
    ["firewall", { name: "f" }, /at least one of inboundRules and outboundRules/],
    [
      "firewall",
      { inboundRules: [{ protocol: "tcp", sourceAddresses: ["::/0"] }] },
      /^inboundRules\[0\]\.portRange is missing; give a port/,
    ],
    ["dnsRecord", { domain: "d", type: "SRV", value: "x." }, /^type is not one of "A", "AAAA"/],
    ["droplet", { size: "s", image: "i", volumeIds: ["v"] }, /^volumeIds is not known to .*; allowed: /],
    ["reservedIp", { region: "fra1", dropletId: 1 }, /^dropletId is not known to .*; allowed: region/],
    ["tag", { name: "no spaces" }, /^name does not have the form/],
    ["vpc", { region: "fra1", ipRange: "10.0.0.0" }, /^ipRange does not have the form/],
    ["volume", { region: "fra1", size: 0 }, /^size is out of range/],
  ])("%s %j", async (kind, inputs, expected) => {
    const { check } = await start(kind, {});
    expect((await check(inputs)).faults).toContainEqual(expect.stringMatching(expected));
  });
});

describe("DNS names in the program's longer spelling are no change", () => {
  const state = { domain: "example.org", type: "A", name: "www", value: "203.0.113.9", ttl: 1800 };
  it.each<[Props, Record<string, string>]>([
    [{ name: "www.example.org." }, {}],
    [{ value: "203.0.113.10" }, { value: "update" }],
    [{ name: "ftp" }, { name: "update" }],
  ])("%j is %j", async (edit, expected) => {
    const { diff } = await start("dnsRecord", {});
    const { ttl: _, ...program } = { ...state, ...edit };
    expect(await diff(state, program)).toEqual(expected);
  });
});
