/** The account, its droplets and its volumes over HTTP: each from its first day to its last. */
import { describe, expect, it } from "vitest";
import { api, call, never, ok, plain, publicKey, refused, start } from "./rig";

describe("the account", () => {
  it("answers with itself, its regions, sizes and images", async () => {
    await start({ limits: { droplets: 3 } });
    expect((await ok(200, "GET", "/account")).account).toMatchObject({ droplet_limit: 3, status: "active" });
    const { regions } = await ok(200, "GET", "/regions");
    const { sizes } = await ok(200, "GET", "/sizes?per_page=200");
    const fra1 = regions.find(({ slug }: { slug: string }) => slug === "fra1");
    const gpu = sizes.find(({ slug }: { slug: string }) => slug === "gpu-h100x1-80gb");
    expect(fra1.sizes).not.toContain(gpu.slug);
    expect(gpu).toMatchObject({
      gpu_info: { count: 1, vram: { amount: 80 } },
      regions: expect.not.arrayContaining(["fra1"]),
    });
    const { image } = await ok(200, "GET", "/images/debian-13-x64");
    expect((await ok(200, "GET", `/images/${image.id}`)).image).toEqual(image);
    expect((await ok(200, "GET", "/images?private=true")).images).toEqual([]);
    await refused(404, "GET", "/images/no-such-image");
  });

  it("keeps SSH keys by id and by fingerprint, each once", async () => {
    await start();
    const { ssh_key: key } = await ok(201, "POST", "/account/keys", { name: "one", public_key: publicKey });
    expect(key.fingerprint).toMatch(/^([0-9a-f]{2}:){15}[0-9a-f]{2}$/);
    expect(await refused(422, "POST", "/account/keys", { name: "again", public_key: publicKey })).toMatch(
      /already in use/,
    );
    expect(
      await refused(422, "POST", "/account/keys", { name: "bad", public_key: "ssh-ed25519 AAAA" }),
    ).toMatch(/invalid/i);
    await ok(200, "PUT", `/account/keys/${key.fingerprint}`, { name: "renamed" });
    expect((await ok(200, "GET", `/account/keys/${key.id}`)).ssh_key.name).toBe("renamed");
    await ok(204, "DELETE", `/account/keys/${key.id}`);
    await refused(404, "GET", `/account/keys/${key.id}`);
  });
});

