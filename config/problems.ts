/**
 * One thing wrong with a stack's configuration.
 *
 * `path` is where it stands (`berth:users[1].node`), `value` what stands there (never a secret),
 * `problem` what is wrong, `allowed` what would be right.
 */
export interface Problem {
  path: string;
  value: unknown;
  problem: string;
  allowed: string;
}

/** Adds a problem; `path` without `berth:`. */
export type Report = (path: string, value: unknown, problem: string, allowed: string) => void;

/**
 * Reports a name that an earlier entry of the list has too.
 *
 * @param list its key in the configuration: `users`
 * @param what one of them in words: `user`
 */
export function reportTwin(
  entries: readonly { name: string }[],
  i: number,
  { list, what, report }: { list: string; what: string; report: Report },
): void {
  const name = entries[i]?.name;
  const twin = entries.findIndex((entry) => entry.name === name);
  if (twin < i)
    report(
      `${list}[${i}].name`,
      name,
      `is the name of ${list}[${twin}] too`,
      `a name of its own for every ${what}`,
    );
}

/** Thrown once with every problem found, before anything is touched. */
export class ConfigError extends Error {
  constructor(
    readonly stackName: string,
    readonly problems: readonly Problem[],
  ) {
    super(formatProblems(stackName, problems));
    this.name = "ConfigError";
  }
}

/** Stands for a value that may be a secret. */
export const HIDDEN = "(hidden)";

function show(value: unknown): string {
  if (value === undefined) return "(nothing)";
  if (value === HIDDEN) return HIDDEN;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

export function formatProblems(stack: string, problems: readonly Problem[]): string {
  const one = problems.length === 1;
  const head = `The configuration of stack "${stack}" has ${one ? "a problem" : `${problems.length} problems`}; nothing was touched.`;
  const body = problems.map(
    (p, i) => `  ${i + 1}. ${p.path} = ${show(p.value)}\n     ${p.problem}\n     Allowed: ${p.allowed}`,
  );
  return [head, ...body, `Mend ${one ? "it" : "them"} in Pulumi.${stack}.yaml and preview again.`].join("\n");
}
