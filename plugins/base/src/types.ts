/**
 * The shapes that a plugin speaks: plain values (secrets unwrapped, unknowns as {@link UNKNOWN}), requests,
 * results, and the {@link ProviderSpec} that {@link serve} turns into a Pulumi provider.
 */

/** A property value as Pulumi sends it, with secret wrappers taken off. Unknown values are {@link UNKNOWN}. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

/** Property name to its description. */
export type Schema = Readonly<Record<string, Property>>;

export interface Property {
  /**
   * `map`: any keys, values as `items`; `object`: the keys of `properties` alone; `any`: not looked at.
   */
  readonly type: "string" | "number" | "integer" | "boolean" | "array" | "map" | "object" | "any";
  /** Default false. */
  readonly required?: boolean;
  /** Always secret in state, whether the program said so or not. Default false. */
  readonly secret?: boolean;
  /** Not masked in messages, even inside a secret (the host of a secret connection). Default false. */
  readonly public?: boolean;
  /** Filled in by check when absent, as the official plugin does. */
  readonly default?: Value;
  readonly enum?: readonly Value[];
  /** Element type of an `array` or `map`. Default: any. */
  readonly items?: Property;
  /** Keys of an `object`. */
  readonly properties?: Schema;
  /** A change of it (or of anything inside it) replaces the resource. Default false. */
  readonly replace?: boolean;
  /**
   * An input of the official plugin that this one does not implement: the text says why or what to use
   * instead. Giving it is an error; absent, `null`, and (for arrays and maps) empty are fine.
   */
  readonly unsupported?: string;
  readonly min?: number;
  readonly max?: number;
}

/** A property bag of a resource: its inputs or its outputs, plain. */
export type Props = { [key: string]: Value };

/** Where a value sits in a bag: `["connection", "privateKey"]`, `["ports", 0, "internal"]`. */
export type Path = readonly (string | number)[];

/** A bag with the places that were secret in it. */
export interface Bag {
  readonly values: Props;
  /** Outermost first; a path inside another secret path may be listed too. */
  readonly secrets: readonly Path[];
}

export type Severity = "debug" | "info" | "warning" | "error";

/** What a handler knows about the call it serves. */
export interface Context {
  readonly urn: string;
  /** Logical name of the resource; taken from the URN. */
  readonly name: string;
  /** Type token, `command:remote:Command`. */
  readonly type: string;
  /** True in `pulumi preview` (and the preview phase of `up`): nothing may be touched. */
  readonly preview: boolean;
  /** Aborts at the engine's Cancel (Ctrl-C) and when the resource's custom timeout has passed. */
  readonly signal: AbortSignal;
  /** Milliseconds that the call may take (from `customTimeouts`); undefined: no limit was given. */
  readonly timeoutMs: number | undefined;
  /**
   * Shows a line in the console of `pulumi up`, on this resource. Secrets of the call's own inputs are
   * masked before it leaves the process. `ephemeral` lines are shown while the operation runs and not kept.
   */
  log(severity: Severity, message: string, options?: { ephemeral?: boolean }): void;
}

export interface CheckFailure {
  /** Property path, `connection.host`; empty: the resource as a whole. */
  readonly property: string;
  readonly reason: string;
}

export interface CheckRequest {
  readonly olds: Bag;
  /** Already validated against the schema (unknown properties, types, required), with defaults filled in. */
  readonly news: Bag;
}

export interface DiffRequest {
  readonly id: string;
  /** Outputs in state. */
  readonly olds: Bag;
  /** Inputs in state. */
  readonly oldInputs: Bag;
  readonly news: Bag;
  /** Already applied by {@link diffInputs}; pass on when you call it yourself. */
  readonly ignoreChanges: readonly string[];
}

export type DiffKind = "add" | "delete" | "update";

export interface PropertyChange {
  readonly path: Path;
  readonly kind: DiffKind;
  readonly replace: boolean;
}

export interface DiffResult {
  /** Empty: no change. */
  readonly changes: readonly PropertyChange[];
  /** Default: the type's `deleteBeforeReplace`. */
  readonly deleteBeforeReplace?: boolean;
}

export interface CreateRequest {
  readonly inputs: Bag;
}