describe("droplets", () => {
  it("are new until their action is done, then active with addresses of their VPC", async () => {
    await start({ delay: never });
    const { ssh_key } = await ok(201, "POST", "/account/keys", { name: "one", public_key: publicKey });
    const { vpc } = await ok(201, "POST", "/vpcs", {
      name: "cell",
      region: "fra1",
      ip_range: "10.110.0.0/20",
    });
    const body = {
      ...plain,
      vpc_uuid: vpc.id,
      ssh_keys: [ssh_key.id],
      tags: ["berth"],
      ipv6: true,
      user_data: "#cloud-config\n",
    };
    const { droplet, links } = await ok(202, "POST", "/droplets", body);
    expect(droplet).toMatchObject({
      status: "new",
      locked: true,
      networks: { v4: [], v6: [] },
      vpc_uuid: vpc.id,
      tags: ["berth"],
    });
    const action = async () => (await ok(200, "GET", links.actions[0].href)).action;
    expect(await action()).toMatchObject({
      status: "in-progress",
      type: "create",
      resource_id: droplet.id,
      completed_at: null,
    });
    expect(await refused(422, "POST", `/droplets/${droplet.id}/actions`, { type: "reboot" })).toMatch(
      /pending event/,
    );

    api?.release();
    await api?.idle();
    expect(await action()).toMatchObject({ status: "completed", completed_at: expect.any(String) });
    const { droplet: made } = await ok(200, "GET", `/droplets/${droplet.id}`);
    expect(made).toMatchObject({
      status: "active",
      locked: false,
      features: expect.arrayContaining(["ipv6"]),
    });
    expect(made.networks.v4).toEqual([
      { ip_address: "10.110.0.2", netmask: "255.255.240.0", gateway: "", type: "private" },
      expect.objectContaining({ ip_address: "198.18.0.1", type: "public" }),
    ]);
    expect(made.networks.v6).toHaveLength(1);
    // What the API never shows, tests can.
    expect(api?.state.droplet(droplet.id)).toMatchObject({
      userData: "#cloud-config\n",
      sshKeys: [{ id: ssh_key.id }],
    });
  });

  it("come several at a time, and are found by name, tag and kind", async () => {
    await start();
    const { droplets, links } = await ok(202, "POST", "/droplets", {
      ...plain,
      name: undefined,
      names: ["a", "b"],
      tags: ["Cell"],
    });
    expect(links.actions).toHaveLength(2);
    await ok(202, "POST", "/droplets", {
      ...plain,
      name: "gpu-1",
      region: "tor1",
      size: "gpu-h100x1-80gb",
      image: "gpu-h100x1-base",
    });
    const found = async (query: string) =>
      (await ok(200, "GET", `/droplets${query}`)).droplets.map(({ name }: { name: string }) => name);
    expect(await found("")).toEqual(["a", "b"]);
    expect(await found("?name=B")).toEqual(["b"]);
    expect(await found("?tag_name=cell")).toEqual(["a", "b"]);
    expect(await found("?type=gpus")).toEqual(["gpu-1"]);
    await api?.idle();
    const { actions } = (await call("POST", "/droplets/actions?tag_name=Cell", { type: "power_off" })).body;
    expect(actions.map(({ resource_id }: { resource_id: number }) => resource_id)).toEqual(
      droplets.map(({ id }: { id: number }) => id),
    );
    await ok(204, "DELETE", "/droplets?tag_name=Cell");
    expect(await found("")).toEqual([]);
  });

  it.each([
    ["size", { size: "s-1" }, /invalid size/],
    ["image", { image: "debian-99" }, /invalid image/],
    ["region", { region: "xyz9" }, /invalid region/],
    ["a size that the region lacks", { size: "gpu-h100x1-80gb" }, /not available in this region/],
    ["key", { ssh_keys: [1, 2] }, /1, 2 are invalid key identifiers/],
    ["name", { name: "under_score" }, /hostname characters/],
    ["network", { vpc_uuid: "b0000000-0000-4000-8000-000000000000" }, /VPC UUID/],
    ["user data", { user_data: "x".repeat(65_537) }, /64 KiB/],
    ["volume", { volumes: ["a"] }, /does not exist/],
    ["number of names", { name: undefined, names: [..."abcdefghijk"] }, /up to ten/],
  ])("are refused for a wrong %s, and nothing is made", async (_, change, message) => {
    await start();
    expect(await refused(422, "POST", "/droplets", { ...plain, ...change })).toMatch(message);
    expect(api?.state.droplets.size).toBe(0);
  });

  it("change by actions: off, larger, renamed, on, a snapshot", async () => {
    await start();
    const { droplet } = await ok(202, "POST", "/droplets", plain);
    await api?.idle();
    const act = async (body: object) => {
      const { action } = await ok(201, "POST", `/droplets/${droplet.id}/actions`, body);
      await api?.idle();
      expect((await ok(200, "GET", `/droplets/${droplet.id}/actions/${action.id}`)).action.status).toBe(
        "completed",
      );
      return (await ok(200, "GET", `/droplets/${droplet.id}`)).droplet;
    };
    const resize = { type: "resize", size: "s-4vcpu-8gb", disk: true };
    expect(await refused(422, "POST", `/droplets/${droplet.id}/actions`, resize)).toMatch(/powered off/);
    expect(await act({ type: "power_off" })).toMatchObject({ status: "off" });
    expect(await act(resize)).toMatchObject({ size_slug: "s-4vcpu-8gb", vcpus: 4, disk: 160 });
    const back = { type: "resize", size: "s-2vcpu-4gb" };
    expect(await refused(422, "POST", `/droplets/${droplet.id}/actions`, back)).toMatch(/smaller disk/);
    expect(await act({ type: "rename", name: "node-2" })).toMatchObject({ name: "node-2" });
    expect(await act({ type: "power_on" })).toMatchObject({ status: "active" });
    expect((await act({ type: "enable_ipv6" })).networks.v6).toHaveLength(1);
    const { snapshot_ids } = await act({ type: "snapshot", name: "golden" });
    expect((await ok(200, "GET", `/droplets/${droplet.id}/snapshots`)).snapshots).toMatchObject([
      { id: snapshot_ids[0], name: "golden" },
    ]);
    expect(await refused(422, "POST", `/droplets/${droplet.id}/actions`, { type: "explode" })).toMatch(
      /not a valid action/,
    );
    expect((await ok(200, "GET", `/droplets/${droplet.id}/actions`)).meta.total).toBe(7);
  });

  it("let go of their network and volumes only a while after they were deleted", async () => {
    await start({ delay: (type) => (type === "destroy" ? never : 0) });
    const { vpc } = await ok(201, "POST", "/vpcs", {
      name: "cell",
      region: "fra1",
      ip_range: "10.110.0.0/20",
    });
    const { volume } = await ok(201, "POST", "/volumes", {
      name: "data",
      region: "fra1",
      size_gigabytes: 10,
    });
    const { droplet } = await ok(202, "POST", "/droplets", {
      ...plain,
      vpc_uuid: vpc.id,
      volumes: [volume.id],
    });
    await api?.idle();
    expect((await ok(200, "GET", `/volumes/${volume.id}`)).volume.droplet_ids).toEqual([droplet.id]);
    await ok(204, "DELETE", `/droplets/${droplet.id}`);
    await refused(404, "GET", `/droplets/${droplet.id}`);
    await refused(404, "DELETE", `/droplets/${droplet.id}`);
    expect((await ok(200, "GET", `/vpcs/${vpc.id}/members?resource_type=droplet`)).members).toHaveLength(1);
    expect(await refused(409, "DELETE", `/volumes/${volume.id}`)).toMatch(/attached/);
    expect(await refused(409, "DELETE", `/vpcs/${vpc.id}`)).toMatch(/members/);
    api?.release();
    await api?.idle();
    await ok(204, "DELETE", `/volumes/${volume.id}`);
    await ok(204, "DELETE", `/vpcs/${vpc.id}`);
    expect(api?.state.droplets.size).toBe(0);
  });
});

