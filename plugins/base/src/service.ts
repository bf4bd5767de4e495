/** The methods of Pulumi's ResourceProvider service, over a {@link ProviderSpec}. */
import { type handleUnaryCall, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import plugin from "@pulumi/pulumi/proto/plugin_pb";
import provider from "@pulumi/pulumi/proto/provider_pb";
import empty from "google-protobuf/google/protobuf/empty_pb";
import { type Calls, notServed, ProviderError, schemaSecrets } from "./calls";
import { diffInputs } from "./diff";
import { invokeFunction } from "./functions";
import { checkInputs } from "./schema";
import type { Bag, Path, ProviderSpec, ResourceType, Schema } from "./types";
import { bagOf, diffOf, errorOf, failuresOf, outputSecrets, structOf } from "./wire";

export interface ServiceHooks {
  /** The engine tells where it listens. */
  attach(address: string): void;
  /** The engine was interrupted. */
  cancel(): void;
}

// biome-ignore lint/suspicious/noExplicitAny: one shape for all methods of the generated service
type Method = handleUnaryCall<any, any>;

export function serviceOf(spec: ProviderSpec, calls: Calls, hooks: ServiceHooks): Record<string, Method> {
  const configSchema = spec.config ?? {};
  const configType = `pulumi:providers:${spec.name}`;

  /** Wraps a handler: answers errors as gRPC wants them, never throws. */
  const unary =
    <Request, Response>(handle: (request: Request) => Promise<Response> | Response): Method =>
    async (call: ServerUnaryCall<Request, Response>, done: sendUnaryData<Response>) => {
      try {
        done(null, await handle(call.request));
      } catch (error) {
        if (error instanceof Failed) return done(errorOf(error.error, error.secrets, error.inputs));
        const text = error instanceof Error ? error.message : String(error);
        done({ code: status.UNKNOWN, details: text });
      }
    };
  const unimplemented =
    (name: string): Method =>
    (_call, done) => {
      done({ code: status.UNIMPLEMENTED, details: `${spec.name}: ${name} is not implemented` });
    };
  const resource = (urn: string): { type: string; resource: ResourceType } => {
    const type = typeOf(urn);
    const found = Object.hasOwn(spec.resources, type) ? spec.resources[type] : undefined;
    if (found === undefined) throw notServed(spec, type);
    return { type, resource: found };
  };
  const check = (type: string, schema: Schema, news: Bag) => {
    const { inputs, failures } = checkInputs(type, schema, news.values);
    const secrets: Path[] = [...news.secrets, ...schemaSecrets(schema, inputs)];
    return { bag: { values: inputs, secrets }, failures };
  };

  return {
    handshake: unary((request: provider.ProviderHandshakeRequest) => {
      if (request.getEngineAddress() !== "") hooks.attach(request.getEngineAddress());
      const response = new provider.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      response.setAcceptResources(false);
      response.setAcceptOutputs(false);
      return response;
    }),
    attach: unary((request: plugin.PluginAttach) => {
      hooks.attach(request.getAddress());
      return new empty.Empty();
    }),
    getPluginInfo: unary(() => {
      const response = new plugin.PluginInfo();
      response.setVersion(spec.version);
      return response;
    }),
    getSchema: unary(() => {
      const response = new provider.GetSchemaResponse();
      response.setSchema(JSON.stringify({ name: spec.name, version: spec.version }));
      return response;
    }),
    checkConfig: unary(async (request: provider.CheckRequest) => {
      const news = bagOf(request.getNews());
      const plain = decodeConfig(configSchema, news);
      const { bag, failures } = check(configType, configSchema, plain);
      const response = new provider.CheckResponse();
      // Provider inputs are kept as the SDK sent them: nested ones as JSON text.
      const kept = { ...news.values };
      for (const [key, value] of Object.entries(bag.values)) if (!(key in kept)) kept[key] = value;
      response.setInputs(structOf(kept, [...news.secrets, ...schemaSecrets(configSchema, kept)]));
      response.setFailuresList(failuresOf(failures));
      return response;
    }),
    diffConfig: unary((request: provider.DiffRequest) => {
      const changes = diffInputs(configSchema, {
        oldInputs: decodeConfig(configSchema, bagOf(request.getOldInputs())),
        news: decodeConfig(configSchema, bagOf(request.getNews())),
        ignoreChanges: request.getIgnorechangesList(),
      });
      return diffOf({ changes }, false);
    }),
    configure: unary(async (request: provider.ConfigureRequest) => {
      const raw = decodeConfig(configSchema, bagOf(request.getArgs()));
      const { bag, failures } = check(configType, configSchema, raw);
      if (failures.length > 0) {
        throw new ProviderError(
          `provider ${spec.name}: ${failures.map(({ property, reason }) => `${property} ${reason}`).join("; ")}`,
        );
      }
      await calls.run(
        { urn: "", type: configType, preview: false, schema: configSchema, bags: [bag] },
        (ctx) => spec.configure?.(bag, ctx),
      );
      const response = new provider.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      response.setAcceptresources(false);
      response.setAcceptoutputs(false);
      return response;
    }),
    check: unary(async (request: provider.CheckRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const news = bagOf(request.getNews());
      const olds = bagOf(request.getOlds());
      let { bag, failures } = check(type, target.inputs, news);
      if (failures.length === 0 && target.check !== undefined) {
        const call = { urn, type, preview: true, schema: target.inputs, bags: [bag] };
        const more = await calls.run(call, (ctx) => target.check?.({ olds, news: bag }, ctx));
        if (more?.inputs !== undefined) bag = { values: more.inputs, secrets: bag.secrets };
        failures = [...(more?.failures ?? [])];
      }
      const response = new provider.CheckResponse();
      response.setInputs(structOf(bag.values, bag.secrets));
      response.setFailuresList(failuresOf(failures));
      return response;
    }),
    diff: unary(async (request: provider.DiffRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const olds = bagOf(request.getOlds());
      const oldInputs = bagOf(request.getOldInputs());
      const news = bagOf(request.getNews());
      const ignoreChanges = request.getIgnorechangesList();
      const req = { id: request.getId(), olds, oldInputs, news, ignoreChanges };
      const call = { urn, type, preview: true, schema: target.inputs, bags: [olds, oldInputs, news] };
      const result = await calls.run(
        call,
        async (ctx) => (await target.diff?.(req, ctx)) ?? { changes: diffInputs(target.inputs, req) },
      );
      return diffOf(result, target.deleteBeforeReplace ?? false);
    }),
    create: unary(async (request: provider.CreateRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const inputs = bagOf(request.getProperties());
      const preview = request.getPreview();
      const call = {
        urn,
        type,
        preview,
        timeout: request.getTimeout(),
        schema: target.inputs,
        bags: [inputs],
      };
      const result = await failing(target.inputs, inputs, () =>
        calls.run(call, (ctx) => target.create({ inputs }, ctx)),
      );
      const response = new provider.CreateResponse();
      response.setId(result.id);
      response.setProperties(
        structOf(result.outs, outputSecrets(target.inputs, result.outs, inputs.secrets, result.secrets)),
      );
      return response;
    }),
    read: unary(async (request: provider.ReadRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const id = request.getId();
      const props = bagOf(request.getProperties());
      const inputs = bagOf(request.getInputs());
      const call = { urn, type, preview: false, schema: target.inputs, bags: [props, inputs] };
      const result = await calls.run(call, async (ctx) => {
        if (target.read !== undefined) return await target.read({ id, props, inputs }, ctx);
        if (Object.keys(props.values).length === 0) {
          throw new ProviderError(
            `${type} cannot be imported: nothing outside of the state says what it was`,
          );
        }
        return { id, outs: props.values, inputs: inputs.values };
      });
      const response = new provider.ReadResponse();
      response.setId(result.id);
      if (result.id === "") return response;
      const secrets = [...props.secrets, ...inputs.secrets];
      response.setProperties(
        structOf(result.outs, outputSecrets(target.inputs, result.outs, secrets, result.secrets)),
      );
      const back = "inputs" in result && result.inputs !== undefined ? result.inputs : inputs.values;
      response.setInputs(structOf(back, outputSecrets(target.inputs, back, inputs.secrets)));
      return response;
    }),
    update: unary(async (request: provider.UpdateRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const olds = bagOf(request.getOlds());
      const oldInputs = bagOf(request.getOldInputs());
      const news = bagOf(request.getNews());
      const preview = request.getPreview();
      const bags = [olds, oldInputs, news];
      const call = { urn, type, preview, timeout: request.getTimeout(), schema: target.inputs, bags };
      const req = { id: request.getId(), olds, oldInputs, news };
      const result = await failing(target.inputs, news, () =>
        calls.run(
          call,
          async (ctx) => (await target.update?.(req, ctx)) ?? { outs: { ...olds.values, ...news.values } },
        ),
      );
      const response = new provider.UpdateResponse();
      response.setProperties(
        structOf(result.outs, outputSecrets(target.inputs, result.outs, news.secrets, result.secrets)),
      );
      return response;
    }),
    delete: unary(async (request: provider.DeleteRequest) => {
      const urn = request.getUrn();
      const { type, resource: target } = resource(urn);
      const olds = bagOf(request.getProperties());
      const oldInputs = bagOf(request.getOldInputs());
      const bags = [olds, oldInputs];
      const call = { urn, type, preview: false, timeout: request.getTimeout(), schema: target.inputs, bags };
      await calls.run(call, (ctx) => target.delete({ id: request.getId(), olds, oldInputs }, ctx));
      return new empty.Empty();
    }),
    invoke: unary((request: provider.InvokeRequest) => invokeFunction(spec, calls, request)),
    cancel: unary(() => {
      hooks.cancel();
      return new empty.Empty();
    }),
    call: unimplemented("Call"),
    construct: unimplemented("Construct"),
    parameterize: unimplemented("Parameterize"),
    getMapping: unimplemented("GetMapping"),
    getMappings: unimplemented("GetMappings"),
    list: unimplemented("List"),
  };
}

/** Carries a half-made resource to where the answer is written. */
class Failed extends Error {
  constructor(
    readonly error: ProviderError,
    readonly secrets: readonly Path[],
    readonly inputs: Bag,
  ) {
    super(error.message);
  }
}

async function failing<T>(schema: Schema, inputs: Bag, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProviderError) || error.partial === undefined) throw error;
    throw new Failed(error, outputSecrets(schema, error.partial.outs, inputs.secrets), inputs);
  }
}

/** `urn:pulumi:stack::project::parent$type::name` -> `type`. */
function typeOf(urn: string): string {
  const qualified = urn.split("::")[2] ?? "";
  return qualified.slice(qualified.lastIndexOf("$") + 1);
}

/** SDKs send provider inputs that are not strings as JSON text; takes that off, by the schema's type. */
function decodeConfig(schema: Schema, config: Bag): Bag {
  const values = { ...config.values };
  // Where to get the plugin is the engine's business, and stands among the inputs.
  for (const key of ["version", "pluginDownloadURL"]) delete values[key];
  for (const [key, property] of Object.entries(schema)) {
    const value = values[key];
    if (typeof value !== "string" || property.type === "string" || property.type === "any") continue;
    try {
      values[key] = JSON.parse(value);
    } catch {
      // Left as it is: the schema check says what was expected. Unknown values land here too.
    }
  }
  return { values, secrets: config.secrets };
}
