/** The official client, pointed at a test API. */

export interface ClientOptions {
  readonly url: string;
  readonly token: string;
}

type Field = (node: ParseNode) => void;
type Factory = (node: ParseNode) => (model: object) => Record<string, Field>;
/** The part of kiota's parse node that is used here. */
interface ParseNode {
  readonly _jsonNode: unknown;
  readonly getCollectionOfPrimitiveValues: (type?: string) => unknown;
  readonly getObjectValue: (factory: Factory) => unknown;
  readonly getCollectionOfObjectValues: (factory: Factory) => unknown;
}

/**
 * Mends how the client reads lists of plain values. It asks for them without naming the elements' type, and the
 * newest kiota that its range lets in (1.0.0-preview.109; preview.99 did not) throws at that for every droplet and
 * every region: "unsupported type during deserialization undefined". JSON's values have their types already.
 */
function mended(node: ParseNode): ParseNode {
  const deep =
    (factory: Factory): Factory =>
    (inner) => {
      const deserialize = factory(inner);
      return (model) =>
        Object.fromEntries(
          Object.entries(deserialize(model)).map(([key, field]) => [
            key,
            typeof field === "function" ? (value: ParseNode) => field(mended(value)) : field,
          ]),
        );
    };
  const replaced: Partial<ParseNode> = {
    getCollectionOfPrimitiveValues: (type) => {
      if (type !== undefined) return node.getCollectionOfPrimitiveValues(type);
      return Array.isArray(node._jsonNode) ? node._jsonNode : undefined;
    },
    getObjectValue: (factory) => node.getObjectValue(deep(factory)),
    getCollectionOfObjectValues: (factory) => node.getCollectionOfObjectValues(deep(factory)),
  };
  return new Proxy(node, {
    get: (target, key) => replaced[key as keyof ParseNode] ?? target[key as keyof ParseNode],
  });
}

/**
 * Makes a client of `@digitalocean/dots`. Untyped, and its modules' names are kept from the compiler: the package
 * ships TypeScript sources that do not compile under a strict configuration.
 */
// biome-ignore lint/suspicious/noExplicitAny: see above; what comes back is checked by the tests
export async function officialClient({ url, token }: ClientOptions): Promise<any> {
  const dots: string = "@digitalocean/dots";
  const bundle: string = "@microsoft/kiota-bundle";
  const json: string = "@microsoft/kiota-serialization-json";
  const { createDigitalOceanClient, DigitalOceanApiKeyAuthenticationProvider } = await import(dots);
  const { DefaultRequestAdapter } = await import(bundle);
  const { JsonParseNodeFactory } = await import(json);
  const plain = new JsonParseNodeFactory();
  const nodes = {
    getValidContentType: () => "application/json",
    getRootParseNode: (type: string, content: ArrayBuffer) => mended(plain.getRootParseNode(type, content)),
  };
  const adapter = new DefaultRequestAdapter(new DigitalOceanApiKeyAuthenticationProvider(token), nodes);
  adapter.baseUrl = url;
  return createDigitalOceanClient(adapter);
}
