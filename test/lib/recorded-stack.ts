/** @file What Pulumi kept of a stack that an older version made (test/fixtures/stack-31dfb70). */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FIXTURE = join(__dirname, "../fixtures/stack-31dfb70");
const SECRET = '"4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270"';

/** What the recording leaves to the test. */
export interface Blanks {
  stack: string;
  /** Of the stack's keys, as the program writes it: below the home folder it begins with `~`. */
  folder: string;
  /** Where the operator's engine is, as DOCKER_HOST has it. */
  engine: string;
}

export interface Resource {
  urn: string;
  type: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
}

/** Which inputs a plugin filled in is noted in inputs alone. */
const withoutDefaults = (key: string, value: unknown) => (key === "__defaults" ? undefined : value);

/** @returns `deployment.resources` of a document as `pulumi stack export --show-secrets` gives it */
export function recordedResources({ stack, folder, engine }: Blanks): Resource[] {
  let text = readFileSync(join(FIXTURE, "state.jsonl"), "utf8")
    .replaceAll('"%SECRET%":true', SECRET)
    .replaceAll("%STACK%", stack)
    .replaceAll("%FOLDER%", folder)
    .replaceAll("%ENGINE%", engine);
  const resources = () =>
    text
      .trimEnd()
      .split("\n")
      .map((line): Resource => JSON.parse(line));
  for (const { urn, type } of resources())
    text = text.replaceAll(`"<${type.split(/[:/]/).pop()} ${urn.split("::").pop()}>`, `"${urn}`);
  return resources().map(({ inputs = {}, outputs = {}, ...rest }) => ({
    ...rest,
    inputs,
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([key, value]) => [
        key,
        value === "%INPUT%" ? JSON.parse(JSON.stringify(inputs[key], withoutDefaults)) : value,
      ]),
    ),
  }));
}

/** The configuration that it was made by, of which one key has another name by now. */
export const recordedStackFile = (): string => readFileSync(join(FIXTURE, "stack.yaml"), "utf8");
