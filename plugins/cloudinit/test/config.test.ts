/** The resource and the function by the official rules: what is refused, what replaces, what is secret. */
import { type Bag, checkInputs, formatPath, type Props, UNKNOWN } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { configType, getConfigFunction } from "../src/config";
import { configInputs } from "../src/schema";
import { bag, context, recorded } from "./support";

const plain = { gzip: false, base64Encode: false };
const parts = [{ content: "a" }];
const [document] = recorded.documents;

/** As the plugin's server does it: the schema first, then the resource's own check. */
async function refused(inputs: Props): Promise<string[]> {
  const checked = checkInputs("cloudinit:T", configInputs, inputs);
  const own = await configType.check?.({ olds: bag({}), news: bag(checked.inputs) }, context());
  return [...checked.failures, ...(own?.failures ?? [])].map(
    ({ property, reason }) => `${property} ${reason}`,
  );
}

describe("check", () => {
  it.each<[Props, RegExp]>([
    [{ parts, gzipp: true }, /^gzipp is not known to .*allowed: base64Encode, boundary, gzip, parts$/],
    [
      { parts: [{ content: "a", fileName: "x" }] },
      /^parts\[0\]\.fileName is not known .*did you mean "filename"/,
    ],
    [{ parts, rendered: "x" }, /^rendered is not known/],
    [{ parts: [{ filename: "x" }] }, /^parts\[0\]\.content is missing/],
    [{ parts: "a" }, /^parts is a string; give it as a list/],
    [{}, /^parts is missing/],
    [{ parts: [] }, /^parts is empty; give at least one part/],
    [{ parts: [null] }, /^parts\[0\] is null/],
    [{ parts, base64Encode: false }, /^base64Encode is false, but gzip .*; set gzip to false too$/],
    [{ parts, boundary: "" }, /^boundary is not of the form/],
    [{ parts, boundary: "x".repeat(71) }, /^boundary is not of the form/],
    [{ parts, boundary: 'a"b' }, /^boundary is not of the form/],
    [{ parts, boundary: "ends " }, /^boundary is not of the form/],
    [{ parts: [{ content: "a", contentType: "" }] }, /^parts\[0\]\.contentType is empty/],
    [{ parts: [{ content: "a", filename: "x\r\nX-Evil: 1" }] }, /^parts\[0\]\.filename has a line break/],
    [{ parts: [{ content: "a\n--MIMEBOUNDARY--\nb" }] }, /^parts\[0\]\.content has the boundary as a line/],
    [{ boundary: "B", parts: [{ content: "--B \r\nb" }] }, /^parts\[0\]\.content has the boundary as a line/],
  ])("refuses %j", async (inputs, message) => {
    const failures = await refused(inputs);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(message);
  });

  it("lets pass what official programs may say, and what is not known yet", async () => {
    const part = { content: "a\n--MIMEBOUNDARYx\n --MIMEBOUNDARY", contentType: "text/plain", mergeType: "" };
    expect(await refused({ ...plain, boundary: "//", parts: [{ ...part, filename: 'x".sh' }] })).toEqual([]);
    expect(await refused({ gzip: UNKNOWN, base64Encode: false, boundary: UNKNOWN, parts: UNKNOWN })).toEqual(
      [],
    );
    expect(await refused({ parts: [UNKNOWN, { content: UNKNOWN }] })).toEqual([]);
  });

  it("says everything at once, without a value", async () => {
    const secret = "hunter22";
    const failures = await refused({
      base64Encode: false,
      boundary: `${secret}!`,
      parts: [
        { content: secret, filename: `${secret}\n` },
        { content: 5, contentType: "" },
      ],
    });
    expect(failures.map((failure) => failure.split(" ")[0]).sort()).toEqual(
      ["base64Encode", "boundary", "parts[0].filename", "parts[1].content", "parts[1].contentType"].sort(),
    );
    expect(failures.join()).not.toContain(secret);
  });

  it("fills nothing in: the official plugin's state has the program's inputs alone", async () => {
    const checked = checkInputs("cloudinit:T", configInputs, { parts });
    expect(checked.inputs).toEqual({ parts });
    const own = await configType.check?.({ olds: bag({}), news: bag({ parts }) }, context());
    expect(own).toEqual({ failures: [] });
  });
});