export interface UpdateRequest {
  readonly id: string;
  readonly olds: Bag;
  readonly oldInputs: Bag;
  readonly news: Bag;
}

export interface ReadRequest {
  readonly id: string;
  /** Outputs in state; empty for an import. */
  readonly props: Bag;
  /** Inputs in state; empty for an import. */
  readonly inputs: Bag;
}

export interface DeleteRequest {
  readonly id: string;
  readonly olds: Bag;
  readonly oldInputs: Bag;
}

/**
 * Outputs of a create, update or read. A path that was secret in the inputs is marked secret again by the
 * server, as is whatever the schema calls secret; `secrets` adds more (`[["stdout"]]`).
 */
export interface Outputs {
  readonly outs: Props;
  readonly secrets?: readonly Path[];
}

export interface CreateResult extends Outputs {
  readonly id: string;
}

export interface ReadResult extends Outputs {
  /** Blank: the thing is gone, and the next `up` creates it again. */
  readonly id: string;
  /** Inputs that would lead to what was read; the next preview is compared with them. */
  readonly inputs?: Props;
}

/** One resource type of a plugin. Everything but `inputs`, `create` and `delete` has a default. */
export interface ResourceType {
  /** Every input that is known, by name. Anything else is refused by `check`. */
  readonly inputs: Schema;
  /** A replace deletes first. Default false. */
  readonly deleteBeforeReplace?: boolean;
  /** Runs after the schema's own check; may change inputs (return them) or add failures. */
  check?(
    req: CheckRequest,
    ctx: Context,
  ):
    | Promise<{ inputs?: Props; failures?: readonly CheckFailure[] }>
    | { inputs?: Props; failures?: readonly CheckFailure[] };
  /** Default: {@link diffInputs} with the schema's `replace` flags. */
  diff?(req: DiffRequest, ctx: Context): Promise<DiffResult> | DiffResult;
  /** In preview: return the outputs that are known, {@link UNKNOWN} for the rest, and the id "". */
  create(req: CreateRequest, ctx: Context): Promise<CreateResult>;
  /** Default: what the state holds, unchanged. */
  read?(req: ReadRequest, ctx: Context): Promise<ReadResult>;
  /** Default: the new inputs over the old outputs. */
  update?(req: UpdateRequest, ctx: Context): Promise<Outputs>;
  /** A thing that is gone already is a success. Never called in preview. */
  delete(req: DeleteRequest, ctx: Context): Promise<void>;
}

/** What a function answers: `outs`, or `failures` where arguments that the schema lets pass are wrong together. */
export interface InvokeResult {
  readonly outs?: Props;
  /** Secret results, besides those of a call with a secret argument, which are secret as a whole. */
  readonly secrets?: readonly Path[];
  readonly failures?: readonly CheckFailure[];
}

/** A function of the plugin, also called data source (`cloudinit:index/getConfig:getConfig`). */
export interface FunctionType {
  /** Every argument that is known, by name. Anything else is refused. Mark what errors may quote `public`. */
  readonly inputs: Schema;
  /**
   * Called in previews too, so it may only look. `args` are checked, with defaults filled in, and hold no unknown
   * value. The context's `urn` is empty, its `type` is the function's token.
   */
  invoke(args: Bag, ctx: Context): Promise<InvokeResult> | InvokeResult;
}

/** A whole plugin. */
export interface ProviderSpec {
  /** Package name, `docker`; the bundle's file name and the log prefix. */
  readonly name: string;
  /** Plugin version; the SDK package's. */
  readonly version: string;
  /** The provider resource's own inputs (`host`, `sshOpts`); none: any configuration is refused. */
  readonly config?: Schema;
  /** By full type token, `docker:index/container:Container`. */
  readonly resources: Readonly<Record<string, ResourceType>>;
  readonly functions?: Readonly<Record<string, FunctionType>>;
  /**
   * Receives the validated configuration before the first call. Unknown values (first preview) are
   * {@link UNKNOWN}: then the engine makes no other call but previews.
   */
  configure?(config: Bag, ctx: Pick<Context, "log" | "signal">): Promise<void> | void;
  /** Runs once, at Cancel or at exit, to close connections; at most 2 s. */
  close?(): Promise<void> | void;
}
