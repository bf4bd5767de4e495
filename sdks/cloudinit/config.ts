import * as pulumi from "@pulumi/pulumi";
import type * as inputs from "./types/input";
import type * as outputs from "./types/output";
import { resourceOptsDefaults } from "./utilities";

/** The inputs of a {@link Config}. A change of any of them replaces it. */
export interface ConfigArgs {
  /**
   * Whether `rendered` is base64. It has to be where `gzip` is true.
   * @default true
   */
  base64Encode?: pulumi.Input<boolean | undefined>;
  /**
   * What separates the parts.
   * @default "MIMEBOUNDARY"
   */
  boundary?: pulumi.Input<string | undefined>;
  /**
   * Whether `rendered` is compressed.
   * @default true
   */
  gzip?: pulumi.Input<boolean | undefined>;
  /** The parts of the document, in this order; at least one. */
  parts: pulumi.Input<pulumi.Input<inputs.ConfigPart>[]>;
}

/** What {@link Config.get} can be told of the resource. */
export interface ConfigState {
  base64Encode?: pulumi.Input<boolean | undefined>;
  boundary?: pulumi.Input<string | undefined>;
  gzip?: pulumi.Input<boolean | undefined>;
  parts?: pulumi.Input<pulumi.Input<inputs.ConfigPart>[] | undefined>;
  rendered?: pulumi.Input<string | undefined>;
}

/**
 * A MIME document of several parts for cloud-init.
 *
 * The upstream provider calls this resource deprecated: `getConfig` gives the same document without a resource.
 */
export class Config extends pulumi.CustomResource {
  /** @internal */
  public static readonly __pulumiType = "cloudinit:index/config:Config";

  /** The state of an existing `Config`, by its id. */
  public static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state?: ConfigState,
    opts?: pulumi.CustomResourceOptions,
  ): Config {
    return new Config(name, state, { ...opts, id });
  }

  /** Works across several copies of the SDK in one program, where `instanceof` does not. */
  public static override isInstance(obj: unknown): obj is Config {
    return (obj as { __pulumiType?: unknown } | null | undefined)?.__pulumiType === Config.__pulumiType;
  }

  // Fields that the base class sets must not be initialised here, hence `declare`.
  declare readonly base64Encode: pulumi.Output<boolean>;
  declare readonly boundary: pulumi.Output<string>;
  declare readonly gzip: pulumi.Output<boolean>;
  declare readonly parts: pulumi.Output<outputs.ConfigPart[]>;
  /** The document, as cloud-init takes it. */
  declare readonly rendered: pulumi.Output<string>;

  /** @throws Error if `args` has no `parts`. */
  constructor(name: string, args: ConfigArgs, opts?: pulumi.CustomResourceOptions);
  /** @internal */
  constructor(name: string, state?: ConfigState, opts?: pulumi.CustomResourceOptions);
  constructor(name: string, given?: ConfigArgs | ConfigState, opts: pulumi.CustomResourceOptions = {}) {
    const looksUp = opts.id !== undefined;
    if (!looksUp && opts.urn === undefined && given?.parts === undefined) {
      throw new Error("Missing required property 'parts'");
    }
    const props: pulumi.Inputs = {
      base64Encode: given?.base64Encode,
      boundary: given?.boundary,
      gzip: given?.gzip,
      parts: given?.parts,
      rendered: looksUp ? (given as ConfigState | undefined)?.rendered : undefined,
    };
    super(Config.__pulumiType, name, props, pulumi.mergeOptions(resourceOptsDefaults(), opts));
  }
}
