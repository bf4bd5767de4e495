/** The provider service over the protocol's own messages: secrets, previews, failures, cancel, time-outs. */
import provider from "@pulumi/pulumi/proto/provider_pb";
import statusPb from "@pulumi/pulumi/proto/status_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { describe, expect, it } from "vitest";
import { Calls } from "../src/calls";
import { type Context, ProviderError, type ProviderSpec, type ResourceType, UNKNOWN } from "../src/index";
import { serviceOf } from "../src/service";

const SIG = "4dabf18193072939515e22adb298388d";
const secret = (value: unknown) => ({ [SIG]: "1b47061264138c4ac30d75fd1eb44270", value });
const URN = "urn:pulumi:dev::berth::berth:host:Stage$test:index:Thing::thing";

const thing: ResourceType = {
  inputs: {
    name: { type: "string", required: true, replace: true },
    login: {
      type: "object",
      secret: true,
      properties: { host: { type: "string", public: true }, key: { type: "string", secret: true } },
    },
    size: { type: "integer", default: 1 },
  },
  create: async ({ inputs }, ctx) => ({
    id: ctx.preview ? "" : "id-1",
    outs: { ...inputs.values, made: ctx.preview ? UNKNOWN : "yes" },
    secrets: [["made"]],
  }),
  delete: async () => {},
};

type Reply = {
  error: { details?: string; metadata?: { get(key: string): unknown[] } } | null;
  value: unknown;
};

/** A service and a way to call it as gRPC does. */
function serve(resource: Partial<ResourceType> = {}, more: Partial<ProviderSpec> = {}) {
  const lines: string[] = [];
  const calls = new Calls((_severity, _urn, message) => lines.push(message));
  const spec: ProviderSpec = {
    name: "test",
    version: "1.0.0",
    resources: { "test:index:Thing": { ...thing, ...resource } },
    ...more,
  };
  const service = serviceOf(spec, calls, { attach: () => {}, cancel: () => calls.cancel() });
  const call = (method: string, request: unknown): Promise<Reply> =>
    new Promise((resolve) => {
      const handler = service[method] as (
        call: unknown,
        done: (error: Reply["error"], value: unknown) => void,
      ) => void;
      handler({ request }, (error, value) => resolve({ error, value }));
    });
  return { call, lines };
}

const bag = (values: Record<string, unknown>) => struct.Struct.fromJavaScript(values as never);

function created(values: Record<string, unknown>, preview = false, timeout = 0) {
  const request = new provider.CreateRequest();
  request.setUrn(URN);
  request.setProperties(bag(values));
  request.setPreview(preview);
  request.setTimeout(timeout);
  return request;
}

const inputs = { name: "n", login: secret({ host: "10.0.0.1", key: "KEYKEYKEY" }), size: 1 };

