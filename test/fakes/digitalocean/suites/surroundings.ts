/** What stands around droplets: VPCs, reserved IPs, firewalls, tags, projects, domains. */
import { describe, expect, it } from "vitest";
import { api, ok, plain, refused, start } from "./rig";

describe("networks", () => {
  it("keeps VPCs apart, one default in a region", async () => {
    await start();
    const { vpc } = await ok(201, "POST", "/vpcs", {
      name: "cell",
      region: "fra1",
      ip_range: "10.110.0.0/20",
    });
    const wrong = (ip_range: string) =>
      refused(422, "POST", "/vpcs", { name: "other", region: "fra1", ip_range });
    expect(await wrong("10.110.8.0/24")).toMatch(/overlaps/);
    for (const range of ["10.110.0.0/8", "11.0.0.0/20", "10.110.0.1/20", "10.0.0.0/29"])
      expect(await wrong(range)).toMatch(/private network/);
    await ok(202, "POST", "/droplets", plain);
    const [first] = (await ok(200, "GET", "/vpcs")).vpcs.filter((one: { default: boolean }) => one.default);
    expect(first).toMatchObject({ name: "default-fra1", region: "fra1" });
    await refused(403, "DELETE", `/vpcs/${first.id}`);
    await ok(200, "PATCH", `/vpcs/${vpc.id}`, { default: true, description: "ours" });
    expect((await ok(200, "GET", `/vpcs/${first.id}`)).vpc.default).toBe(false);
  });

  it("assigns reserved IPs, also at once, and takes them from a droplet that goes", async () => {
    await start();
    const { droplet } = await ok(202, "POST", "/droplets", plain);
    await api?.idle();
    const { reserved_ip, links } = await ok(202, "POST", "/reserved_ips", { droplet_id: droplet.id });
    expect(reserved_ip).toMatchObject({ locked: true, droplet: null, region: { slug: "fra1" } });
    await api?.idle();
    expect((await ok(200, "GET", links.actions[0].href)).action).toMatchObject({
      type: "assign_ip",
      status: "completed",
    });
    const path = `/reserved_ips/${reserved_ip.ip}`;
    expect((await ok(200, "GET", path)).reserved_ip).toMatchObject({
      locked: false,
      droplet: { id: droplet.id },
    });
    await ok(201, "POST", `${path}/actions`, { type: "unassign" });
    await api?.idle();
    expect(await refused(422, "POST", `${path}/actions`, { type: "unassign" })).toMatch(/not assigned/);
    await ok(201, "POST", `${path}/actions`, { type: "assign", droplet_id: droplet.id });
    await api?.idle();
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    expect((await ok(200, "GET", path)).reserved_ip.droplet).toBeNull();
    expect(await refused(422, "POST", `${path}/actions`, { type: "unassign" })).toMatch(/not assigned/);
    await ok(204, "DELETE", path);
  });

  it("applies firewalls to droplets by id and by tag, and says so to the hook", async () => {
    const seen: [string, readonly number[]][] = [];
    await start({ hooks: { onFirewall: (event, _, ids) => void seen.push([event, ids]) } });
    const { droplet } = await ok(202, "POST", "/droplets", { ...plain, tags: ["berth"] });
    const ssh = { protocol: "tcp", ports: "22", sources: { addresses: ["192.0.2.0/24"] } };
    const body = { name: "cell", inbound_rules: [ssh], tags: ["berth"] };
    expect(await refused(422, "POST", "/firewalls", { ...body, tags: ["absent"] })).toMatch(/absent/);
    expect(await refused(422, "POST", "/firewalls", { name: "none" })).toMatch(/at least one rule/);
    const { firewall } = await ok(202, "POST", "/firewalls", body);
    const change = { droplet_id: droplet.id, removing: false, status: "waiting" };
    expect(firewall).toMatchObject({ status: "waiting", pending_changes: [change] });
    await api?.idle();
    const path = `/firewalls/${firewall.id}`;
    expect((await ok(200, "GET", path)).firewall).toMatchObject({ status: "succeeded", pending_changes: [] });
    const { droplet: other } = await ok(202, "POST", "/droplets", plain);
    await ok(204, "POST", "/tags/berth/resources", {
      resources: [{ resource_id: String(other.id), resource_type: "droplet" }],
    });
    await ok(204, "POST", `${path}/rules`, {
      outbound_rules: [{ protocol: "icmp", ports: "", destinations: { addresses: ["::/0"] } }],
    });
    await ok(204, "DELETE", `${path}/rules`, { inbound_rules: [ssh] });
    const after = (await ok(200, "GET", path)).firewall;
    expect(after).toMatchObject({ inbound_rules: [], outbound_rules: [{ protocol: "icmp", ports: "0" }] });
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    await ok(204, "DELETE", path);
    await api?.idle();
    const both = [droplet.id, other.id];
    expect(seen).toEqual([
      ["create", [droplet.id]],
      ["update", both],
      ["update", both],
      ["update", both],
      ["update", [other.id]],
      ["delete", []],
    ]);
  });
});

