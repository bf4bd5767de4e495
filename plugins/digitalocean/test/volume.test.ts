/** Volumes and their attachments: made once, grown, never shrunk, moved while a droplet is busy. */
import type { Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { busy, done, empty, ok, pending, start } from "./scripted";
import { closeServers, context, resource, serve, thrown } from "./support";

closeServers();

const volume = (over: object = {}) => ({
  id: "vol",
  name: "data",
  region: { slug: "fra1" },
  size_gigabytes: 100,
  droplet_ids: [],
  tags: ["berth"],
  ...over,
});
const volumeProgram: Props = {
  name: "data",
  region: "fra1",
  size: 100,
  tags: ["berth"],
};

describe("volume", () => {
  it("that an interrupted run left is taken over, a second is not made", async () => {
    const made: Record<string, unknown>[] = [];
    const thing = await start("volume", {
      "GET /v2/volumes": () => ok({ volumes: made.map((body) => volume({ tags: body.tags })) }),
      "POST /v2/volumes": ({ body }) => {
        made.push(body);
        return { drop: true };
      },
      "DELETE /v2/tags/x": empty,
    });
    const ctx = context("data");
    const { id, outs } = await thing.create(volumeProgram, ctx);
    expect([id, made.length, outs.tags, outs.volumeUrn]).toEqual(["vol", 1, ["berth"], "do:volume:vol"]);
    expect(thing.server.lines()[0]).toBe("GET /v2/tags?page=1&per_page=200");
    await thing.end();
    expect(thing.server.lines().filter((line) => line.startsWith("DELETE /v2/tags/berth-id"))).toHaveLength(
      1,
    );
    expect(await thing.diff(outs, volumeProgram)).toEqual({});
  });
  it("keeps its tags off the state even if they cannot be deleted, and says so", async () => {
    const server = await serve(({ method, path }) =>
      method === "DELETE"
        ? { status: 403, body: { message: "no" } }
        : path.startsWith("/v2/volumes?")
          ? ok({ volumes: [] })
          : ok({ volume: volume({ tags: ["berth", "berth-id:1"] }) }),
    );
    const ctx = context("data");
    const thing = resource("volume", server.url);
    const { outs } = await thing.create(volumeProgram, ctx);
    await thing.end();
    expect(outs.tags).toEqual(["berth"]);
    expect(ctx.said.join()).toContain("the scope tag:delete");
  });
  it("grows in place and never shrinks", async () => {
    const thing = await start("volume", {
      "POST /v2/volumes/vol/actions": pending,
      "GET /v2/actions/5": [pending, done],
      "GET /v2/volumes/vol": ok({ volume: volume({ size_gigabytes: 200 }) }),
    });
    const { outs } = await thing.update(
      "vol",
      { ...volumeProgram, size: 100 },
      { ...volumeProgram, size: 200 },
    );
    expect(thing.sent("POST /v2/volumes/vol/actions")).toEqual([
      { type: "resize", size_gigabytes: 200, region: "fra1" },
    ]);
    expect(outs.size).toBe(200);
    expect(await thrown(thing.diff(volumeProgram, { ...volumeProgram, size: 50 }))).toContain(
      "can only grow; give 100 or more",
    );
  });
  it("makes up names in lower case", async () => {
    const { check } = await start("volume", {});
    expect((await check({ region: "fra1", size: 1 })).inputs.name).toMatch(/^thing-[0-9a-f]{7}$/);
  });
  it.each<[Props, Record<string, string>]>([
    [{ region: "FRA1" }, {}],
    [{ region: "nyc3" }, { region: "replace" }],
    [{ name: "other" }, { name: "replace" }],
    [{ description: "d" }, { description: "replace" }],
    [{ size: 101 }, { size: "update" }],
  ])("%j is %j", async (edit, expected) => {
    const { diff } = await start("volume", {});
    expect(await diff(volumeProgram, { ...volumeProgram, ...edit })).toEqual(expected);
  });
});

describe("volumeAttachment", () => {
  const pair = { dropletId: 9, volumeId: "vol" };
  it("waits while the droplet has another action, and for its own", async () => {
    const thing = await start("volumeAttachment", {
      "GET /v2/volumes/vol": ok({ volume: volume() }),
      "POST /v2/volumes/vol/actions": [busy, pending],
      "GET /v2/actions/5": [pending, done],
    });
    const { id, outs } = await thing.create(pair);
    expect(id).toMatch(/^9-vol-\d{18}[0-9a-f]{8}$/);
    expect(outs).toEqual({ id, ...pair });
    expect(thing.sent("POST /v2/volumes/vol/actions")).toHaveLength(2);
  });
  it("that is there already is left alone", async () => {
    const thing = await start("volumeAttachment", {
      "GET /v2/volumes/vol": ok({ volume: volume({ droplet_ids: [9] }) }),
    });
    await thing.create(pair);
    expect(thing.server.lines().filter((line) => !line.startsWith("GET /v2/tags?"))).toEqual([
      "GET /v2/volumes/vol",
    ]);
  });
  it("tells why an action failed", async () => {
    const thing = await start("volumeAttachment", {
      "GET /v2/volumes/vol": ok({ volume: volume() }),
      "POST /v2/volumes/vol/actions": ok({ action: { id: 5, status: "errored" } }),
    });
    expect(await thrown(thing.create(pair))).toContain(
      "attach volume vol to droplet 9: the action 5 ended in an error",
    );
  });
  it("reads as gone once the volume is elsewhere, and then needs no detach", async () => {
    const thing = await start("volumeAttachment", {
      "GET /v2/volumes/vol": ok({ volume: volume({ droplet_ids: [1] }) }),
    });
    expect((await thing.read("x", pair)).id).toBe("");
    await thing.delete("x", pair);
    expect(thing.server.lines().filter((line) => line.startsWith("POST"))).toEqual([]);
  });
});
