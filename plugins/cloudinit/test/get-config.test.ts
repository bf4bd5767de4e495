/** The function by the official rules: what it answers, and what it refuses. */
import { checkInputs, type Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { getConfigFunction } from "../src/get-config";
import { configInputs } from "../src/schema";
import { bag, context, recorded } from "./support";

const gzip = false;
const parts = [{ content: "a" }];

/** As the plugin's server does it: the schema first, then the function's own check. */
async function ask(inputs: Props): Promise<{ failures: string[]; outs?: Props }> {
  const checked = checkInputs("cloudinit:T", configInputs, inputs);
  const own = await getConfigFunction.invoke(bag(checked.inputs), context);
  const failures = [...checked.failures, ...(own.failures ?? [])].map(
    ({ property, reason }) => `${property} ${reason}`,
  );
  return { ...own, failures };
}

describe("getConfig refuses", () => {
  it.each<[Props, RegExp]>([
    [{ gzip, parts, gzipp: true }, /^gzipp is not known to .*allowed: base64Encode, boundary, gzip, parts/],
    [
      { gzip, parts: [{ content: "a", fileName: "x" }] },
      /^parts\[0\]\.fileName is not known .*did you mean "filename"/,
    ],
    [{ gzip, parts, rendered: "x" }, /^rendered is not known/],
    [{ gzip, parts: [{ filename: "x" }] }, /^parts\[0\]\.content is missing/],
    [{ gzip, parts: "a" }, /^parts is a string; give it as a list/],
    [{ gzip }, /^parts is missing/],
    [{ gzip, parts: [] }, /^parts is empty; give at least one part/],
    [{ gzip, parts: [null] }, /^parts\[0\] is null/],
    [{ gzip, parts, boundary: "" }, /^boundary is not of the form/],
    [{ gzip, parts, boundary: "x".repeat(71) }, /^boundary is not of the form/],
    [{ gzip, parts, boundary: 'a"b' }, /^boundary is not of the form/],
    [{ gzip, parts, boundary: "ends " }, /^boundary is not of the form/],
    [{ gzip, parts: [{ content: "a", contentType: "" }] }, /^parts\[0\]\.contentType is empty/],
    [
      { gzip, parts: [{ content: "a", filename: "x\r\nX-Evil: 1" }] },
      /^parts\[0\]\.filename has a line break/,
    ],
    [
      { gzip, parts: [{ content: "a\n--MIMEBOUNDARY--\nb" }] },
      /^parts\[0\]\.content has the boundary as a line/,
    ],
    [
      { gzip, boundary: "B", parts: [{ content: "--B \r\nb" }] },
      /^parts\[0\]\.content has the boundary as a line/,
    ],
  ])("%j", async (inputs, message) => {
    const { failures } = await ask(inputs);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(message);
  });

  it("gzip, asked for or by default, and names both ways out", async () => {
    const ways = "does not compress; set gzip: false, or install the official plugin";
    for (const given of [{ gzip: true, parts }, { parts }] as Props[]) {
      const { failures, outs } = await ask(given);
      expect(failures).toEqual([expect.stringContaining(ways)]);
      expect(outs).toBeUndefined();
    }
  });

  it("everything at once, without a value", async () => {
    const secret = "hunter22";
    const { failures } = await ask({
      boundary: `${secret}!`,
      parts: [
        { content: secret, filename: `${secret}\n` },
        { content: 5, contentType: "" },
      ],
    });
    expect(failures.map((failure) => failure.split(" ")[0]).sort()).toEqual(
      ["boundary", "gzip", "parts[0].filename", "parts[1].content", "parts[1].contentType"].sort(),
    );
    expect(failures.join()).not.toContain(secret);
  });
});

describe("getConfig answers", () => {
  it("what official programs may ask for", async () => {
    const part = { content: "a\n--MIMEBOUNDARYx\n --MIMEBOUNDARY", contentType: "text/plain", mergeType: "" };
    const asked = { gzip, boundary: "//", parts: [{ ...part, filename: 'x".sh' }] };
    expect((await ask(asked)).failures).toEqual([]);
  });

  it("with the document and all arguments, filled in", async () => {
    const { outs } = await ask({ gzip, parts });
    expect(outs).toMatchObject({
      parts: [{ content: "a", contentType: "text/plain" }],
      ...{ base64Encode: true, boundary: "MIMEBOUNDARY", gzip: false },
    });
    expect(Object.keys(outs ?? {}).sort()).toEqual(Object.keys(recorded.schema.function.outputs).sort());
  });
});
