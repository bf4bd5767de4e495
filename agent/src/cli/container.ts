/** `berth container`: containers that berthd makes for people. */
import { type AskOptions, readAsk } from "./ask";
import { piece, query } from "./client";
import type { Context } from "./context";
import { usage } from "./failure";
import { away, clean, table } from "./text";
import type { ContainerMade, ContainersView, ContainerView } from "./views";

interface Options {
  json?: boolean;
}

export interface CreateOptions extends Options, AskOptions {
  grant?: string;
  image?: string;
  name?: string;
  user?: string;
}

/** dockerd makes layers, stops what runs and takes it away: milliseconds that all of it may take. */
const LONGEST_MS = 300_000;

const ASK_OPTIONS = ["kind", "count", "profile", "model", "memory", "strategy", "pin"] as const;

export async function create(context: Context, command: string[], options: CreateOptions): Promise<void> {
  const { grant, image, name, user, json } = options;
  const asks = ASK_OPTIONS.filter((one) => options[one] !== undefined);
  if (grant !== undefined && asks.length > 0)
    throw usage(`--grant names what the container has, and --${asks.join(", --")} would ask for more`, {
      fix: "leave either out",
    });
  const gpus = grant !== undefined ? { grant } : asks.length > 0 ? readAsk(options) : undefined;
  const [program, ...words] = command;
  const body = {
    ...(user !== undefined && { user }),
    ...(name !== undefined && { name }),
    ...(image !== undefined && { image }),
    ...(gpus !== undefined && { gpus }),
    // In place of what the image would start.
    entrypoint: [program],
    ...(words.length > 0 && { command: words }),
  };
  const made = await context.client().post<ContainerMade>("/api/containers", body, { timeoutMs: LONGEST_MS });
  context.show(json, made, () => {
    const units = made.grant?.units.map((unit) => clean(unit.name)).join(", ");
    return [
      `Runs: ${clean(made.name)}${units ? ` (GPU ${units})` : ""}`,
      `Remove it: berth container remove ${clean(made.name)}`,
    ].join("\n");
  });
}

export async function list(context: Context, { json, user }: Options & { user?: string }): Promise<void> {
  const view = await context.client().get<ContainersView>(query("/api/containers", { user }));
  const now = context.io.now();
  context.show(json, view, () =>
    view.containers.length === 0
      ? "No containers."
      : table(
          ["CONTAINER", "USER", "KIND", "STATE", "GRANT", "SINCE"],
          view.containers.map((one) => [
            one.name,
            one.user,
            one.kind,
            stateOf(one),
            one.grant ?? "-",
            away(one.finishedAt ?? one.startedAt ?? one.createdAt, now),
          ]),
        ),
  );
}

const stateOf = ({ state, exitCode, health }: ContainerView): string => {
  if (exitCode !== undefined) return `${state} (${exitCode})`;
  return health === undefined ? state : `${state}, ${health}`;
};

export async function remove(context: Context, container: string, { json }: Options): Promise<void> {
  const path = `/api/containers/${piece(container)}`;
  const answer = await context.client().delete<unknown>(path, { timeoutMs: LONGEST_MS });
  context.show(json, answer, () => `Removed: ${clean(container)}. What it had of GPUs is free.`);
}
