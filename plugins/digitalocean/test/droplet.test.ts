/** Droplets against a small API: made once, waited for, changed in place in order, deleted, taken from official states. */
import type { Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { dropletBody, dropletState } from "../src/droplet/map";
import { dropletMeta, userDataDigest } from "../src/droplet/schema";
import { Account } from "./account";
import { closeServers, context, resource, serve, TOKEN, testClock, thrown } from "./support";

closeServers();

const program: Props = {
  name: "head",
  image: "debian-13-x64",
  region: "fra1",
  size: "s-2vcpu-4gb",
  sshKeys: ["123", "aa:bb"],
  tags: ["berth", "head"],
  userData: "#cloud-config\nsecret",
  vpcUuid: "vpc-1",
  monitoring: true,
};

async function start() {
  const account = new Account();
  const server = await serve(account.answer);
  const clock = testClock();
  /** The plugin of the next run. */
  const next = () => resource("droplet", server.url, clock);
  return { account, server, clock, next, droplet: next() };
}

describe("a droplet's create", () => {
  it("waits until it is active, and keeps what the official plugin keeps", async () => {
    const { droplet, server, clock, account } = await start();
    const { id, outs } = await droplet.create(program);
    expect(id).toBe("100");
    expect(clock.slept.length).toBeGreaterThanOrEqual(2);
    expect(outs).toMatchObject({
      __meta: dropletMeta,
      id: "100",
      dropletUrn: "do:droplet:100",
      ipv4Address: "203.0.113.5",
      ipv4AddressPrivate: "10.110.0.2",
      image: "debian-13-x64",
      status: "active",
      tags: ["berth", "head"],
      resizeDisk: true,
      userData: userDataDigest("#cloud-config\nsecret"),
    });
    const posted = server.seen.find(({ method, path }) => method === "POST" && path === "/v2/droplets");
    expect(posted?.token).toBe(`Bearer ${TOKEN}`);
    expect(posted?.body).toMatchObject({
      image: "debian-13-x64",
      ssh_keys: [123, "aa:bb"],
      monitoring: true,
    });
    await droplet.end();
    expect(account.droplets[0]?.tags).toEqual(["berth", "head"]); // ours is gone again
    expect(JSON.stringify(outs)).not.toContain(TOKEN);
    expect(await droplet.diff(outs, program)).toEqual({});
  });

  it("in a preview touches nothing and knows no address", async () => {
    const { droplet, server } = await start();
    const { id, outs } = await droplet.create(program, context("head", { preview: true }));
    expect([id, server.seen]).toEqual(["", []]);
    expect(outs.ipv4Address).toBe("04da6b54-80e4-46f7-96ec-b56ff0331ba9");
  });

  it("that was killed makes no second droplet, but goes on with the first", async () => {
    const { droplet, account, next } = await start();
    account.slow = 1000;
    const control = new AbortController();
    account.before = ({ path }) => {
      if (path === "/v2/droplets/100") control.abort(new Error("cancelled"));
      return undefined;
    };
    expect(await thrown(droplet.create(program, context("head", { signal: control.signal })))).toContain(
      "cancelled",
    );
    expect(account.droplets).toHaveLength(1);
    expect(account.droplets[0]?.tags.filter((tag) => tag.startsWith("berth-"))).toHaveLength(1);

    Object.assign(account, { before: () => undefined, slow: 0 });
    const ctx = context("head");
    const again = await next().create(program, ctx);
    expect([again.id, account.droplets.length]).toEqual(["100", 1]);
    expect(again.outs.tags).toEqual(["berth", "head"]);
    expect(ctx.said.join()).toContain("left by an interrupted run");
  });

  it("in place of one whose old mark stands yet makes a new one", async () => {
    const { droplet, account, next } = await start();
    const { outs } = await droplet.create(program); // killed after the engine had noted it
    const replacing = next();
    await replacing.diff(outs, { ...program, image: "ubuntu-24-04-x64" });
    expect((await replacing.create(program)).id).toBe("101");
    expect(account.droplets[0]?.tags).toEqual(["berth", "head"]);
    const forced = next();
    await forced.check(program, outs); // `--replace` asks for no diff
    expect((await forced.create(program)).id).toBe("102");
  });

  it("of a made-up name takes over what an earlier one left, and renames it", async () => {
    const { droplet, account, next } = await start();
    account.before = ({ path }) => (path === "/v2/droplets/100" ? { status: 422 } : undefined);
    const { name: _, ...unnamed } = program;
    await thrown(droplet.create(unnamed));
    account.before = () => undefined;
    const { outs } = await next().create(program);
    expect([outs.name, account.droplets.length, account.actions]).toEqual(["head", 1, ["rename"]]);
  });

  it("refuses a left-over of another program, with how to mend it", async () => {
    const { droplet, account, next } = await start();
    account.before = ({ path }) => (path === "/v2/droplets/100" ? { status: 422 } : undefined);
    await thrown(droplet.create(program));
    account.before = () => undefined;
    const said = await thrown(next().create({ ...program, size: "s-4vcpu-8gb" }));
    expect(said).toContain("interrupted run left 100, noted by the tag berth-id:");
    expect(said).toContain("doctl compute droplet delete 100");
    expect(account.droplets).toHaveLength(1);
  });

  it("whose answer was lost looks for the droplet before it asks again", async () => {
    const { droplet, account, server } = await start();
    let lost = 0;
    account.before = (seen) => {
      if (seen.method !== "POST" || seen.path !== "/v2/droplets" || lost++ > 0) return undefined;
      account.before = () => undefined;
      account.answer(seen);
      return { status: 504 };
    };
    expect((await droplet.create(program)).id).toBe("100");
    expect(account.droplets).toHaveLength(1);
    expect(server.lines().filter((line) => line === "POST /v2/droplets")).toHaveLength(1);
  });

  it("that does not become active is kept in state, with the time-out named", async () => {
    const { droplet, account } = await start();
    account.slow = 1000;
    const error = await droplet
      .create(program, context("head", { timeoutMs: 30_000 }))
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ partial: { id: "100", outs: { name: "head", tags: ["berth", "head"] } } });
    expect((error as Error).message).toMatch(
      /head \(100\): wait until it is active: not done within 30 s.*customTimeouts/,
    );
  });

  it("over the account's limit says so", async () => {
    const { droplet, account } = await start();
    const message = "creating this/these droplet(s) will exceed your droplet limit";
    account.before = ({ method }) => (method === "POST" ? { status: 422, body: { message } } : undefined);
    expect(await thrown(droplet.create(program))).toContain(
      `create droplet head: the DigitalOcean API answered 422: ${message}`,
    );
  });
});

