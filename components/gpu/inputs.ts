import type { Ask, Assignment, DeclaredGrant, Inventory, Strategy } from "../../core/gpu";
import type { LimitsDocument } from "../../core/limits";

/** By key, a line for each unit: what a preview shows of an assignment. No program reads it. */
export type Grants = Record<string, string[]>;

/**
 * What a GpuPool is given, as plain data, and how the provider reads it back from the engine. There, anything may be
 * unknown yet, and `null` is dropped on the way: what may hold one travels as JSON text.
 */
export interface PoolInputs {
  /** The node's name. */
  node: string;
  /** `USER@HOST:PORT`. */
  target: string;
  /** Words for ssh: the key, the known hosts, one connection for all. */
  sshOptions: string[];
  /** Id of the machine; empty for a server that is nobody's resource. Another machine has nothing of the old one's. */
  machine: string;
  /** By key: who asks for what. */
  declared: Record<string, { user: string; ask: Ask }>;
  /** What the stack declares that the node has; in the state also what the node itself said. */
  inventory?: Inventory;
  /** How the stack wants the GPUs divided that the node's driver shows, as JSON text. */
  layouts?: string;
  /** The stack's limits document, as JSON text. */
  limits: string;
  /** Groups that the stack gives its users. */
  groups: Record<string, string>;
  strategy: Strategy;
  allowShared: boolean;
  /** Who gets what, by key: decided by `check`, so a preview shows it. */
  assignment?: Assignment;
  /** The same in lines, for people. */
  grants?: Grants;
}

/** As the engine hands them over: any value may be unknown. */
export type Props = Record<string, unknown>;

/** What stands for a value that is not known yet (Pulumi's wire format). */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** True when a value, or anything in it, is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(hasUnknown);
}

/** One property; undefined while it, or a part of it, is not known. */
export function given<K extends keyof PoolInputs>(props: Props, key: K): PoolInputs[K] | undefined {
  const value = props[key];
  return value === null || hasUnknown(value) ? undefined : (value as PoolInputs[K]);
}

export function declaredGrants(declared: PoolInputs["declared"]): DeclaredGrant[] {
  return Object.entries(declared)
    .map(([key, { user, ask }]) => ({ key, user, ask }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

export function limitsOf(limits: string): LimitsDocument {
  return JSON.parse(limits) as LimitsDocument;
}

/**
 * The inputs that a change of asks for an update: who gets what, and how the node is reached, which is what a later
 * `read` or `delete` has from the state. Limits and strategy act through `assignment` alone.
 */
const COMPARED = ["node", "target", "sshOptions", "machine", "declared", "assignment"] as const;

/** The compared keys in which two states differ. */
export function differences(olds: Props, news: Props): string[] {
  return COMPARED.filter((key) => canonical(olds[key]) !== canonical(news[key]));
}

/** JSON with sorted keys; what is not there, is null or is empty are the same, as they are on the way to the engine. */
function canonical(value: unknown): string {
  const sorted = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(sorted);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(
      Object.entries(part)
        .filter(([, inner]) => inner !== undefined && inner !== null)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, inner]) => [key, sorted(inner)]),
    );
  };
  return JSON.stringify(sorted(value ?? null));
}
