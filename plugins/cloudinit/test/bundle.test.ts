/** The bundled plugin as the engine meets it: one process, the protocol over a socket, nothing beside it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import provider from "@pulumi/pulumi/proto/provider_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recorded } from "./support";

const root = join(__dirname, "../../..");
const bag = (values: unknown) => struct.Struct.fromJavaScript(values as never);
const example = recorded.documents.find(({ name }) => name === "gzip");

let plugin: ChildProcess;
let client: ResourceProviderClient;

beforeAll(async () => {
  const { buildPlugin } = await import("../../../scripts/plugins.mjs");
  const { version } = await buildPlugin("cloudinit");
  expect(version).toBe(recorded.schema.version);
  const env = { PATH: "/usr/bin:/bin", BERTH_NODE: process.execPath };
  plugin = spawn(join(root, "dist/cloudinit/pulumi-resource-cloudinit"), [], { env, cwd: "/" });
  const port = await new Promise<string>((resolve, reject) => {
    plugin.stdout?.once("data", (chunk: Buffer) => resolve(chunk.toString().trim()));
    plugin.once("exit", (code) => reject(new Error(`the plugin ended with ${code}`)));
  });
  client = new ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
}, 60_000);

afterAll(() => {
  client?.close();
  plugin?.kill();
});

describe("the bundle", () => {
  it("creates a Config with the official bytes and id", async () => {
    const request = new provider.CreateRequest();
    request.setUrn("urn:pulumi:dev::berth::cloudinit:index/config:Config::thing");
    request.setProperties(bag(example?.inputs));
    const made = await new Promise<provider.CreateResponse>((resolve, reject) => {
      client.create(request, (error, response) => (error ? reject(error) : resolve(response)));
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
        client.invoke(request, (error, response) => (error ? reject(error) : resolve(response)));
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
