import { parseDocument } from "yaml";
import type { Value } from "./rule";
import { plainSecrets } from "./secrets";

/** `{ secure: … }`, alone in its object: what `pulumi config set --secret` writes. */
function isSecure(value: unknown): boolean {
  return (
    value !== null &&
    typeof value === "object" &&
    Object.keys(value).length === 1 &&
    Object.hasOwn(value, "secure")
  );
}

function withoutSecure(value: unknown): Value {
  if (Array.isArray(value)) return value.map(withoutSecure);
  if (isSecure(value)) return null;
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutSecure(item)]));
  return value as Value;
}

/**
 * Secrets that stand in plain text in a stack file: each with where and how to mend it.
 *
 * @param name of the stack
 * @param yaml text of its `Pulumi.<stack>.yaml`
 */
export function plainSecretsInStackFile(name: string, yaml: string): string[] {
  const document = parseDocument(yaml);
  if (document.errors.length > 0)
    return [`Pulumi.${name}.yaml cannot be read: ${document.errors[0]?.message}`];
  const { config } = (document.toJS() ?? {}) as { config?: unknown };
  return plainSecrets(withoutSecure(config ?? {})).map(
    (found) =>
      `Pulumi.${name}.yaml: ${found}, but stands there in plain text: take it out, replace it where it is used, and set it with pulumi config set --secret --path`,
  );
}
