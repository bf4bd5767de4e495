/** Parts of a document, as they come back: with defaults filled in. */

/** A part of a `Config`; see the input of the same name. */
export interface ConfigPart {
  content: string;
  contentType: string;
  filename?: string;
  mergeType?: string;
}

/** A part in the answer of `getConfig`. */
export interface GetConfigPart {
  content: string;
  contentType?: string;
  filename?: string;
  mergeType?: string;
}