describe("service", () => {
  it("gives checked inputs back with defaults and with the schema's secrets marked", async () => {
    const request = new provider.CheckRequest();
    request.setUrn(URN);
    request.setNews(bag({ name: "n", login: { host: "h", key: "k" } }));
    const { value } = await serve().call("check", request);
    const response = value as provider.CheckResponse;
    expect(response.getFailuresList()).toEqual([]);
    expect(response.getInputs()?.toJavaScript()).toEqual({
      name: "n",
      login: secret({ host: "h", key: secret("k") }),
      size: 1,
    });
  });

  it("reports failures without the property field, which would make the engine print values", async () => {
    const request = new provider.CheckRequest();
    request.setUrn(URN);
    request.setNews(bag({ login: secret({ host: "h", kee: "KEYKEYKEY" }) }));
    const { value } = await serve().call("check", request);
    const failures = (value as provider.CheckResponse).getFailuresList();
    expect(failures.map((failure) => failure.getProperty())).toEqual(["", ""]);
    expect(failures.map((failure) => failure.getReason()).join()).toMatch(
      /login\.kee is not known.*name is missing/,
    );
  });

  it("marks as secret what was secret in the inputs, what the schema and the handler say", async () => {
    const { value } = await serve().call("create", created(inputs));
    const response = value as provider.CreateResponse;
    expect(response.getId()).toBe("id-1");
    expect(response.getProperties()?.toJavaScript()).toEqual({
      name: "n",
      login: secret({ host: "10.0.0.1", key: secret("KEYKEYKEY") }),
      size: 1,
      made: secret("yes"),
    });
  });

  it("answers a preview with unknowns and no id", async () => {
    const { value } = await serve().call("create", created(inputs, true));
    const response = value as provider.CreateResponse;
    expect(response.getId()).toBe("");
    expect(response.getProperties()?.toJavaScript()).toMatchObject({ made: secret(UNKNOWN) });
  });

  it("tells a diff per property, replaces and ignored changes included", async () => {
    const request = new provider.DiffRequest();
    request.setUrn(URN);
    request.setOlds(bag({ ...inputs, made: "yes" }));
    request.setOldInputs(bag(inputs));
    request.setNews(bag({ ...inputs, name: "m", size: 2 }));
    request.setIgnorechangesList(["size"]);
    const { value } = await serve().call("diff", request);
    const response = value as provider.DiffResponse;
    expect(response.getReplacesList()).toEqual(["name"]);
    expect(response.getDiffsList()).toEqual(["name"]);
    expect(response.getDetaileddiffMap().get("name")?.getKind()).toBe(
      provider.PropertyDiff.Kind.UPDATE_REPLACE,
    );
    request.setNews(bag(inputs));
    const same = (await serve().call("diff", request)).value as provider.DiffResponse;
    expect(same.getChanges()).toBe(provider.DiffResponse.DiffChanges.DIFF_NONE);
  });

  it("masks the call's secrets in errors and in log lines, but not the public parts", async () => {
    const { call, lines } = serve({
      create: async (_req, ctx) => {
        ctx.log("info", "key KEYKEYKEY at 10.0.0.1");
        throw new Error("10.0.0.1 refused KEYKEYKEY");
      },
    });
    const { error } = await call("create", created(inputs));
    expect(error?.details).toContain("10.0.0.1 refused [secret]");
    expect(lines).toEqual(["key [secret] at 10.0.0.1"]);
  });

  it("keeps a half-made resource, with its secrets marked", async () => {
    const { call } = serve({
      create: async ({ inputs: { values } }) => {
        throw new ProviderError("started, but sick", { id: "half", outs: values });
      },
    });
    const { error } = await call("create", created(inputs));
    const packed = error?.metadata?.get("grpc-status-details-bin")[0] as Buffer;
    const detail = statusPb.Status.deserializeBinary(packed).getDetailsList()[0];
    const failed = provider.ErrorResourceInitFailed.deserializeBinary(detail?.getValue_asU8() as Uint8Array);
    expect(failed.getId()).toBe("half");
    expect(failed.getReasonsList()).toEqual(["started, but sick"]);
    expect(failed.getProperties()?.toJavaScript()).toMatchObject({
      login: secret({ key: secret("KEYKEYKEY") }),
    });
  });

  it("ends a call at its custom timeout and at Cancel", async () => {
    const waits = (_req: unknown, ctx: Context): Promise<never> =>
      new Promise((_, reject) =>
        ctx.signal.addEventListener("abort", () => reject(new ProviderError("stopped"))),
      );
    const { call } = serve({ create: waits });
    expect((await call("create", created(inputs, false, 0.05))).error?.details).toMatch(
      /stopped.*custom timeout of 0.05 s/,
    );
    const running = call("create", created(inputs));
    await call("cancel", undefined);
    expect((await running).error?.details).toBe("stopped");
  });

  it("names what it has when asked for a type that it has not", async () => {
    const request = created({});
    request.setUrn(URN.replace("Thing", "Other"));
    const { error } = await serve().call("create", request);
    expect(error?.details).toMatch(/test:index:Other is not part of .*test:index:Thing.*official plugin/);
  });

  it("checks and decodes the provider's own configuration, and passes it on", async () => {
    const seen: unknown[] = [];
    const more: Partial<ProviderSpec> = {
      config: { host: { type: "string" }, opts: { type: "array", items: { type: "string" } } },
      configure: (config) => void seen.push(config.values),
    };
    const request = new provider.ConfigureRequest();
    request.setArgs(bag({ host: "ssh://h", opts: '["-v"]', version: "1.0.0" }));
    const { value } = await serve({}, more).call("configure", request);
    expect((value as provider.ConfigureResponse).getSupportspreview()).toBe(true);
    expect((value as provider.ConfigureResponse).getAcceptsecrets()).toBe(true);
    expect(seen).toEqual([{ host: "ssh://h", opts: ["-v"] }]);
    request.setArgs(bag({ hots: "x" }));
    expect((await serve({}, more).call("configure", request)).error?.details).toContain("hots is not known");
  });

  it("gives state back unchanged when there is nothing to read, and refuses to import it", async () => {
    const request = new provider.ReadRequest();
    request.setUrn(URN);
    request.setId("id-1");
    request.setProperties(bag({ ...inputs, made: "yes" }));
    request.setInputs(bag(inputs));
    const response = (await serve().call("read", request)).value as provider.ReadResponse;
    expect(response.getId()).toBe("id-1");
    expect(response.getInputs()?.toJavaScript()).toEqual({
      ...inputs,
      login: secret({ host: "10.0.0.1", key: secret("KEYKEYKEY") }),
    });
    request.setProperties(bag({}));
    expect((await serve().call("read", request)).error?.details).toContain("cannot be imported");
  });
});
