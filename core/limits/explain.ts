import {
  DEFAULT_GROUP,
  groupsOf,
  isDuration,
  own,
  priorityOf,
  readLimit,
  type Speaker,
  speakersFor,
  spokenPriority,
} from "./resolve";
import { type LimitField, type LimitsDocument, limitFields, totalFields } from "./schema";
import { formatDuration, formatSize } from "./units";

export type ExplainedValue = number | boolean | null;

/** One limit of a user: what holds, by which rule, and what the other rules said. */
export interface ExplainedLimit {
  /** `memory`, `user_total.memory`. */
  field: string;
  /** Sizes in bytes, durations in seconds; `null`: no limit, or never. */
  value: ExplainedValue;
  /** The value for people: `32GiB`, `15m`, `no limit`. */
  text: string;
  /** `defaults`, `groups.student`, `user_overrides.alice`, `built-in`. */
  rule: string;
  /** Rules that spoke as well and did not win, the strongest first, with the reason. */
  overrides: { rule: string; value: ExplainedValue; text: string; why: string }[];
}

function show(field: string, value: ExplainedValue): string {
  const name = field.split(".").at(-1) ?? field;
  if (value === null)
    return name === "gpu_hold_after_stop" ? "for ever" : isDuration(name) ? "never" : "no limit";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (name === "memory" || name === "shm_size") return formatSize(value);
  return isDuration(name) ? formatDuration(value) : String(value);
}

/**
 * Every limit of a user with the rule that decided and those that it beat; also what the user's other groups say,
 * which never counts.
 *
 * @param groupOf the group that the stack gives the user, if any.
 */
export function explainLimits(document: LimitsDocument, user: string, groupOf?: string): ExplainedLimit[] {
  const [group, ...others] = groupsOf(document, user, groupOf);
  const speakers = speakersFor(document, user, group);
  const silent: Speaker[] = others.flatMap((name) => {
    const rule = own(document.groups, name);
    return rule ? [{ name: `groups.${name}`, rule }] : [];
  });
  // The order of groupsOf, in words.
  const beats = (rule: string) => {
    const priority = priorityOf(document, group ?? DEFAULT_GROUP);
    if (priority > priorityOf(document, rule.slice("groups.".length)))
      return "of several groups the highest priority does";
    const equal = `of several groups of priority ${priority}`;
    return group === groupOf
      ? `${equal} the one that the stack gives does`
      : `${equal} the first by name does`;
  };

  const one = (
    field: string,
    read: (speaker: Speaker) => ExplainedValue | undefined,
    fallback?: ExplainedValue,
  ): ExplainedLimit => {
    const said = (list: readonly Speaker[]) =>
      list.flatMap((speaker) => {
        const value = read(speaker);
        return value === undefined ? [] : [{ rule: speaker.name, value, text: show(field, value) }];
      });
    const [winner, ...beaten] = said(speakers);
    const won = winner ?? { rule: "built-in", value: fallback ?? null, text: show(field, fallback ?? null) };
    return {
      field,
      ...won,
      overrides: [
        ...beaten.map((lost) => ({ ...lost, why: `${won.rule} is nearer to the user` })),
        ...said(silent).map((lost) => ({
          ...lost,
          why: `groups.${group ?? DEFAULT_GROUP} decides for ${user}: ${beats(lost.rule)}`,
        })),
      ],
    };
  };

  return [
    ...limitFields.map((field: LimitField) =>
      field === "priority" ? one(field, spokenPriority) : one(field, ({ rule }) => readLimit(rule, field)),
    ),
    ...totalFields.map((field) =>
      one(`user_total.${field}`, ({ rule }) => rule.user_total && readLimit(rule.user_total, field)),
    ),
  ];
}