describe("a droplet's diff", () => {
  const state = async (over: Props = {}): Promise<Props> => {
    const { droplet } = await start();
    return { ...(await droplet.create(program)).outs, ...over };
  };
  it.each<[string, Props, Record<string, string>]>([
    ["user data", { userData: "other" }, { userData: "replace" }],
    ["image", { image: "ubuntu-24-04-x64" }, { image: "replace" }],
    ["region", { region: "nyc3" }, { region: "replace" }],
    ["the same region in capitals", { region: "FRA1" }, {}],
    ["SSH keys in another order", { sshKeys: ["aa:bb", "123"] }, {}],
    ["another SSH key", { sshKeys: ["123", "cc"] }, { "sshKeys.1": "replace" }],
    ["size", { size: "s-4vcpu-8gb" }, { size: "update" }],
    ["name", { name: "other" }, { name: "update" }],
    ["a tag more", { tags: ["head", "berth", "new"] }, { "tags.2": "add" }],
    ["tags in capitals", { tags: ["HEAD", "berth"] }, {}],
    ["backups", { backups: true }, { backups: "update" }],
    ["monitoring", { monitoring: false }, { monitoring: "replace" }],
    ["IPv6 on", { ipv6: true }, { ipv6: "add" }],
    ["VPC", { vpcUuid: "vpc-2" }, { vpcUuid: "replace" }],
    ["a computed property that is left out", { vpcUuid: null }, {}],
  ])("%s", async (_, edit, expected) => {
    const { droplet } = await start();
    const found = await droplet.diff(await state(), { ...program, ...edit });
    // Zero and absent are one to the official rules, so a first "true" may count as added.
    const norm = (all: Record<string, string>) =>
      Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v === "replace" ? v : "edit"]));
    expect(norm(found)).toEqual(norm(expected));
  });
  it("IPv6 off replaces", async () => {
    const { droplet } = await start();
    expect(await droplet.diff(await state({ ipv6: true }), program)).toEqual({ ipv6: "replace" });
  });
  it("takes a state with the user data's text, as old ones have it", async () => {
    const { droplet } = await start();
    expect(await droplet.diff(await state({ userData: program.userData as string }), program)).toEqual({});
  });
});

