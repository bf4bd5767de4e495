/** The bundled plugin as the engine meets it: one process, nothing beside it, and nothing in it that it has no use for. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import provider from "@pulumi/pulumi/proto/provider_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, startApi } from "../../../test/fakes/digitalocean";
import { type Plugin, startPlugin } from "../../../test/lib/plugin";

const root = join(__dirname, "../../..");
const bag = (values: unknown) => struct.Struct.fromJavaScript(values as never);
const URN = "urn:pulumi:dev::berth::digitalocean:index/vpc:Vpc::vpc";

let api: Api;
let plugin: Plugin;

beforeAll(async () => {
  api = await startApi();
  plugin = await startPlugin("digitalocean");
});

afterAll(async () => {
  plugin?.client.close();
  plugin?.child.kill("SIGKILL");
  await api?.close();
});

/** One call of the protocol. */
const call = <Request, Response>(
  method: (request: Request, done: (error: Error | null, response: Response) => void) => unknown,
  request: Request,
): Promise<Response> =>
  new Promise((resolve, reject) => {
    method.call(plugin.client, request, (error, response) => (error ? reject(error) : resolve(response)));
  });

describe("the bundle", () => {
  it("carries neither SSH nor Docker", () => {
    const text = readFileSync(join(root, "dist/digitalocean/plugin.js"), "utf8");
    expect(text.includes("grpc-status")).toBe(true);
    // A bundle has no names of files, so each package is known by a text of its own.
    const texts = {
      "ssh2/lib/client.js": "ssh-userauth",
      "docker-modem/lib/modem.js": "docker.sock",
      "tar-stream/headers.js": "ustar",
    };
    for (const [file, own] of Object.entries(texts)) {
      expect(readFileSync(join(root, "node_modules", file), "utf8")).toContain(own);
      expect(text.includes(own), file).toBe(false);
    }
  });

  it("takes its own tags away when the engine ends it", async () => {
    const settings = new provider.ConfigureRequest();
    settings.setArgs(bag({ token: api.token, apiEndpoint: api.url }));
    await call(plugin.client.configure, settings);
    const request = new provider.CreateRequest();
    request.setUrn(URN);
    request.setProperties(bag({ name: "berth-test", region: "fra1", ipRange: "10.110.0.0/20" }));
    expect(
      (await call<provider.CreateRequest, provider.CreateResponse>(plugin.client.create, request)).getId(),
    ).toBe([...api.state.vpcs.values()].find(({ name }) => name === "berth-test")?.id);
    // So that a kill now is known of later.
    expect([...api.state.tags]).toEqual([expect.stringMatching(/^berth-id:[0-9a-f]{32}:[0-9a-f]{32}$/)]);
    const ended = once(plugin.child, "exit");
    plugin.child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect([...api.state.tags]).toEqual([]);
  });
});
