/** The same through the official client: what it sends is understood, and it understands what comes. */
import { describe, expect, it } from "vitest";
import { officialClient } from "../client";
import { api, plain, publicKey, start } from "./rig";

describe("the official client", () => {
  it("drives each resource, with requests and answers that it understands", async () => {
    const { url, token, idle } = await start();
    const { v2 } = await officialClient({ url, token });
    const project = (
      await v2.projects.post({ name: "cell", purpose: "Service or API", environment: "Production" })
    ).project;
    const vpc = (await v2.vpcs.post({ name: "cell", region: "fra1", ipRange: "10.110.0.0/20" })).vpc;
    const sshKey = (await v2.account.keys.post({ name: "one", publicKey: publicKey })).sshKey;
    expect((await v2.account.keys.bySsh_key_identifier(sshKey.fingerprint).get()).sshKey.id).toBe(sshKey.id);
    await v2.tags.post({ name: "berth" });
    const volume = (
      await v2.volumes.post({ name: "data", region: "fra1", sizeGigabytes: 10, filesystemType: "xfs" })
    ).volume;
    const made = await v2.droplets.post({
      ...plain,
      sshKeys: [sshKey.id],
      vpcUuid: vpc.id,
      tags: ["berth"],
      userData: "#cloud-config\n",
      withDropletAgent: false,
    });
    await idle();
    const action = (await v2.actions.byAction_id(made.links.actions[0].id).get()).action;
    expect(action).toMatchObject({ status: "completed", resourceType: "droplet", regionSlug: "fra1" });
    const one = v2.droplets.byDroplet_id(made.droplet.id);
    const { droplet } = await one.get();
    expect(droplet).toMatchObject({
      status: "active",
      vpcUuid: vpc.id,
      sizeSlug: "s-2vcpu-4gb",
      createdAt: expect.any(Date),
    });
    expect(droplet.networks.v4.map(({ type }: { type: string }) => type)).toEqual(["private", "public"]);
    expect((await v2.droplets.get({ queryParameters: { tagName: "berth" } })).meta.total).toBe(1);

    await v2.volumes
      .byVolume_id(volume.id)
      .actions.post({ type: "attach", dropletId: droplet.id, region: "fra1" });
    await idle();
    await one.actions.post({ type: "power_off" });
    await idle();
    await one.actions.post({ type: "resize", size: "s-4vcpu-8gb", disk: false });
    await idle();
    expect((await one.get()).droplet).toMatchObject({ status: "off", vcpus: 4, volumeIds: [volume.id] });

    const reserved = (await v2.reserved_ips.post({ dropletId: droplet.id })).reservedIp;
    await idle();
    expect((await v2.reserved_ips.byReserved_ip(reserved.ip).get()).reservedIp.droplet.id).toBe(droplet.id);
    const sources = { addresses: ["0.0.0.0/0"] };
    const firewall = (
      await v2.firewalls.post({
        name: "cell",
        tags: ["berth"],
        inboundRules: [{ protocol: "tcp", ports: "22", sources }],
      })
    ).firewall;
    expect(firewall.pendingChanges).toMatchObject([{ dropletId: droplet.id, removing: false }]);
    await v2.firewalls.byFirewall_id(firewall.id).droplets.post({ dropletIds: [droplet.id] });
    await v2.domains.post({ name: "example.com" });
    const records = v2.domains.byDomain_name("example.com").records;
    const record = (await records.post({ type: "A", name: "node-1", data: reserved.ip, ttl: 60 }))
      .domainRecord;
    await records.byDomain_record_id(record.id).patch({ type: "A", ttl: 90 });
    expect((await records.byDomain_record_id(record.id).get()).domainRecord.ttl).toBe(90);
    await v2.projects.byProject_id(project.id).resources.post({ resources: [`do:droplet:${droplet.id}`] });
    expect((await v2.vpcs.byVpc_id(vpc.id).members.get()).members).toHaveLength(1);
    for (const list of [v2.regions, v2.sizes, v2.images, v2.account]) expect(await list.get()).toBeDefined();

    await v2.firewalls.byFirewall_id(firewall.id).delete();
    await v2.reserved_ips.byReserved_ip(reserved.ip).delete();
    await one.delete();
    await idle();
    for (const gone of [
      v2.volumes.byVolume_id(volume.id),
      v2.vpcs.byVpc_id(vpc.id),
      v2.projects.byProject_id(project.id),
    ])
      await gone.delete();
    await expect(one.get()).rejects.toMatchObject({ responseStatusCode: 404 });
  });

  it("gets pages, errors with their text, and tries again after a 429", async () => {
    const { url, token } = await start({ faults: [{ kind: "rate-limit", every: 2, times: 1 }] });
    const { v2 } = await officialClient({ url, token });
    for (let index = 0; index < 5; index++) await v2.tags.post({ name: `tag-${index}` });
    expect(api?.requests.map(({ status }) => status)).toEqual([201, 429, 201, 201, 201, 201]);
    const page = await v2.tags.get({ queryParameters: { perPage: 2, page: 3 } });
    expect([page.tags.length, page.meta.total]).toEqual([1, 5]);
    const error = await v2.droplets.post({ ...plain, size: "s-1" }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      responseStatusCode: 422,
      messageEscaped: expect.stringMatching(/invalid size/),
    });
  });

  it("is caught when it sends what is not described", async () => {
    const { url, token, takeViolations } = await start();
    const { v2 } = await officialClient({ url, token });
    await expect(v2.tags.post({ name: "x", additionalData: { nmae: "y" } })).rejects.toMatchObject({
      responseStatusCode: 422,
    });
    expect(takeViolations()).toEqual([
      expect.stringMatching(/^POST \/v2\/tags body\.nmae: Tags has no such property/),
    ]);
  });
});
