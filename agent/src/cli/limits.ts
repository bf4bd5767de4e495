/** `berth limits`: what one may have, which rule says so, and whether a request would be granted. */
import { type AskOptions, askInWords, readAsk } from "./ask";
import { piece } from "./client";
import type { Context } from "./context";
import { describe, exit, usage } from "./failure";
import { clean, memory, table } from "./text";
import type { CheckView, LimitsView, WhoamiView } from "./views";

interface Options {
  json?: boolean;
}

export async function show(context: Context, user: string | undefined, { json }: Options): Promise<void> {
  const view = await limitsOf(context, user);
  context.show(json, view, () => {
    const rows = view.explain.map(({ field, text, rule }) => [field, text, rule]);
    return `${whose(view)}\n${table(["LIMIT", "VALUE", "RULE"], rows)}`;
  });
}

export async function explain(context: Context, user: string | undefined, { json }: Options): Promise<void> {
  const view = await limitsOf(context, user);
  context.show(json, view, () => {
    const lines = view.explain.flatMap(({ field, text, rule, overrides }) => [
      `${clean(field)}: ${clean(text)}, by ${clean(rule)}`,
      ...overrides.map((lost) => `  not ${clean(lost.text)} of ${clean(lost.rule)}: ${clean(lost.why)}`),
    ]);
    return [whose(view), ...lines].join("\n");
  });
}

export async function check(
  context: Context,
  options: Options & AskOptions & { user?: string },
): Promise<void> {
  const ask = readAsk(options);
  const body = { ...(options.user !== undefined && { user: options.user }), ask };
  const view = await context.client().post<CheckView>("/api/limits/check", body);
  // Closed: no rule of the user's says no, berthd grants nothing at the moment.
  if (!view.granted) context.exitCode = view.refusal?.code === "closed" ? exit.unavailable : exit.refused;
  context.show(options.json, view, () => {
    const what = askInWords(ask, memory);
    if (view.granted)
      return `Would be granted: ${what}${view.units ? `, now ${view.units.map(({ name }) => clean(name)).join(", ")}` : ""}`;
    return `Would not be granted: ${what}${view.refusal ? `\n${describe(view.refusal)}` : ""}`;
  });
}

/** @param user nobody named: whoever asks */
async function limitsOf(context: Context, user: string | undefined): Promise<LimitsView> {
  const client = context.client();
  const name = user ?? (await client.get<WhoamiView>("/api/whoami")).user;
  if (name === undefined)
    throw usage("an operator has no limits of their own: name a user", { fix: "berth limits show USER" });
  return client.get<LimitsView>(`/api/limits/${piece(name)}`);
}

function whose({ user, group }: LimitsView): string {
  return `${clean(user)}, group ${clean(group)}`;
}
