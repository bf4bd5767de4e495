/** The bundled plugin as the engine meets it: one process, the protocol over a socket, nothing beside it. */
import provider from "@pulumi/pulumi/proto/provider_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Plugin, startPlugin } from "../../../test/lib/plugin";
import { recorded } from "./support";

const bag = (values: unknown) => struct.Struct.fromJavaScript(values as never);
const example = recorded.documents.find(({ name }) => name === "all fields");

let plugin: Plugin;

beforeAll(async () => {
  plugin = await startPlugin("cloudinit");
  expect(plugin.version).toBe(recorded.schema.version);
});

afterAll(() => {
  plugin?.client.close();
  plugin?.child.kill();
});

describe("the bundle", () => {
  it("names what it has, and the way out, when asked for the resource Config", async () => {
    const request = new provider.CheckRequest();
    request.setUrn("urn:pulumi:dev::berth::cloudinit:index/config:Config::thing");
    request.setNews(bag(example?.inputs));
    const refusal = await new Promise<Error | null>((resolve) => plugin.client.check(request, resolve));
    expect(refusal?.message).toMatch(
      /cloudinit:index\/config:Config is not part of .* has cloudinit:index\/getConfig:getConfig; install the official/,
    );
  });

  it("answers getConfig, and says what is wrong with its arguments", async () => {
    const invoke = (args: unknown): Promise<provider.InvokeResponse> => {
      const request = new provider.InvokeRequest();
      request.setTok("cloudinit:index/getConfig:getConfig");
      request.setArgs(bag(args));
      return new Promise((resolve, reject) => {
        plugin.client.invoke(request, (error, response) => (error ? reject(error) : resolve(response)));
      });
    };
    const good = await invoke(example?.inputs);
    expect(good.getReturn()?.toJavaScript()).toMatchObject({ rendered: example?.rendered, id: example?.id });
    const bad = await invoke({ gzip: false, parts: [{ contents: "x" }] });
    expect(bad.getFailuresList().map((failure) => failure.getProperty())).toEqual([
      "parts[0].contents",
      "parts[0].content",
    ]);
  });
});
