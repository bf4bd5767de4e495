import { makePlan, mergePorts } from "./make-plan";
import { findPlaceholders } from "./placeholders";
import type { Plan, UserSecrets } from "./plan";
import { ConfigError, type Problem } from "./problems";
import { nodeKinds, type StackConfig, stackKeys, stackSchema } from "./schema";
import { type SetupValidator, validate } from "./validate";

export interface Loaded {
  plan: Plan;
  secrets: UserSecrets;
}

export interface LoadOptions {
  /**
   * What to do with placeholders such as `<region>`: a preview may go on with them, an update may not.
   * @default "refuse"
   */
  placeholders?: "allow" | "refuse";
}

/**
 * From the stack's raw configuration to its plan, or one ConfigError with every problem.
 *
 * @param raw values by full key (`berth:nodes`), structured ones as JSON text, as Pulumi hands them over;
 *   keys of other namespaces are left alone.
 */
export function loadConfig(
  stack: string,
  raw: Record<string, string>,
  validateSetup: SetupValidator,
  options: LoadOptions = {},
): Loaded {
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    if (!key.startsWith("berth:")) continue;
    values[key.slice("berth:".length)] = parseValue(value);
  }
  const found = findPlaceholders(values);
  const allow = options.placeholders === "allow";
  // What a placeholder stands for cannot be judged yet; but even a preview has to know which resources there are.
  const open = found.filter(({ path }) => !allow || !STRUCTURE.test(path)).map(({ path }) => `berth:${path}`);
  const judged = (config: StackConfig) =>
    validate(config, mergePorts(config), validateSetup).filter((problem) => !open.includes(problem.path));
  if (!allow) problems.push(...found.map(placeholderProblem));
  if (!STACK_NAME.test(stack)) problems.push(stackNameProblem(stack));
  const parsed = stackSchema.safeParse(values);
  if (!parsed.success) {
    const before = problems.map((p) => p.path);
    for (const issue of parsed.error.issues)
      problems.push(...shapeProblems(issue, values).filter((p) => !before.includes(p.path)));
    // What can be judged without the misshapen parts is judged in the same run.
    const rest = stackSchema.safeParse(without(values, parsed.error.issues));
    const reported = problems.map((p) => p.path);
    if (rest.success)
      for (const problem of judged(rest.data)) if (!reported.includes(problem.path)) problems.push(problem);
    throw new ConfigError(stack, problems);
  }
  const config = parsed.data;
  problems.push(...judged(config));
  if (problems.length > 0) throw new ConfigError(stack, problems);
  return { plan: makePlan(stack, config, mergePorts(config)), secrets: collectSecrets(config) };
}

/** Pulumi takes more: this one is in files, labels and names of containers on the nodes. */
const STACK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const stackNameProblem = (stack: string): Problem => ({
  path: "the stack's name",
  value: stack,
  problem: "cannot be written into names on the nodes",
  allowed: "1 to 63 letters, digits, '.', '_' and '-', a letter or digit first: make a stack of another name",
});

/** Fields that decide which resources exist. */
const STRUCTURE = /^(network\..*|nodes\[\d+\]\.name|users\[\d+\]\.(name|node))$/;

function placeholderProblem({ path, value }: { path: string; value: string }): Problem {
  return {
    path: `berth:${path}`,
    value: [...secretKeys].some((key) => path.includes(key)) ? "(hidden)" : value,
    problem: "is still a placeholder: a preview may go on with it, an update needs the value",
    allowed: "the real value in its place",
  };
}

/** A copy of the values less every part that an issue points at. */
function without(values: Record<string, unknown>, issues: readonly unknown[]): unknown {
  const copy = structuredClone(values);
  for (const { path, keys } of issues as Issue[]) {
    for (const target of keys ? keys.map((key) => [...path, key]) : [path]) {
      const holder = target
        .slice(0, -1)
        .reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], copy);
      const last = target.at(-1);
      if (holder && typeof holder === "object" && last !== undefined) Reflect.deleteProperty(holder, last);
    }
  }
  return copy;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Pulumi hands plain strings over as they are.
    return text;
  }
}

type Issue = {
  code: string;
  path: PropertyKey[];
  message: string;
  params?: unknown;
  keys?: string[];
  values?: unknown[];
  expected?: string;
};

/** Values under these keys are secrets: an error says that they are wrong, never what they are. */
const secretKeys = new Set(["password", "credentials"]);

function shapeProblems(issue: unknown, values: unknown): Problem[] {
  const { code, path, message, params, keys, values: options, expected } = issue as Issue;
  const at = (tail: PropertyKey[]) =>
    `berth:${[...path, ...tail].reduce<string>((text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`), "")}`;
  const found = [...path].reduce<unknown>(
    (value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part],
    values,
  );
  const hidden = path.some((part) => secretKeys.has(String(part)));
  if (code === "unrecognized_keys")
    return (keys ?? []).map((key) => ({
      path: at([key]),
      value: "(hidden)",
      problem: "is an unknown key",
      allowed:
        path.length === 0
          ? stackKeys.map((k) => `berth:${k}`).join(", ")
          : "the keys that the documentation lists for this part",
    }));
  if (code === "invalid_union") {
    const kind = path.at(-1) === "kind";
    return [
      {
        path: at([]),
        value: hidden ? "(hidden)" : found,
        problem: found === undefined ? "is missing" : kind ? "is no kind of node" : "has another shape",
        allowed: kind ? nodeKinds.map((k) => JSON.stringify(k)).join(", ") : message,
      },
    ];
  }
  const allowed =
    (params as { allowed?: string } | undefined)?.allowed ??
    (options ? options.map((o) => JSON.stringify(o)).join(", ") : undefined) ??
    expected ??
    message;
  return [
    {
      path: at([]),
      value: hidden ? "(hidden)" : found,
      problem: found === undefined ? "is missing" : message,
      allowed,
    },
  ];
}

function collectSecrets(config: StackConfig): UserSecrets {
  return Object.fromEntries(
    config.users.map((user) => [
      user.name,
      {
        ...(user.password !== undefined ? { password: user.password } : {}),
        ...(user.setup?.credentials ? { credentials: user.setup.credentials } : {}),
      },
    ]),
  );
}
