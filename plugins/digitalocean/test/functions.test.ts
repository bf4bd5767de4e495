/** getRegions, getSizes and getImage: pages, what cannot be found, and what is not offered. */
import { checkInputs, type FunctionType, type Props, type Schema } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { digitaloceanProvider } from "../src/provider";
import { bag, closeServers, context, serve, TOKEN, testClock, thrown } from "./support";

closeServers();

function found(name: string, spec = digitaloceanProvider({}, testClock())): FunctionType {
  const type = spec.functions?.[`digitalocean:index/${name}:${name}`];
  if (type === undefined) throw new Error(`no function ${name}`);
  return type;
}

function call(name: string, url: string, args: Props = {}) {
  const spec = digitaloceanProvider({}, testClock());
  void spec.configure?.(bag({ token: TOKEN, apiEndpoint: url }), context("provider"));
  return Promise.resolve(found(name, spec).invoke(bag(args), context("", { urn: "" })));
}

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
  it("find an image by its slug, and say when there is none", async () => {
    const image = { id: 5, slug: "debian-13-x64", name: "13 x64", public: true };
    const server = await serve(({ path }) =>
      path.endsWith("/images/debian-13-x64") ? { body: { image } } : undefined,
    );
    expect((await call("getImage", server.url, { slug: "debian-13-x64" })).outs).toMatchObject({
      id: 5,
      image: "5",
    });
    expect(await thrown(call("getImage", server.url, { slug: "none" }))).toContain("there is no image none");
  });
  it.each<[string, Props, string, RegExp]>([
    [
      "getSizes",
      { filters: [{ key: "vcpus", values: ["8"] }] },
      "filters",
      /filter and sort it in the program/,
    ],
    ["getRegions", { sorts: [{ key: "slug" }] }, "sorts", /filter and sort it in the program/],
    ["getImage", { slug: "a", name: "b" }, "name", /give slug, or install the official plugin/],
  ])("%s refuses %j, with the way out", (name, args, property, reason) => {
    const { failures } = checkInputs(name, found(name).inputs, args);
    expect(failures).toEqual([{ property, reason: expect.stringMatching(reason) }]);
  });
});

describe("what is asked for", () => {
  it("is quoted in errors: SDKs take the marks of secrets off, so the rest of a function's arguments is masked", () => {
    const hidden = (schema: Schema, at: string): string[] =>
      Object.entries(schema).flatMap(([key, property]) => {
        if (property.public === true || property.unsupported !== undefined) return [];
        const inner = property.items?.properties ?? property.properties;
        return inner ? hidden(inner, `${at}.${key}`) : [`${at}.${key}`];
      });
    const functions = digitaloceanProvider({}, testClock()).functions ?? {};
    expect(Object.keys(functions)).toHaveLength(3);
    for (const [token, { inputs }] of Object.entries(functions)) expect(hidden(inputs, token)).toEqual([]);
  });
});
