/** `berth health`, `berth whoami`, and the words that completion asks for. */
import type { WordList } from "./completion";
import type { Context } from "./context";
import { exit, Failure } from "./failure";
import { clean } from "./text";
import type {
  ContainersView,
  GrantsView,
  HealthView,
  LimitsListView,
  QueueView,
  TokensView,
  WhoamiView,
} from "./views";

interface Options {
  json?: boolean;
}

export async function health(context: Context, { json }: Options): Promise<void> {
  const view = await context.client().get<HealthView>("/health");
  context.show(json, view, () =>
    [`berthd: ${clean(view.status)}`, ...(view.reasons ?? []).map((reason) => `  ${clean(reason)}`)].join(
      "\n",
    ),
  );
  if (view.status !== "ok") context.exitCode = exit.unavailable;
}

export async function whoami(context: Context, { json }: Options): Promise<void> {
  const view = await context.client().get<WhoamiView>("/api/whoami");
  context.show(json, view, () => clean(`${view.user ?? view.actor} (${view.role})`));
}

/** Prints the words of a list, one a line; nothing where they cannot be had: completion is no place for errors. */
export async function words(context: Context, list: WordList): Promise<void> {
  try {
    const found = await wordsOf(context, list);
    context.io.out(
      found
        .filter((word) => /^[\w.:@-]+$/.test(word))
        .map((word) => `${word}\n`)
        .join(""),
    );
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

async function wordsOf(context: Context, list: WordList): Promise<string[]> {
  const client = context.client();
  switch (list) {
    case "grants": {
      const [{ grants }, { queue }] = await Promise.all([
        client.get<GrantsView>("/api/grants"),
        client.get<QueueView>("/api/queue"),
      ]);
      return [...grants, ...queue.filter(({ mine }) => mine !== false)].map(({ id }) => id);
    }
    case "tokens":
      return (await client.get<TokensView>("/api/tokens")).tokens.map(({ id }) => id);
    case "containers":
      return (await client.get<ContainersView>("/api/containers")).containers
        .filter(({ kind }) => kind === "created")
        .map(({ name }) => name);
    case "users":
      return (await client.get<LimitsListView>("/api/limits")).users.map(({ user }) => user);
  }
}
