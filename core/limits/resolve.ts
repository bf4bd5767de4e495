import type { EffectiveLimits, Limit } from "../gpu/model";
import {
  type LimitField,
  type LimitsDocument,
  type LimitsRule,
  type LimitsTotal,
  limitFields,
  type TotalField,
  totalFields,
} from "./schema";
import { parseDuration, parseSize } from "./units";

/**
 * From a limits document to what holds for one user: the user's override, then the group that decides, then the
 * defaults, field by field. Only one group speaks: of several, the one with the highest priority.
 */

/** The group of those who are in none. */
export const DEFAULT_GROUP = "default";

/** Where a rule that has no `priority` stands: overrides above groups above the defaults. */
export const builtInPriority = { user_overrides: 100, groups: 10, defaults: 0 } as const;

/**
 * What holds where no rule speaks: one MIG instance, no full GPU, a GPU kept a quarter of an hour after a stop. A
 * workspace's CPUs and memory are those of the stack then, and nothing is stopped or removed by itself.
 */
export const builtInLimits = {
  max_mig_instances: 1,
  max_gpus_per_container: 1,
  allow_full_gpu: false,
  max_cpus: null,
  memory: null,
  shm_size: null,
  max_containers_per_user: 3,
  idle_timeout: null,
  gpu_hold_after_stop: "0.25h",
  container_hold_after_stop: null,
  max_runtime: null,
} as const satisfies LimitsRule;

/** What a stack without `berth:limits` has: the three usual groups. */
export const defaultLimitsDocument: LimitsDocument = {
  defaults: { ...builtInLimits },
  groups: {
    student: { priority: 10, allow_full_gpu: false },
    researcher: { priority: 50, allow_full_gpu: true, max_mig_instances: 4, max_gpus_per_container: 2 },
    admin: {
      priority: 90,
      allow_full_gpu: true,
      max_mig_instances: null,
      max_gpus_per_container: null,
      max_containers_per_user: null,
      gpu_hold_after_stop: null,
    },
  },
};

/** Names come from people: `constructor` is a user like any other. */
export function own<T>(record: Record<string, T> | undefined, key: string): T | undefined {
  return record && Object.hasOwn(record, key) ? record[key] : undefined;
}

export function priorityOf(document: LimitsDocument, group: string): number {
  return own(document.groups, group)?.priority ?? builtInPriority.groups;
}

/**
 * The groups of a user, the one that decides first: by priority, then the one that the stack gives, then by name.
 *
 * @param groupOf the group that the stack gives (`users[].group`), beside those that list the user under `members`.
 */
export function groupsOf(document: LimitsDocument, user: string, groupOf?: string): string[] {
  const listed = Object.entries(document.groups ?? {})
    .filter(([, group]) => group.members?.includes(user))
    .map(([name]) => name);
  const all = [
    ...new Set([...(groupOf !== undefined && groupOf !== DEFAULT_GROUP ? [groupOf] : []), ...listed]),
  ];
  const rank = (name: string) => (name === groupOf ? 0 : 1);
  return all.sort(
    (a, b) =>
      priorityOf(document, b) - priorityOf(document, a) || rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0),
  );
}

/** A rule that may speak for a user. */
export interface Speaker {
  /** `defaults`, `groups.student`, `user_overrides.alice`, `built-in`. */
  name: string;
  rule: LimitsRule;
}

/** The rules that decide for a user, the strongest first; the last one says something about every limit. */
export function speakersFor(document: LimitsDocument, user: string, group: string | undefined): Speaker[] {
  const found: Speaker[] = [];
  const override = own(document.user_overrides, user);
  if (override) found.push({ name: `user_overrides.${user}`, rule: override });
  const ofGroup = group === undefined ? undefined : own(document.groups, group);
  if (ofGroup) found.push({ name: `groups.${group}`, rule: ofGroup });
  if (document.defaults) found.push({ name: "defaults", rule: document.defaults });
  found.push({ name: "built-in", rule: builtInLimits });
  return found;
}

/**
 * The priority that a rule has in the queue; every rule has one, written or not, so the strongest rule decides alone: an
 * override that writes none stands at 100, as in resource-limits.yaml.
 */
export function spokenPriority({ name, rule }: Speaker): number {
  const tier = name.startsWith("user_overrides.")
    ? builtInPriority.user_overrides
    : name.startsWith("groups.")
      ? builtInPriority.groups
      : builtInPriority.defaults;
  return rule.priority ?? tier;
}

function pick<T>(speakers: readonly Speaker[], read: (rule: LimitsRule) => T | undefined): Limit<T> {
  for (const { name, rule } of speakers) {
    const value = read(rule);
    if (value !== undefined) return { value, rule: name };
  }
  throw new Error("unreachable: the built-in rule says something about every limit");
}

const DURATIONS: readonly string[] = [
  "idle_timeout",
  "gpu_hold_after_stop",
  "container_hold_after_stop",
  "max_runtime",
];
export const isDuration = (field: string): boolean => DURATIONS.includes(field);

/** What a rule says of a limit, sizes in bytes and durations in seconds. */
export function readLimit(
  rule: LimitsRule | LimitsTotal,
  field: LimitField | TotalField,
): number | boolean | null | undefined {
  const written = (rule as Record<string, string | number | boolean | null | undefined>)[field];
  if (typeof written !== "string") return written;
  const value = isDuration(field) ? parseDuration(written) : parseSize(written);
  if (value === undefined)
    throw new Error(`${JSON.stringify(written)} in a limits document that parseLimits never saw`);
  return value;
}

/**
 * What holds for a user, each limit with the rule that set it. Sizes in bytes, durations in seconds.
 *
 * @param document one that parseLimits accepted.
 * @param groupOf the group that the stack gives the user, if any.
 */
export function resolveLimits(document: LimitsDocument, user: string, groupOf?: string): EffectiveLimits {
  const group = groupsOf(document, user, groupOf)[0];
  const speakers = speakersFor(document, user, group);
  const strongest = speakers[0] as Speaker;
  const limits = limitFields
    .filter((field) => field !== "priority")
    .map((field) => [field, pick(speakers, (rule) => readLimit(rule, field))]);
  return {
    user,
    group: group ?? DEFAULT_GROUP,
    ...Object.fromEntries(limits),
    priority: { value: spokenPriority(strongest), rule: strongest.name },
  } as EffectiveLimits;
}

/** What all containers of a user, or of a group, may have together. `null`: no limit. Memory in bytes. */
export type EffectiveTotal = Record<TotalField, Limit<number | null>>;

/** @param rules those that speak, the strongest first */
const totalOf = (rules: readonly { rule: string; total: LimitsTotal | undefined }[]): EffectiveTotal =>
  Object.fromEntries(
    totalFields.map((field) => {
      const said = rules.map(({ rule, total = {} }) => ({ value: readLimit(total, field), rule }));
      return [field, said.find(({ value }) => value !== undefined) ?? { value: null, rule: "built-in" }];
    }),
  ) as EffectiveTotal;

/** The user's own slice: `user_total` of the override, of the deciding group, of the defaults, field by field. */
export const resolveUserTotal = (document: LimitsDocument, user: string, groupOf?: string): EffectiveTotal =>
  totalOf(
    speakersFor(document, user, groupsOf(document, user, groupOf)[0]).map(({ name, rule }) => ({
      rule: `${name}.user_total`,
      total: rule.user_total,
    })),
  );

/** The slice of a whole group. */
export const resolveGroupTotal = (document: LimitsDocument, group: string): EffectiveTotal =>
  totalOf([{ rule: `groups.${group}.total`, total: own(document.groups, group)?.total }]);