describe("diff", () => {
  const changes = async (olds: Props, news: Props): Promise<string[]> => {
    const req = { id: "1", olds: bag({}), oldInputs: bag(olds), news: bag(news), ignoreChanges: [] };
    const result = await configType.diff?.(req, context(true));
    return (result?.changes ?? []).map(
      ({ path, kind, replace }) => `${formatPath(path)} ${kind}${replace ? " replace" : ""}`,
    );
  };

  it.each<[Props, string[]]>([
    [{ gzip: false }, ["gzip update replace"]],
    [{ base64Encode: false }, ["base64Encode update replace"]],
    [{ boundary: "B" }, ["boundary update replace"]],
    [{ parts: [{ content: "b" }] }, ["parts[0].content update replace"]],
    [{ parts: [{ content: "a", contentType: "x/y" }] }, ["parts[0].contentType update replace"]],
    [{ parts: [{ content: "a", filename: "f" }] }, ["parts[0].filename add replace"]],
    [{ parts: [{ content: "a", mergeType: "m" }] }, ["parts[0].mergeType add replace"]],
    [{ parts: [...parts, ...parts] }, ["parts[1] add replace"]],
    [{ parts: [{ content: UNKNOWN }] }, ["parts[0].content update replace"]],
  ])("replaces at %j", async (edit, expected) => {
    expect(await changes({ parts }, { parts, ...edit })).toEqual(expected);
  });

  it("replaces when a part goes", async () => {
    expect(await changes({ parts: [...parts, ...parts] }, { parts })).toEqual(["parts[1] delete replace"]);
  });

  it("takes a default that is written out, or no longer is, for no change", async () => {
    const written = {
      ...{ gzip: true, base64Encode: true, boundary: "MIMEBOUNDARY" },
      parts: [{ content: "a", contentType: "text/plain" }],
    };
    expect(await changes({ parts }, written)).toEqual([]);
    expect(await changes(written, { parts })).toEqual([]);
  });
});

describe("create", () => {
  const inputs = document?.inputs as Props;
  const create = (given: Bag, preview = false) => configType.create({ inputs: given }, context(preview));

  it("gives the document, its checksum, and the inputs with defaults", async () => {
    expect(await create(bag(inputs))).toEqual({
      id: document?.id,
      outs: { ...inputs, boundary: "MIMEBOUNDARY", rendered: document?.rendered, id: document?.id },
      secrets: [],
    });
    const { outs } = await create(bag({ parts }));
    expect(outs).toMatchObject({ gzip: true, parts: [{ content: "a", contentType: "text/plain" }] });
    expect(Object.keys(outs).sort()).toEqual([...Object.keys(recorded.schema.resource.outputs), "id"].sort());
  });

  it("makes the whole document secret if a part is", async () => {
    const { secrets } = await create(bag(inputs, [["parts", 0, "content"]]));
    expect(secrets).toEqual([["rendered"]]);
  });

  it("shows the document in a preview, unless a part is not known yet", async () => {
    expect(await create(bag(inputs), true)).toMatchObject({ id: "", outs: { rendered: document?.rendered } });
    const waiting = await create(bag({ ...plain, parts: [{ content: UNKNOWN }] }), true);
    expect(waiting).toMatchObject({ id: "", outs: { rendered: UNKNOWN, id: UNKNOWN, gzip: false } });
  });
});

describe("getConfig", () => {
  it("answers with the document and all arguments", async () => {
    const { outs } = await getConfigFunction.invoke(bag({ ...plain, parts }), context());
    expect(outs).toMatchObject({
      parts: [{ content: "a", contentType: "text/plain" }],
      boundary: "MIMEBOUNDARY",
    });
    expect(Object.keys(outs ?? {}).sort()).toEqual(Object.keys(recorded.schema.function.outputs).sort());
  });

  it("refuses what the resource refuses", async () => {
    const { failures, outs } = await getConfigFunction.invoke(bag({ base64Encode: false, parts }), context());
    expect(failures?.map(({ property }) => property)).toEqual(["base64Encode"]);
    expect(outs).toBeUndefined();
  });
});