describe("a droplet's update", () => {
  it("goes in the official order and ends with what the API says", async () => {
    const { droplet, account, server } = await start();
    const { outs } = await droplet.create(program);
    const news = {
      ...program,
      name: "new",
      size: "s-4vcpu-8gb",
      ipv6: true,
      backups: true,
      tags: ["head", "gpu"],
    };
    const { outs: after } = await droplet.update("100", outs, news);
    expect(account.actions).toEqual([
      "power_off",
      "resize",
      "power_on",
      "rename",
      "enable_backups",
      "enable_ipv6",
    ]);
    expect(server.lines()).toEqual(
      expect.arrayContaining([
        "DELETE /v2/tags/berth/resources",
        "POST /v2/tags",
        "POST /v2/tags/gpu/resources",
      ]),
    );
    expect(after).toMatchObject({
      name: "new",
      size: "s-4vcpu-8gb",
      ipv6: true,
      backups: true,
      __meta: dropletMeta,
    });
  });
  it("turns the droplet on again if the resize is refused", async () => {
    const { droplet, account } = await start();
    const { outs } = await droplet.create(program);
    account.before = ({ body }) =>
      body.type === "resize" ? { status: 422, body: { message: "too small" } } : undefined;
    expect(await thrown(droplet.update("100", outs, { ...program, size: "s-1vcpu-1gb" }))).toContain(
      "too small",
    );
    expect(account.actions).toEqual(["power_off", "power_on"]);
  });
  it("takes off our tag that a killed create left, when the plugin ends", async () => {
    const { droplet, account, next } = await start();
    const { outs } = await droplet.create(program);
    const later = next();
    await later.diff(outs, { ...program, name: "other" });
    await later.update("100", outs, { ...program, name: "other" });
    await later.end();
    expect(account.droplets[0]?.tags).toEqual(["berth", "head"]);
  });
});

describe("a droplet's read and delete", () => {
  it("gone is gone", async () => {
    const { droplet } = await start();
    expect((await droplet.read("7", { name: "x" })).id).toBe("");
    await droplet.delete("7", { name: "x" });
  });
  it("shows drift, and hides our tags", async () => {
    const { droplet, account } = await start();
    const { outs } = await droplet.create(program);
    Object.assign(account.droplets[0] ?? {}, { name: "renamed", tags: ["berth", "head", "berth-id:x"] });
    const read = await droplet.read("100", outs, program);
    expect([read.outs.name, read.inputs?.name, read.outs.tags, read.inputs?.userData]).toEqual([
      "renamed",
      "renamed",
      ["berth", "head"],
      program.userData,
    ]);
  });
  it("imports with the image's slug, and without a diff", async () => {
    const { droplet } = await start();
    await droplet.create(program);
    const { inputs, outs } = await droplet.read("100");
    expect(inputs).toMatchObject({ image: "debian-13-x64", size: "s-2vcpu-4gb", region: "fra1" });
    expect(await droplet.diff(outs, { ...inputs } as Props)).toEqual({});
  });
  it("waits for the lock, shuts down if asked for, lets volumes go, and waits until it is gone", async () => {
    const { droplet, account, server } = await start();
    const { outs } = await droplet.create({ ...program, gracefulShutdown: true });
    Object.assign(account.droplets[0] ?? {}, { locked: true, volume_ids: ["vol-1"] });
    let looks = 0;
    account.before = ({ path }) => {
      if (path === "/v2/droplets/100" && looks++ === 2)
        Object.assign(account.droplets[0] ?? {}, { locked: false });
      return path === "/v2/volumes/vol-1/actions"
        ? { body: { action: { id: 2, status: "completed" } } }
        : undefined;
    };
    await droplet.delete("100", outs);
    expect(account.actions).toEqual(["shutdown"]);
    expect(account.droplets).toEqual([]);
    const detached = server.seen.find(({ path }) => path === "/v2/volumes/vol-1/actions");
    expect(detached?.body).toEqual({ type: "detach", droplet_id: 100 });
  });
});

describe("translation", () => {
  it.each<[Props, Record<string, unknown>]>([
    [{ image: "12345" }, { image: 12345 }],
    [{ backups: true }, { backups: true }],
    [{ backups: false }, { backups: undefined }],
    [
      { size: "S-1VCPU-1GB", region: "NYC3" },
      { size: "s-1vcpu-1gb", region: "nyc3" },
    ],
  ])("%j is sent as %j", (inputs, expected) => expect(dropletBody(inputs)).toMatchObject(expected));
  it("leaves out an address that is not there", () => {
    const bare = { id: 1, name: "n", status: "new", locked: false };
    const state = dropletState({ ...bare, size: { slug: "s" }, region: { slug: "r" } }, {});
    expect(state).toMatchObject({ ipv4Address: "", ipv6Address: "", tags: [] });
  });
  it("refuses what the API would", async () => {
    const { droplet } = await start();
    const { faults } = await droplet.check({
      ...program,
      backupPolicy: { plan: "daily" },
      userData: "x".repeat(70_000),
    });
    expect(faults).toEqual([
      expect.stringMatching(/^backupPolicy is not known to .*; allowed: .*\bbackups\b/),
      expect.stringMatching(/^userData is 70000 bytes long; at most 65536/),
    ]);
  });
});
