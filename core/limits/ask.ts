import { type AskProblem, askProblems } from "../gpu/asks";
import type { Ask, EffectiveLimits } from "../gpu/model";
import { brokenRules, brokenShareRules, noUsage, type ShareRules } from "../gpu/rules";

/**
 * Everything that is wrong with an ask before anybody knows what is free: its shape, the user's limits and the node's
 * rules for shares. Empty when it could be granted. Pure.
 */
export function checkAsk(limits: EffectiveLimits, ask: Ask, rules: ShareRules): AskProblem[] {
  return [...askProblems(ask), ...brokenRules(limits, ask, noUsage), ...brokenShareRules(ask, rules)];
}
