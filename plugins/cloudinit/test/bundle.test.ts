/** The bundled plugin as the engine meets it: one process, the protocol over a socket, nothing beside it. */
import provider from "@pulumi/pulumi/proto/provider_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Plugin, startPlugin } from "../../../test/lib/plugin";
import { recorded } from "./support";

const bag = (values: unknown) => struct.Struct.fromJavaScript(values as never);
const example = recorded.documents.find(({ name }) => name === "gzip");

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
  it("creates a Config with the official bytes and id", async () => {
    const request = new provider.CreateRequest();
    request.setUrn("urn:pulumi:dev::berth::cloudinit:index/config:Config::thing");
    request.setProperties(bag(example?.inputs));
    const made = await new Promise<provider.CreateResponse>((resolve, reject) => {
      plugin.client.create(request, (error, response) => (error ? reject(error) : resolve(response)));
    });
    expect(made.getId()).toBe(example?.id);
    expect(made.getProperties()?.toJavaScript()).toMatchObject({ rendered: example?.rendered });
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
    const bad = await invoke({ parts: [{ contents: "x" }] });
    expect(bad.getFailuresList().map((failure) => failure.getProperty())).toEqual([
      "parts[0].contents",
      "parts[0].content",
    ]);
  });
});
