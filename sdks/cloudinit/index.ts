/** Of `@pulumi/cloudinit` what Berth's program calls, for networks whose npm registry does not have the package. */
import * as pulumi from "@pulumi/pulumi";
import { version } from "./package.json";

/** Arguments of {@link getConfigOutput}. */
export interface GetConfigOutputArgs {
  /** Whether `rendered` is base64. It has to be where `gzip` is true. @default true */
  base64Encode?: pulumi.Input<boolean | undefined>;
  /** What separates the parts. @default "MIMEBOUNDARY" */
  boundary?: pulumi.Input<string | undefined>;
  /** Whether `rendered` is compressed. @default true */
  gzip?: pulumi.Input<boolean | undefined>;
  /** The parts of the document, in this order; at least one. */
  parts: pulumi.Input<pulumi.Input<GetConfigPartArgs>[]>;
}

export interface GetConfigPartArgs {
  content: pulumi.Input<string>;
  /** MIME type, which tells cloud-init what to do with the part. @default "text/plain" */
  contentType?: pulumi.Input<string | undefined>;
  /** File name in the part's header. */
  filename?: pulumi.Input<string | undefined>;
  /** The `X-Merge-Type` header: how cloud-init merges this part with those before it. */
  mergeType?: pulumi.Input<string | undefined>;
}

export interface GetConfigResult {
  /** CRC-32 of `rendered`. */
  readonly id: string;
  /** The document, as cloud-init takes it. */
  readonly rendered: string;
}

/** A MIME document of several parts for cloud-init. The result is secret where an argument is. */
export function getConfigOutput(
  { base64Encode, boundary, gzip, parts }: GetConfigOutputArgs,
  opts?: pulumi.InvokeOutputOptions,
): pulumi.Output<GetConfigResult> {
  return pulumi.runtime.invokeOutput(
    "cloudinit:index/getConfig:getConfig",
    { base64Encode, boundary, gzip, parts },
    // With the version the engine picks the plugin.
    { version, ...opts },
  );
}