describe("references that a client writes out empty", () => {
  it("name nothing: a new volume, droplet and VPC get what they would without", async () => {
    await start();
    const volume = { name: "data", region: "fra1", size_gigabytes: 1 };
    expect((await ok(201, "POST", "/volumes", { ...volume, snapshot_id: "" })).volume.size_gigabytes).toBe(1);
    await refused(404, "POST", "/volumes", { ...volume, name: "other", snapshot_id: "absent" });
    await ok(202, "POST", "/droplets", { ...plain, vpc_uuid: "" });
    expect(
      (await ok(201, "POST", "/vpcs", { name: "v", region: "fra1", ip_range: "" })).vpc.ip_range,
    ).toMatch(/\//);
  });
});

describe("tags, projects and domains", () => {
  it("tags resources of each kind, in the capitalisation of the first use", async () => {
    await start();
    await ok(201, "POST", "/tags", { name: "Cell" });
    const { volume } = await ok(201, "POST", "/volumes", {
      name: "data",
      region: "fra1",
      size_gigabytes: 1,
      tags: ["CELL"],
    });
    expect(volume.tags).toEqual(["Cell"]);
    const { tag } = await ok(200, "GET", "/tags/cell");
    expect(tag.resources).toMatchObject({
      count: 1,
      volumes: { count: 1, last_tagged_uri: `${api?.url}/v2/volumes/${volume.id}` },
    });
    // As godo reads it, and as the client does that is made from the description.
    expect(tag.resources).toMatchObject({ images: { count: 0 }, imgages: { count: 0 } });
    const resources = [{ resource_id: volume.id, resource_type: "volume" }];
    await ok(204, "DELETE", "/tags/Cell/resources", { resources });
    expect((await ok(200, "GET", `/volumes/${volume.id}`)).volume.tags).toEqual([]);
    expect(await refused(422, "POST", "/tags", { name: "a b" })).toMatch(/letters/);
    await ok(204, "DELETE", "/tags/Cell");
    await refused(404, "POST", "/tags/Cell/resources", { resources });
  });

  it("moves resources between projects, and deletes only an empty one", async () => {
    await start();
    const { droplet } = await ok(202, "POST", "/droplets", plain);
    const { project } = await ok(201, "POST", "/projects", {
      name: "cell",
      purpose: "training",
      environment: "Production",
    });
    expect(project).toMatchObject({ purpose: "Other: training", is_default: false });
    const urn = `do:droplet:${droplet.id}`;
    expect((await ok(200, "GET", "/projects/default/resources")).resources).toMatchObject([
      { urn, status: "ok" },
    ]);
    const path = `/projects/${project.id}`;
    expect((await ok(200, "POST", `${path}/resources`, { resources: [urn] })).resources).toMatchObject([
      { urn, status: "assigned" },
    ]);
    expect((await ok(200, "GET", "/projects/default/resources")).resources).toEqual([]);
    expect(await refused(412, "DELETE", path)).toMatch(/cannot delete a project with resources/);
    expect(await refused(404, "POST", `${path}/resources`, { resources: ["do:droplet:1"] })).toMatch(
      /do:droplet:1/,
    );
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    expect((await ok(200, "PATCH", path, { name: "renamed" })).project).toMatchObject({
      name: "renamed",
      environment: "Production",
    });
    await ok(204, "DELETE", path);
  });

  it("keeps a domain's records", async () => {
    await start();
    await ok(201, "POST", "/domains", { name: "example.com", ip_address: "192.0.2.1" });
    const records = "/domains/example.com/records";
    const { domain_record: record } = await ok(201, "POST", records, {
      type: "A",
      name: "node-1",
      data: "192.0.2.7",
      ttl: 60,
    });
    expect((await ok(200, "GET", `${records}?type=A&name=node-1.example.com`)).domain_records).toEqual([
      record,
    ]);
    expect((await ok(200, "GET", records)).meta.total).toBe(5);
    expect(await refused(422, "POST", records, { type: "SRV", name: "x", data: "y." })).toMatch(/priority/);
    expect(await refused(422, "POST", records, { type: "A", name: "x", data: "::1" })).toMatch(/IPv4/);
    await ok(200, "PATCH", `${records}/${record.id}`, { data: "192.0.2.8" });
    expect((await ok(200, "GET", "/domains/example.com")).domain.zone_file).toContain(
      "node-1.example.com. 60 IN A 192.0.2.8",
    );
    await ok(204, "DELETE", `${records}/${record.id}`);
    await ok(204, "DELETE", "/domains/example.com");
    await refused(404, "GET", records);
  });
});
