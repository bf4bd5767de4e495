import type { Assignment, Grant } from "../../core/gpu";
import type { PoolInputs } from "./inputs";

/**
 * What the state knows to be granted, as the node would show it. Planned with that, a preview of a node that does not
 * answer keeps, hands on and refuses what it would if the node answered. Pure.
 *
 * @param declared by key: whose it is. Of a key that is not in it, which leaves, only the units count.
 */
export function knownGrants(assignment: Assignment, declared: PoolInputs["declared"]): Grant[] {
  return Object.entries(assignment)
    .filter(([, units]) => units.length > 0)
    .map(([key, units], at) => {
      const { user, ask } = declared[key] ?? { user: "", ask: { kind: "gpu", count: units.length } };
      // As if its container were there: what a key leaves is then given to others last, and that it is stopped is said.
      const bound = { state: "bound", container: key } as const;
      return {
        id: key,
        token: at + 1,
        user,
        group: "",
        ask,
        units,
        purpose: key,
        key,
        createdAt: 0,
        ...bound,
      };
    });
}
