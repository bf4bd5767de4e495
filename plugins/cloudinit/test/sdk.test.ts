/** The schema, the official plugin's and our SDK hold together: a property misspelt in one of them fails here. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkInputs, type Property, type Props, type Schema } from "@berth/plugin-base";
import * as cloudinit from "@pulumi/cloudinit";
import pkg from "@pulumi/cloudinit/package.json";
import * as pulumi from "@pulumi/pulumi";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { getConfigFunction } from "../src/get-config";
import { cloudinitProvider, version } from "../src/index";
import { configInputs } from "../src/schema";
import { bag, context, recorded } from "./support";

const { function: getter, part: partShape, version: official } = recorded.schema;

/** `tsc` refuses these where a property is missing, misspelt or of another type than in the SDK. */
const part: Required<cloudinit.GetConfigPartArgs> = {
  content: "#!/bin/sh\n",
  contentType: "text/x-shellscript",
  filename: "first.sh",
  mergeType: "list()+dict()+str()",
};
const args: Required<cloudinit.GetConfigOutputArgs> = {
  base64Encode: false,
  boundary: "B",
  gzip: false,
  parts: [part],
};

const shapeOf = (schema: Schema) => ({
  inputs: Object.fromEntries(Object.entries(schema).map(([name, { type }]) => [name, type])),
  required: Object.keys(schema).filter((name) => schema[name]?.required === true),
});

describe("the schema", () => {
  it("is the official one, of the SDK's version", () => {
    const parts = (configInputs.parts as Property).items?.properties ?? {};
    expect(shapeOf(configInputs)).toEqual({ inputs: getter.inputs, required: getter.required });
    expect(shapeOf(parts)).toEqual(partShape);
    expect(Object.keys(cloudinitProvider.functions ?? {})).toEqual([getter.token]);
    expect([version, pkg.version, pkg.pulumi.version]).toEqual([official, official, official]);
  });

  it("has the properties of the SDK's types, no more and no fewer", () => {
    expect(Object.keys(args).sort()).toEqual(Object.keys(configInputs).sort());
    expect(Object.keys(part).sort()).toEqual(Object.keys(partShape.inputs));
  });

  it("is pinned by the program in the version that it stands for", () => {
    const root = JSON.parse(readFileSync(join(__dirname, "../../../package.json"), "utf8"));
    expect(root.dependencies["@pulumi/cloudinit"]).toBe(version);
  });
});

interface Sent {
  readonly token: string;
  readonly inputs: Props;
  readonly version: string;
}

/** What the SDK sends, answered by the plugin itself. */
const sent: Sent[] = [];
const versions: string[] = [];

beforeEach(async () => {
  vi.restoreAllMocks();
  sent.length = 0;
  versions.length = 0;
  const original = MockMonitor.prototype.invoke;
  vi.spyOn(MockMonitor.prototype, "invoke").mockImplementation(function (
    this: MockMonitor,
    request: { getVersion(): string },
    callback: (error: unknown, response: unknown) => void,
  ) {
    versions.push(request.getVersion());
    return original.call(this, request, callback);
  });
  const answer = async (token: string, inputs: Props): Promise<Props> => {
    sent.push({ token, inputs, version: versions.at(-1) ?? "" });
    expect(checkInputs(token, configInputs, inputs).failures).toEqual([]);
    return (await getConfigFunction.invoke(bag(inputs), context)).outs ?? {};
  };
  await pulumi.runtime.setMocks({
    newResource: ({ type }) => {
      throw new Error(`the SDK has no resource ${type}`);
    },
    call: ({ token, inputs }) => answer(token, inputs),
  });
});

const value = <T>(output: pulumi.Output<T>): Promise<T> =>
  new Promise((resolve) => {
    output.apply(resolve);
  });

describe("the SDK", () => {
  it("calls getConfig with its version, and gives its results back", async () => {
    const made = await value(cloudinit.getConfigOutput(args));
    expect(sent).toEqual([{ token: getter.token, inputs: args, version: official }]);
    expect(made.rendered).toContain("\r\nX-Merge-Type: list()+dict()+str()\r\n");
    expect(made.id).toMatch(/^\d+$/);
  });

  it("waits for outputs, and leaves defaults to the plugin", async () => {
    await value(cloudinit.getConfigOutput({ gzip: false, parts: [{ content: pulumi.output("a") }] }));
    expect(sent[0]?.inputs).toEqual({ gzip: false, parts: [{ content: "a" }] });
  });

  it("makes a result secret where a part is", async () => {
    const open = cloudinit.getConfigOutput(args);
    const content = pulumi.secret("hunter22");
    const closed = cloudinit.getConfigOutput({ ...args, parts: [{ ...part, content }] });
    expect([await pulumi.isSecret(open), await pulumi.isSecret(closed)]).toEqual([false, true]);
  });

  it("lets the program say another version", async () => {
    await value(cloudinit.getConfigOutput(args, { version: "9.9.9" }));
    expect(versions).toEqual(["9.9.9"]);
  });
});
