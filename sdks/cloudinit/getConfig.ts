import * as pulumi from "@pulumi/pulumi";
import type * as inputs from "./types/input";
import type * as outputs from "./types/output";
import { resourceOptsDefaults } from "./utilities";

const TOKEN = "cloudinit:index/getConfig:getConfig";

/** Arguments of {@link getConfig}. */
export interface GetConfigArgs {
  /**
   * Whether `rendered` is base64. It has to be where `gzip` is true.
   * @default true
   */
  base64Encode?: boolean;
  /**
   * What separates the parts.
   * @default "MIMEBOUNDARY"
   */
  boundary?: string;
  /**
   * Whether `rendered` is compressed.
   * @default true
   */
  gzip?: boolean;
  /** The parts of the document, in this order; at least one. */
  parts: inputs.GetConfigPart[];
}

/** Arguments of {@link getConfigOutput}; see {@link GetConfigArgs}. */
export interface GetConfigOutputArgs {
  base64Encode?: pulumi.Input<boolean | undefined>;
  boundary?: pulumi.Input<string | undefined>;
  gzip?: pulumi.Input<boolean | undefined>;
  parts: pulumi.Input<pulumi.Input<inputs.GetConfigPartArgs>[]>;
}

/** The arguments with defaults, and the document. */
export interface GetConfigResult {
  readonly base64Encode: boolean;
  readonly boundary: string;
  readonly gzip: boolean;
  /** CRC-32 of `rendered`. */
  readonly id: string;
  readonly parts: outputs.GetConfigPart[];
  /** The document, as cloud-init takes it. */
  readonly rendered: string;
}

/** A MIME document of several parts for cloud-init. */
export function getConfig(args: GetConfigArgs, opts?: pulumi.InvokeOptions): Promise<GetConfigResult> {
  return pulumi.runtime.invoke(TOKEN, propsOf(args), pulumi.mergeOptions(resourceOptsDefaults(), opts ?? {}));
}

/** The same for parts that are Outputs. The result is secret where an argument is. */
export function getConfigOutput(
  args: GetConfigOutputArgs,
  opts?: pulumi.InvokeOutputOptions,
): pulumi.Output<GetConfigResult> {
  const merged = pulumi.mergeOptions(resourceOptsDefaults(), opts ?? {});
  return pulumi.runtime.invokeOutput(TOKEN, propsOf(args), merged);
}

function propsOf({
  base64Encode,
  boundary,
  gzip,
  parts,
}: GetConfigArgs | GetConfigOutputArgs): pulumi.Inputs {
  return { base64Encode, boundary, gzip, parts };
}
