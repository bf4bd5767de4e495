/**
 * Properties that the API's description shows in its tables and examples, yet forgets in its schemas, so that
 * the official client does not know them either. By operation or model.
 */
export const gaps: Readonly<Record<string, readonly string[]>> = {
  // The table of the operation names it; the schema is the one of the operation by id.
  "POST /v2/volumes/actions": ["volume_name"],
  // Misspelt there ("imgages"); its example and godo's tags.go have it right.
  Tags_resources: ["images"],
};
