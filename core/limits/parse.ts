import { USER_NAME } from "../names";
import { type Issue, valueAt, without } from "../problems";
import { sliceWord } from "./names";
import { nearest } from "./near";
import { DEFAULT_GROUP } from "./resolve";
import { type LimitsDocument, limitFields, limitsSchema, totalFields } from "./schema";

/** One thing wrong with a limits document. */
export interface LimitsProblem {
  /** `groups.student.memory`; empty for the document itself. */
  path: string;
  /** The same as steps. */
  steps: string[];
  value: unknown;
  problem: string;
  allowed: string;
  fix: string;
}

export type ParsedLimits = { ok: true; document: LimitsDocument } | { ok: false; problems: LimitsProblem[] };

const rules = [...limitFields, "user_total"];
const groupKeys = ["members", ...rules, "total"];

/** The keys that each part of a document may have: what an error offers. */
function keysAt(steps: readonly string[]): readonly string[] {
  const last = steps.at(-1);
  if (steps.length === 0) return Object.keys(limitsSchema.shape);
  if (last === "total" || last === "user_total") return totalFields;
  if (steps[0] === "gpu_allocation") return ["enable_mig", "mig_profile"];
  if (steps[0] === "policies") return ["idle_warning_at", "max_runtime_warning_at", "alert_at"];
  return steps[0] === "groups" ? groupKeys : rules;
}

/** What a document has to be where something of another type stands. */
const expectations: Record<string, string> = {
  object: "keys with values",
  record: "names with keys and values",
  array: "a list",
  string: "text",
};

/** An issue of the schema, with the words that the schema gives it. */
interface LimitsIssue extends Issue {
  expected?: string;
  params?: { allowed?: string; fix?: string };
}

/** Reads a limits document. Every problem at once, each with where it stands, what is allowed and how to mend it. */
export function parseLimits(value: unknown): ParsedLimits {
  const parsed = limitsSchema.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => shapeProblems(issue, value));
    const usable = limitsSchema.safeParse(
      without(
        value,
        problems.map(({ steps }) => steps),
      ),
    );
    if (usable.success) problems.push(...meaningProblems(usable.data));
    return { ok: false, problems };
  }
  const problems = meaningProblems(parsed.data);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, document: parsed.data };
}

function problem(steps: string[], value: unknown, what: string, allowed: string, fix: string): LimitsProblem {
  return { path: steps.join("."), steps, value, problem: what, allowed, fix };
}

function shapeProblems(issue: LimitsIssue, root: unknown): LimitsProblem[] {
  const steps = issue.path.map(String);
  const found = valueAt(root, steps);
  if (issue.code === "unrecognized_keys")
    return (issue.keys ?? []).map((key) => {
      const known = keysAt(steps);
      const near = nearest(key, known);
      return problem(
        [...steps, key],
        valueAt(root, [...steps, key]),
        "is an unknown key",
        known.join(", "),
        near ? `did you mean ${near}?` : "leave it out",
      );
    });
  const { allowed, fix } = issue.params ?? {};
  const expected = expectations[issue.expected ?? ""] ?? issue.expected ?? issue.message;
  return [
    problem(
      steps,
      found,
      allowed !== undefined ? issue.message : "has another shape",
      allowed ?? expected,
      fix ?? `write ${expected} there, or leave it out`,
    ),
  ];
}

/** What a well-shaped document gets wrong. */
function meaningProblems(document: LimitsDocument): LimitsProblem[] {
  const found: LimitsProblem[] = [];
  const say = (...told: Parameters<typeof problem>) => found.push(problem(...told));
  if (document.defaults?.max_mig_instances === null)
    say(
      ["defaults", "max_mig_instances"],
      null,
      "takes the limit from everybody",
      "null in a group or for one user alone, a number in the defaults",
      'write a number, and null for a group such as "admin"',
    );
  const slices = new Map<string, string>();
  for (const [name, group] of Object.entries(document.groups ?? {})) {
    const steps = ["groups", name];
    if (!USER_NAME.test(name) || name === DEFAULT_GROUP)
      say(
        steps,
        name,
        name === DEFAULT_GROUP ? "is the name of those who are in no group" : "is no group's name",
        "a lower-case letter, then lower-case letters, digits, '_' or '-', at most 32",
        name === DEFAULT_GROUP ? 'what holds for them stands under "defaults"' : "choose such a name",
      );
    const twin = slices.get(sliceWord(name));
    if (twin !== undefined)
      say(
        steps,
        name,
        `and "${twin}" would be one systemd slice: '-' and '_' count alike there`,
        "names that differ in more than '-' and '_'",
        "rename one of the two",
      );
    slices.set(sliceWord(name), name);
    for (const [i, member] of (group.members ?? []).entries()) {
      const path = [...steps, "members", String(i)];
      if (!USER_NAME.test(member))
        say(path, member, "is no user's name", "a Linux user name", "mend the name");
      else if (group.members?.indexOf(member) !== i)
        say(path, member, "stands there twice", "every member once", "leave one of them out");
    }
  }
  for (const name of Object.keys(document.user_overrides ?? {}))
    if (!USER_NAME.test(name))
      say(["user_overrides", name], name, "is no user's name", "a Linux user name", "mend the name");
  if (document.gpu_allocation?.enable_mig === false && document.gpu_allocation.mig_profile !== undefined)
    say(
      ["gpu_allocation", "mig_profile"],
      document.gpu_allocation.mig_profile,
      "stands beside enable_mig: false",
      "a profile with enable_mig: true, or none",
      "leave it out, or set enable_mig to true",
    );
  return found;
}
