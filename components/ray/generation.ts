/**
 * Which generation of Ray's token holds, where `berth:ray.access` names who has it. Pure.
 *
 * A person who had the token may have kept it, so the token is another one as soon as somebody who knows it lives in the
 * stack without access. Whoever has left the stack has no workspace and no way to Ray's ports; should they come back
 * without access, the token changes then.
 */

export interface TokenInputs {
  /** Users with access. */
  access: string[];
  /** Users who have a workspace and no access. */
  without: string[];
  /** Everybody who has had the token of this generation. Decided by the check, so it is in the state. */
  knows?: string[];
  /** Decided by the check: 16 hexadecimal digits. Not secret. */
  generation?: string;
}

/**
 * @param before what the state says; empty where there was no list before, when every user had a token.
 * @param fresh a generation that was never used.
 */
export function nextToken(
  before: Partial<TokenInputs>,
  wanted: Pick<TokenInputs, "access" | "without">,
  fresh: () => string,
): Required<TokenInputs> {
  const { generation, knows = [] } = before;
  const access = [...wanted.access].sort();
  const without = [...wanted.without].sort();
  const kept = generation !== undefined && !without.some((name) => knows.includes(name));
  return kept
    ? { access, without, knows: [...new Set([...knows, ...access])].sort(), generation }
    : { access, without, knows: access, generation: fresh() };
}
