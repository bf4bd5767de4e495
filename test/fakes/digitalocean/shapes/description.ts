/**
 * The API's description as the official client carries it: every operation with its path, its query
 * parameters and the shapes of its bodies. See `probe.ts` for how shapes are read out of code.
 *
 * Each request builder of the client has metadata with one entry per method: `uriTemplate` (path and query
 * names), `requestBodySerializer`, `responseBodyFactory` and `errorMappings`. Walking the builders from the
 * root gives them all, so no path, parameter or property is written down here a second time.
 */
import { differences, missing } from "./check";
import { gaps } from "./gaps";
import { type Factory, requestShape, responseShape, type Serializer } from "./probe";

/** What one request of the client's metadata holds, as far as it is used here. */
interface RequestMetadata {
  readonly uriTemplate: string;
  readonly responseBodyFactory?: Factory;
  readonly requestBodySerializer?: Serializer;
  readonly errorMappings?: Record<string, Factory>;
}
type Navigation = Record<
  string,
  { requestsMetadata?: Record<string, RequestMetadata>; navigationMetadata?: Navigation }
>;

export interface Operation {
  /** For example `POST /v2/droplets`. */
  readonly name: string;
  readonly query: ReadonlySet<string>;
  /** Unknown query parameters, unknown or ill-typed properties of the body. */
  checkRequest(query: Iterable<string>, body: unknown): string[];
  /** The same of an answer, and required properties that it lacks. */
  checkResponse(status: number, body: unknown): string[];
}

export interface Description {
  /** `path` is the description's own template, such as `/v2/droplets/{droplet_id}`. */
  operation(method: string, path: string): Operation | undefined;
  readonly operations: readonly Operation[];
}

function describe(name: string, query: ReadonlySet<string>, request: RequestMetadata): Operation {
  return {
    name,
    query,
    checkRequest(given, body) {
      const problems = [...given]
        .filter((key) => !query.has(key))
        .map(
          (key) => `${name} query.${key}: no such parameter; there are ${[...query].join(", ") || "none"}`,
        );
      if (body === undefined) return problems;
      const { requestBodySerializer: serializer } = request;
      if (serializer === undefined) return [...problems, `${name} body: the operation takes none`];
      const shape = requestShape(serializer, body);
      const forgotten = (gaps[name] ?? []).map((key) => [key, [{ kind: "any" }]] as const);
      const whole = { ...shape, fields: new Map([...shape.fields, ...forgotten]) };
      return [...problems, ...differences(whole, body, `${name} body`)];
    },
    checkResponse(status, body) {
      const at = `${name} ${status}`;
      const factory =
        status < 400
          ? request.responseBodyFactory
          : (request.errorMappings?.[status] ?? request.errorMappings?.XXX);
      if (body === undefined)
        return status < 400 && factory !== undefined ? [`${at}: no body, one is described`] : [];
      if (factory === undefined) return [`${at}: a body, none is described`];
      const shape = responseShape(factory, body);
      return [...differences(shape, body, at), ...missing(shape, body, at)];
    },
  };
}

/**
 * Loads the description. The module's name is kept from the compiler on purpose: the package ships its
 * TypeScript sources beside the JavaScript, and these do not compile under a strict configuration.
 */
export async function loadDescription(): Promise<Description> {
  const module: string = "@digitalocean/dots/src/dots/v2/index.js";
  const { V2RequestBuilderNavigationMetadata: root } = await import(module).then(
    (loaded) => loaded as { V2RequestBuilderNavigationMetadata: Navigation },
    (cause: unknown) => {
      throw new Error(`${module} cannot be loaded; it is a development dependency, so run npm ci`, { cause });
    },
  );
  const operations = new Map<string, Operation>();
  const walk = (navigation: Navigation) => {
    for (const { requestsMetadata, navigationMetadata } of Object.values(navigation)) {
      for (const [method, request] of Object.entries(requestsMetadata ?? {})) {
        const [path = "", parameters = ""] = request.uriTemplate.replace("{+baseurl}", "").split(/\{[?&]/);
        const query = new Set(parameters.match(/[\w%-]+(?=\*)/g) ?? []);
        const name = `${method.toUpperCase()} ${path}`;
        operations.set(name, describe(name, query, request));
      }
      if (navigationMetadata) walk(navigationMetadata);
    }
  };
  walk(root);
  if (operations.size === 0)
    throw new Error("@digitalocean/dots: no operations found; its layout has changed");
  return {
    operation: (method, path) => operations.get(`${method} ${path}`),
    operations: [...operations.values()],
  };
}
