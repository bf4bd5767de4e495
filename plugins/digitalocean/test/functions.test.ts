/** getRegions, getSizes and getImage: pages, filters by the official rules, and what cannot be found. */
import type { Props, Schema } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { sizeKeys, sizeOf } from "../src/functions/map";
import { applyQuery } from "../src/functions/query";
import { digitaloceanProvider } from "../src/provider";
import { bag, closeServers, context, serve, TOKEN, testClock, thrown } from "./support";

closeServers();

function call(name: string, url: string, args: Props = {}) {
  const spec = digitaloceanProvider({}, testClock());
  void spec.configure?.(bag({ token: TOKEN, apiEndpoint: url }), context("provider"));
  const found = spec.functions?.[`digitalocean:index/${name}:${name}`];
  if (found === undefined) throw new Error(`no function ${name}`);
  return Promise.resolve(found.invoke(bag(args), context("", { urn: "" })));
}

const sizes = [
  { slug: "s-1vcpu-1gb", available: true, price_monthly: 6, vcpus: 1, regions: ["fra1", "nyc3"] },
  { slug: "s-2vcpu-4gb", available: false, price_monthly: 24, vcpus: 2, regions: ["nyc3"] },
  {
    slug: "gpu-h100x1-80gb",
    available: true,
    price_monthly: 2000,
    vcpus: 20,
    regions: ["nyc2"],
    gpu_info: { count: 1, model: "nvidia_h100" },
  },
].map(sizeOf);

describe("a query", () => {
  const filter = (key: string, values: string[], more: Props = {}): Props => ({
    filters: [{ key, values, ...more }],
  });
  it.each<[string, Props, string[]]>([
    ["nothing", {}, ["s-1", "s-2", "gpu"]],
    ["any of the values", filter("slug", ["S-1VCPU-1GB", "s-2vcpu-4gb"]), ["s-1", "s-2"]],
    ["all of the values", filter("regions", ["fra1", "nyc3"], { all: true }), ["s-1"]],
    ["an entry of a list", filter("regions", ["nyc3"]), ["s-1", "s-2"]],
    ["a number", filter("price_monthly", ["24.0"]), ["s-2"]],
    ["a flag", filter("available", ["true"]), ["s-1", "gpu"]],
    ["an expression", filter("slug", ["^gpu-"], { matchBy: "re" }), ["gpu"]],
    ["a part", filter("slug", ["vcpu-4"], { matchBy: "substring" }), ["s-2"]],
    ["sorted", { sorts: [{ key: "vcpus", direction: "desc" }] }, ["gpu", "s-2", "s-1"]],
  ])("by %s", (_, args, expected) => {
    expect(
      applyQuery(sizeKeys, args, sizes).map(({ slug }) => String(slug).split(/(?<=s-\d|gpu)/)[0]),
    ).toEqual(expected);
  });
});

describe("functions", () => {
  it("read every page", async () => {
    const server = await serve(({ path }) => {
      const last = path.includes("?page=2");
      const slug = last ? "nyc3" : "fra1";
      return {
        body: {
          regions: [{ slug, name: slug, available: true }],
          links: last ? {} : { pages: { next: "x" } },
        },
      };
    });
    const { outs } = await call("getRegions", server.url);
    expect(((outs?.regions ?? []) as Props[]).map(({ slug }) => slug)).toEqual(["fra1", "nyc3"]);
    expect(outs?.id).toMatch(/^regions\/[0-9a-f]+$/);
  });
  it("refuse a value that the field cannot have", async () => {
    const args = { filters: [{ key: "vcpus", values: ["many"] }] };
    const { failures } = await call("getSizes", "http://127.0.0.1:1", args);
    expect(failures).toEqual([
      { property: "filters[0].values[0]", reason: 'is "many"; give it as a number' },
    ]);
  });
  it("find an image by slug, by id and by name, and say when there is none or more than one", async () => {
    const image = { id: 5, slug: "debian-13-x64", name: "13 x64", public: true };
    const server = await serve(({ path }) => {
      if (/images\/(5|debian-13-x64)$/.test(path)) return { body: { image } };
      if (path.startsWith("/v2/images?private=true"))
        return {
          body: {
            images: [
              { id: 1, name: "mine" },
              { id: 2, name: "two" },
              { id: 3, name: "two" },
            ],
          },
        };
      return undefined;
    });
    expect((await call("getImage", server.url, { slug: "debian-13-x64" })).outs).toMatchObject({
      id: 5,
      image: "5",
      private: false,
    });
    expect((await call("getImage", server.url, { id: 5 })).outs).toMatchObject({ slug: "debian-13-x64" });
    expect((await call("getImage", server.url, { name: "mine" })).outs).toMatchObject({
      id: 1,
      private: true,
    });
    expect(await thrown(call("getImage", server.url, { name: "two" }))).toContain(
      "2 images are named two: 2, 3",
    );
    expect(await thrown(call("getImage", server.url, { slug: "none" }))).toContain("there is no image none");
    expect((await call("getImage", server.url, { slug: "a", name: "b" })).failures?.[0]?.reason).toBe(
      "give exactly one of id, slug and name",
    );
  });
});

describe("what is asked for", () => {
  it("is quoted in errors: SDKs take the marks of secrets off, so the rest of a function's arguments is masked", () => {
    const hidden = (schema: Schema, at: string): string[] =>
      Object.entries(schema).flatMap(([key, property]) => {
        if (property.public === true || property.type === "integer" || property.type === "boolean") return [];
        const inner = property.items?.properties ?? property.properties;
        return inner ? hidden(inner, `${at}.${key}`) : [`${at}.${key}`];
      });
    const functions = digitaloceanProvider({}, testClock()).functions ?? {};
    expect(Object.keys(functions)).toHaveLength(3);
    for (const [token, { inputs }] of Object.entries(functions)) expect(hidden(inputs, token)).toEqual([]);
  });
});
