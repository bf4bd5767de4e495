/** Resources and facts as the rules of the policy pack take them. */
import type { Facts, Rule, Seen, Value } from "../../policy/rules";

export type Inputs = Record<string, Value>;

/** A production stack that opens nothing. */
export const facts: Facts = { stack: "prod", production: true, open: [], published: [] };

export const resource = (type: string, props: Inputs, protect = false): Seen => ({
  type,
  urn: `urn:pulumi:prod::berth::${type}::thing`,
  props,
  protect,
});

export const check = (rule: Rule, type: string, props: Inputs, known = facts, protect = false) =>
  rule.check(resource(type, props, protect), known);
