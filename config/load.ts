import { LABEL } from "../core/names";
import { without } from "../core/problems";
import { cautionsOf } from "./cautions";
import { type SetupValidator, validate } from "./check";
import { makePlan } from "./make-plan";
import { mergePorts } from "./network/resolve";
import { findPlaceholders } from "./placeholders";
import type { Plan, UserSecrets } from "./plan";
import { ConfigError, HIDDEN, type Problem } from "./problems";
import { type StackConfig, stackSchema } from "./schema";
import { holdsSecret, type ShapeIssue, shapeProblems, withoutEmpty } from "./shape";

export interface Loaded {
  plan: Plan;
  secrets: UserSecrets;
  /** What Berth does not know, and a node may; for people. */
  cautions: string[];
}

/** @example { placeholders: "allow" } */
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
 * @example
 * const { plan, secrets } = loadConfig(pulumi.getStack(), pulumi.runtime.allConfig(), validateSetup);
 */
export function loadConfig(
  stack: string,
  raw: Record<string, string>,
  validateSetup: SetupValidator,
  options: LoadOptions = {},
): Loaded {
  const problems: Problem[] = [];
  const values = withoutEmpty(
    Object.fromEntries(
      Object.entries(raw)
        .filter(([key]) => key.startsWith("berth:"))
        .map(([key, value]) => [key.slice("berth:".length), parseValue(value)]),
    ),
  );
  const found = findPlaceholders(values);
  const allow = options.placeholders === "allow";
  // What a placeholder stands for cannot be judged yet; but even a preview has to know which resources there are.
  const open = found.filter(({ path }) => !allow || !STRUCTURE.test(path)).map(({ path }) => `berth:${path}`);
  const judged = (config: StackConfig) =>
    once(validate(config, mergePorts(config), validateSetup)).filter(
      (problem) => !open.includes(problem.path),
    );
  if (!allow) problems.push(...found.map(placeholderProblem));
  if (!LABEL.test(stack)) problems.push(stackNameProblem(stack));
  const parsed = stackSchema.safeParse(values);
  if (!parsed.success) {
    const before = problems.map((p) => p.path);
    const issues = parsed.error.issues as readonly ShapeIssue[];
    for (const issue of issues)
      problems.push(...shapeProblems(issue, values).filter((p) => !before.includes(p.path)));
    const misshapen = issues.flatMap(({ path, keys }) => keys?.map((key) => [...path, key]) ?? [path]);
    const rest = stackSchema.safeParse(without(values, misshapen));
    const reported = problems.map((p) => p.path);
    if (rest.success)
      for (const problem of judged(rest.data)) if (!reported.includes(problem.path)) problems.push(problem);
    throw new ConfigError(stack, problems);
  }
  const config = parsed.data;
  problems.push(...judged(config));
  if (problems.length > 0) throw new ConfigError(stack, problems);
  return {
    plan: makePlan(stack, config, mergePorts(config)),
    secrets: collectSecrets(config),
    cautions: cautionsOf(config),
  };
}

/** Pulumi takes more: this one is in files, labels and names of containers on the nodes. */
const stackNameProblem = (stack: string): Problem => ({
  path: "the stack's name",
  value: stack,
  problem: "cannot be written into names on the nodes",
  allowed: "1 to 63 letters, digits, '.', '_' and '-', a letter or digit first: make a stack of another name",
});

/** Nodes and users share parts of the configuration: what is wrong with one is said once. */
function once(problems: readonly Problem[]): Problem[] {
  const same = (a: Problem, b: Problem) => a.path === b.path && a.problem === b.problem;
  return problems.filter((problem, i) => problems.findIndex((other) => same(other, problem)) === i);
}

/** Fields that decide which resources exist. */
const STRUCTURE = /^(network\..*|nodes\[\d+\]\.name|users\[\d+\]\.(name|node))$/;

function placeholderProblem({ path, value }: { path: string; value: string }): Problem {
  return {
    path: `berth:${path}`,
    value: holdsSecret(path) ? HIDDEN : value,
    problem: "is still a placeholder: a preview may go on with it, an update needs the value",
    allowed: "the real value in its place",
  };
}

function parseValue(text: string): unknown {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    // Pulumi hands plain strings over as they are.
    return text;
  }
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