describe("volumes", () => {
  it("are made, found, attached, grown, detached and deleted, in that order only", async () => {
    await start();
    const { volume } = await ok(201, "POST", "/volumes", {
      name: "data",
      region: "fra1",
      size_gigabytes: 10,
      filesystem_type: "ext4",
      filesystem_label: "data",
      tags: ["berth"],
    });
    expect(
      await refused(409, "POST", "/volumes", { name: "data", region: "fra1", size_gigabytes: 1 }),
    ).toMatch(/exists/);
    expect((await ok(200, "GET", "/volumes?name=data&region=fra1")).volumes).toEqual([volume]);
    expect((await ok(200, "GET", "/volumes?name=data&region=ams3")).volumes).toEqual([]);
    const { droplet } = await ok(202, "POST", "/droplets", plain);
    await api?.idle();
    const path = `/volumes/${volume.id}/actions`;
    const attach = { type: "attach", droplet_id: droplet.id, region: "fra1" };
    const { action } = await ok(202, "POST", path, attach);
    expect(action).toMatchObject({ type: "attach_volume", resource_type: "backend", status: "in-progress" });
    await api?.idle();
    expect((await ok(200, "GET", `${path}/${action.id}`)).action.status).toBe("completed");
    expect((await ok(200, "GET", `/droplets/${droplet.id}`)).droplet.volume_ids).toEqual([volume.id]);
    expect(await refused(422, "POST", path, attach)).toMatch(/already attached/);
    expect(await refused(422, "POST", path, { type: "resize", size_gigabytes: 5 })).toMatch(/upwards/);
    await ok(202, "POST", path, { type: "resize", size_gigabytes: 20, region: "fra1" });
    await api?.idle();
    expect((await ok(200, "GET", `/volumes/${volume.id}`)).volume).toMatchObject({
      size_gigabytes: 20,
      droplet_ids: [droplet.id],
    });
    const { snapshot } = await ok(201, "POST", `/volumes/${volume.id}/snapshots`, { name: "before" });
    // By name, whose `volume_name` the description shows without having it in its schema.
    await ok(202, "POST", "/volumes/actions", { ...attach, type: "detach", volume_name: "data" });
    await api?.idle();
    await ok(204, "DELETE", "/volumes?name=data&region=fra1");
    const { volume: again } = await ok(201, "POST", "/volumes", {
      name: "again",
      snapshot_id: snapshot.id,
      region: "fra1",
    });
    expect(again.size_gigabytes).toBe(20);
    await ok(204, "DELETE", `/volumes/snapshots/${snapshot.id}`);
  });
});
