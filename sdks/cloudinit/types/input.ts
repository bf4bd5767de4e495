/** Parts of a document, as the program gives them. */
import type * as pulumi from "@pulumi/pulumi";

/** A part of a {@link Config}. */
export interface ConfigPart {
  /** The part's body. */
  content: pulumi.Input<string>;
  /**
   * MIME type, which tells cloud-init what to do with the part.
   * @default "text/plain"
   */
  contentType?: pulumi.Input<string | undefined>;
  /** File name in the part's header. */
  filename?: pulumi.Input<string | undefined>;
  /** The `X-Merge-Type` header: how cloud-init merges this part with those before it. */
  mergeType?: pulumi.Input<string | undefined>;
}

/** A part for `getConfig`; see {@link ConfigPart}. */
export interface GetConfigPart {
  content: string;
  contentType?: string;
  filename?: string;
  mergeType?: string;
}

/** A part for `getConfigOutput`; see {@link ConfigPart}. */
export interface GetConfigPartArgs {
  content: pulumi.Input<string>;
  contentType?: pulumi.Input<string | undefined>;
  filename?: pulumi.Input<string | undefined>;
  mergeType?: pulumi.Input<string | undefined>;
}
