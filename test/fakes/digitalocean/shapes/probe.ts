/**
 * Reads shapes out of the official client's generated functions by calling them with stand-ins that write
 * down what they are asked for.
 *
 * The client carries no schema, but its code is one: a deserialiser is a table from each property's wire name
 * to a call such as `n.getNumberValue()`, and a serialiser is a list of calls such as
 * `writer.writeNumberValue("size_gigabytes", it.sizeGigabytes)`. Both are generated from the API's published
 * description, so a name that they do not know is a name that the description does not have.
 */

/** What a property may hold. `shape` is there for objects and lists of objects; it is asked for lazily. */
export interface FieldType {
  readonly kind:
    | "string"
    | "number"
    | "boolean"
    | "date"
    | "uuid"
    | "enum"
    | "primitives"
    | "object"
    | "objects"
    | "any";
  /** Allowed values; only responses carry them. */
  readonly values?: readonly unknown[];
  /** Shape of the nested object. It may depend on the value (one of several, told apart by a property). */
  readonly shape?: (value: unknown) => Shape;
}

export interface Shape {
  /** Name of the model, as the description has it. */
  readonly name: string;
  /** By wire name: the types of which one must fit. */
  readonly fields: ReadonlyMap<string, readonly FieldType[]>;
}

type Deserializer = (target: object) => Record<string, (node: unknown) => void>;
/** `createXFromDiscriminatorValue` of the client. */
export type Factory = (node: unknown) => Deserializer;
/** `serializeX` of the client. */
export type Serializer = (writer: unknown, value: unknown) => void;

const readers: Record<string, FieldType["kind"]> = {
  getStringValue: "string",
  getNumberValue: "number",
  getBooleanValue: "boolean",
  getDateValue: "date",
  getDateOnlyValue: "date",
  getGuidValue: "uuid",
  getEnumValue: "enum",
  getCollectionOfEnumValues: "primitives",
  getCollectionOfPrimitiveValues: "primitives",
  getObjectValue: "object",
  getCollectionOfObjectValues: "objects",
};

/** A node of the wire that only answers what a factory asks in order to choose between models. */
function choosingNode(value: unknown): object {
  return {
    getChildNode: (key: string) =>
      typeof value === "object" && value !== null
        ? choosingNode((value as Record<string, unknown>)[key])
        : undefined,
    getStringValue: () => (typeof value === "string" ? value : undefined),
    getNumberValue: () => (typeof value === "number" ? value : undefined),
    getBooleanValue: () => (typeof value === "boolean" ? value : undefined),
  };
}

const unknownCall = (what: string, name: string) =>
  new Error(
    `the official client's ${what} calls ${name}, which this check does not know: teach it to shapes/probe.ts`,
  );

/** Shape of what `factory` makes of `value`. */
export function responseShape(factory: Factory, value: unknown): Shape {
  const deserializer = factory(choosingNode(value));
  if (typeof deserializer !== "function") return { name: factory.name, fields: new Map() };
  const fields = new Map<string, FieldType[]>();
  for (const [key, read] of Object.entries(deserializer({}))) {
    const types: FieldType[] = [];
    // Each reader answers undefined, so that `a() ?? b()` asks for every alternative.
    const node = new Proxy(
      {},
      {
        get: (_, name) => (argument?: unknown) => {
          const kind = readers[String(name)];
          if (kind === undefined) throw unknownCall("deserialiser", String(name));
          if (kind === "enum") types.push({ kind, values: Object.values(argument as object) });
          else if (kind === "object" || kind === "objects")
            types.push({ kind, shape: (nested) => responseShape(argument as Factory, nested) });
          else types.push({ kind });
          return undefined;
        },
      },
    );
    read(node);
    // The description's `anyOf` with an empty member: several models, and properties of all of them at once.
    fields.set(key, types);
  }
  return { name: deserializer.name.replace(/^deserializeInto/, ""), fields };
}

const writers: Record<string, FieldType["kind"]> = {
  writeStringValue: "string",
  writeNumberValue: "number",
  writeBooleanValue: "boolean",
  writeDateValue: "date",
  writeDateOnlyValue: "date",
  writeGuidValue: "uuid",
  writeEnumValue: "string",
  writeCollectionOfEnumValues: "primitives",
  writeCollectionOfPrimitiveValues: "primitives",
  writeObjectValue: "object",
  writeCollectionOfObjectValues: "objects",
};

/** The client's camel-case property for a wire name, and back: `size_gigabytes`, `defaultEscaped`. */
const wireName = (property: string) =>
  property.replace(/Escaped$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Shape of a request body that `serializer` would write, given the body that came. */
export function requestShape(serializer: Serializer, body: unknown): Shape {
  const fields = new Map<string, FieldType[]>();
  const writer = new Proxy(
    {},
    {
      get: (_, name) => (key: string, _value: unknown, nested?: Serializer) => {
        if (name === "writeAdditionalData") return;
        const kind = writers[String(name)];
        if (kind === undefined) throw unknownCall("serialiser", String(name));
        const shape = nested && ((value: unknown) => requestShape(nested, value));
        fields.set(key, [...(fields.get(key) ?? []), { kind, shape }]);
      },
    },
  );
  // Serialisers choose by the value's type or by a property of it: they see what came, under their own names.
  const source = (body ?? {}) as Record<string, unknown>;
  const value = new Proxy({}, { get: (_, property) => source[wireName(String(property))] });
  serializer(writer, value);
  return { name: serializer.name.replace(/^serialize/, ""), fields };
}
