/** Every wrong input is named, all at once, and none of their values is shown. */
import { describe, expect, it } from "vitest";
import type { Props } from "../src/index";
import { checkInputs, diffInputs, type Schema, UNKNOWN } from "../src/index";

/** How each refusal of an unknown input ends. */
const WAY_OUT = "; what the official plugin takes beside these needs that plugin, see docs/plugins.md";

const schema: Schema = {
  name: { type: "string", required: true },
  count: { type: "integer", min: 1, max: 9 },
  mode: { type: "string", enum: ["a", "b"], default: "a" },
  tags: { type: "map", items: { type: "string" } },
  rules: {
    type: "array",
    items: { type: "object", properties: { port: { type: "integer", required: true } } },
  },
  list: { type: "array", items: { type: "string" } },
  login: {
    type: "object",
    replace: true,
    properties: { user: { type: "string", default: "root" }, key: { type: "string" } },
  },
  old: { type: "array", unsupported: "use list" },
};

describe("checkInputs", () => {
  it("fills in defaults, deep ones too, and leaves the rest as it is", () => {
    const { inputs, failures } = checkInputs("t:T", schema, {
      name: "n",
      login: { key: "k" },
      tags: { x: "y" },
    });
    expect(failures).toEqual([]);
    expect(inputs).toEqual({ name: "n", mode: "a", login: { key: "k", user: "root" }, tags: { x: "y" } });
  });

  it("reports everything at once, with path and what is allowed, without a value", () => {
    const { failures } = checkInputs("t:T", schema, {
      count: 10,
      mode: "zzz-secret",
      Tags: {},
      rules: [{ prot: 1 }],
      login: { key: 5 },
      list: ["a", 2],
      old: ["x"],
    });
    const said = Object.fromEntries(failures.map(({ property, reason }) => [property, reason]));
    expect(Object.keys(said).sort()).toEqual(
      [
        "Tags",
        "count",
        "list[1]",
        "login.key",
        "mode",
        "name",
        "old",
        "rules[0].port",
        "rules[0].prot",
      ].sort(),
    );
    expect(said.Tags).toBe(
      'is not known to t:T (did you mean "tags"?); allowed: count, list, login, mode, name, rules, tags' +
        WAY_OUT,
    );
    expect(said["rules[0].prot"]).toBe(`is not known to rules[0] of t:T; allowed: port${WAY_OUT}`);
    expect(said["login.key"]).toBe("is a number; give it as a string");
    expect(said.count).toContain("a whole number from 1 to 9");
    expect(said.mode).toBe('is not one of "a", "b"');
    expect(said.old).toContain("use list");
    expect(JSON.stringify(failures)).not.toContain("zzz-secret");
  });

  it("lets unknown values, nulls and the engine's own keys pass", () => {
    const given = { name: UNKNOWN, count: UNKNOWN, login: UNKNOWN, list: null, __defaults: [], old: [] };
    expect(checkInputs("t:T", schema, given).failures).toEqual([]);
  });
});

const bag = (values: Props) => ({ values, secrets: [] });
const changes = (olds: Props, news: Props, ignoreChanges: string[] = []) =>
  diffInputs(schema, { oldInputs: bag(olds), news: bag(news), ignoreChanges }).map(
    ({ path, kind, replace }) => `${path.join(".")} ${kind}${replace ? " replace" : ""}`,
  );

describe("diffInputs", () => {
  it("finds the smallest differences and knows which replace", () => {
    const olds = { name: "n", tags: { a: "1", b: "2" }, login: { user: "u", key: "k" }, list: ["x", "y"] };
    const news = { name: "m", tags: { a: "1", c: "3" }, login: { user: "u", key: "l" }, list: ["x"] };
    expect(changes(olds, news).sort()).toEqual(
      ["name update", "tags.b delete", "tags.c add", "list.1 delete", "login.key update replace"].sort(),
    );
  });

  it("is quiet about the same, and about null against absent", () => {
    const olds = { name: "n", rules: [{ port: 1 }, { port: 2 }], list: null };
    expect(changes(olds, { name: "n", rules: [{ port: 1 }, { port: 2 }] })).toEqual([]);
    expect(changes({ list: ["a", "b"] }, { list: ["b", "a"] })).toEqual(["list.0 update", "list.1 update"]);
  });

  it("takes an unknown new value for a change, also against the same sentinel", () => {
    expect(changes({ name: "n" }, { name: UNKNOWN })).toEqual(["name update"]);
    expect(changes({ name: UNKNOWN }, { name: UNKNOWN })).toEqual(["name update"]);
    expect(changes({}, { login: UNKNOWN })).toEqual(["login add replace"]);
  });

  it("obeys ignoreChanges, by name, by path, by wildcard", () => {
    const olds = { name: "n", list: ["a", "b"], tags: { x: "1" } };
    const news = { name: "m", list: ["c", "d"], tags: { x: "2" } };
    expect(changes(olds, news, ["name", "list[0]", "tags.x"])).toEqual(["list.1 update"]);
    expect(changes(olds, news, ["list[*]", "tags", "name"])).toEqual([]);
  });

  it("compares assets by their content", () => {
    const asset = {
      "4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17",
      hash: "1",
      path: "/a",
    };
    const source: Schema = { source: { type: "any" } };
    const diff = (next: Props) =>
      diffInputs(source, {
        oldInputs: bag({ source: asset }),
        news: bag({ source: next }),
        ignoreChanges: [],
      });
    expect(diff({ ...asset, path: "/elsewhere" })).toEqual([]);
    expect(diff({ ...asset, hash: "2" })).toHaveLength(1);
  });
});
