/** `berth gpu`: what there is, who has it, what waits, what was. (`request` has a file of its own.) */
import { askInWords, readCount } from "./ask";
import { piece, query } from "./client";
import type { Context } from "./context";
import { Failure, usage } from "./failure";
import { away, clean, duration, gpuMemory, memory, moment, table } from "./text";
import type { GpusView, GpuView, GrantsView, GrantView, HolderView, QueueView } from "./views";

interface Options {
  json?: boolean;
}

/** berthd gives no more in one page. */
const LONGEST_PAGE = 1000;
const DEFAULT_PAGE = "50";

export async function status(context: Context, { json }: Options): Promise<void> {
  const view = await context.client().get<GpusView>("/api/gpus");
  context.show(json, view, () => {
    const rows = [...view.gpus].sort((a, b) => a.index - b.index).flatMap(unitsOf);
    const lines = rows.length === 0 ? ["This node has no GPUs."] : [unitTable(rows)];
    if (view.closed !== undefined) lines.push(`Nothing new is granted: ${clean(view.closed)}`);
    return lines.join("\n\n");
  });
}

/** A GPU, an instance, or one holder's part of it. */
interface UnitRow {
  gpu: GpuView;
  unit: string;
  profile?: string;
  memoryMiB: number;
  holder?: HolderView;
  /** What the driver measured; on the first row of a GPU alone. */
  measured?: string;
}

function unitsOf(gpu: GpuView): UnitRow[] {
  const measured = measuredOf(gpu);
  const whole = { gpu, unit: `${gpu.index}`, memoryMiB: gpu.memoryMiB };
  const onUnit = (uuid: string) => gpu.holders.filter(({ unit }) => unit === uuid);
  const rows: UnitRow[] = gpu.instances.flatMap(({ uuid, profile, memoryMiB }, index) => {
    const row = { gpu, unit: `${gpu.index}:${index}`, profile, memoryMiB };
    const holders = onUnit(uuid);
    return holders.length > 0 ? holders.map((holder) => ({ ...row, holder })) : [row];
  });
  const known = new Set(gpu.instances.map(({ uuid }) => uuid));
  // Held, and not there any more: a GPU that was cut anew or lost an instance while somebody had it.
  for (const holder of gpu.holders.filter(({ unit }) => unit !== gpu.uuid && !known.has(unit)))
    rows.push({ gpu, unit: `${gpu.index}:?`, memoryMiB: holder.memoryMiB, holder });
  const shares = onUnit(gpu.uuid);
  for (const holder of shares) rows.push({ ...whole, memoryMiB: holder.memoryMiB, holder });
  const rest = gpu.memoryMiB - shares.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0);
  if (!gpu.mig && (shares.length === 0 || rest > 0)) rows.push({ ...whole, memoryMiB: rest });
  // In MIG mode, and not cut into anything yet.
  if (rows.length === 0) rows.push({ ...whole, unit: "-", memoryMiB: 0 });
  return rows.map((row, index) => (index === 0 ? { ...row, measured } : row));
}

function measuredOf({ utilisation, memoryUsedMiB }: GpuView): string {
  const load = typeof utilisation === "number" ? `${utilisation} %` : "";
  const used = typeof memoryUsedMiB === "number" ? memory(memoryUsedMiB) : "";
  return [load, used].filter(Boolean).join(", ");
}

function unitTable(rows: UnitRow[]): string {
  const withLoad = rows.some(({ measured }) => measured);
  const head = [
    "GPU",
    "UNIT",
    "MODEL",
    "PROFILE",
    "MEMORY",
    "HOLDER",
    "STATE",
    ...(withLoad ? ["USED"] : []),
  ];
  return table(
    head,
    rows.map(({ gpu, unit, profile, memoryMiB, holder, measured }) => [
      `${gpu.index}`,
      unit,
      gpu.model,
      profile ?? "-",
      unit === "-" ? "-" : gpuMemory(memoryMiB),
      holder ? holderOf(holder) : "",
      gpu.quarantined === undefined ? (holder?.state ?? stateOf(unit)) : `quarantined: ${gpu.quarantined}`,
      measured ?? "",
    ]),
  );
}

function stateOf(unit: string): string {
  return unit === "-" ? "no instances" : "free";
}

function holderOf({ user, key, grant }: HolderView): string {
  // berthd names others to operators alone.
  const name = key ?? user ?? grant;
  if (name === undefined) return "in use";
  return grant === undefined || grant === name ? name : `${name} (${grant})`;
}

export async function quarantine(
  context: Context,
  uuid: string,
  { json, reason }: Options & { reason: string },
): Promise<void> {
  const path = `/api/gpus/${piece(uuid)}/quarantine`;
  const answer = await context.client().post<unknown>(path, { reason });
  context.show(
    json,
    answer,
    () => `${clean(uuid)} is out of use. Put it back: berth gpu restore ${clean(uuid)}`,
  );
}

export async function restore(context: Context, uuid: string, { json }: Options): Promise<void> {
  const answer = await context.client().delete<unknown>(`/api/gpus/${piece(uuid)}/quarantine`);
  context.show(json, answer, () => `${clean(uuid)} is in use again.`);
}

export async function release(
  context: Context,
  id: string,
  { json, force }: Options & { force?: boolean },
): Promise<void> {
  const client = context.client();
  try {
    const path = query(`/api/grants/${piece(id)}`, { force: force ? "true" : undefined });
    const grant = await client.delete<GrantView | undefined>(path);
    return context.show(json, grant ?? { id }, () => `Released: ${clean(id)}${unitsInWords(grant)}`);
  } catch (error) {
    if (!(error instanceof Failure) || error.refusal.code !== "not-found") throw error;
    // No grant: it may still wait. If it does not, what was said first is what helps.
    const withdrawn = await client.delete<unknown>(`/api/queue/${piece(id)}`).catch((second: unknown) => {
      throw second instanceof Failure && second.refusal.code === "not-found" ? error : second;
    });
    context.show(json, withdrawn ?? { id }, () => `Withdrawn from the queue: ${clean(id)}`);
  }
}

function unitsInWords(grant: GrantView | undefined): string {
  return grant?.units?.length ? ` (${grant.units.map(({ name }) => clean(name)).join(", ")})` : "";
}

export async function queue(context: Context, { json }: Options): Promise<void> {
  const view = await context.client().get<QueueView>("/api/queue");
  const now = context.io.now();
  context.show(json, view, () =>
    view.queue.length === 0
      ? "Nobody waits."
      : table(
          ["NO", "REQUEST", "USER", "GROUP", "ASKS FOR", "SINCE", "UNTIL", "WHY IT WAITS"],
          view.queue.map((entry) => [
            `${entry.position}`,
            entry.id,
            entry.user ?? "somebody",
            entry.group,
            askInWords(entry.ask, memory),
            away(entry.since, now),
            away(entry.deadline, now),
            entry.reason.message,
          ]),
        ),
  );
}

export interface HistoryOptions extends Options {
  user?: string;
  limit?: string;
  before?: string;
}

export async function history(context: Context, options: HistoryOptions): Promise<void> {
  const limit = readCount("--limit", options.limit ?? DEFAULT_PAGE);
  if (limit > LONGEST_PAGE) throw usage(`--limit ${limit}: at most ${LONGEST_PAGE}`);
  const before = options.before === undefined ? undefined : readCount("--before", options.before);
  const path = query("/api/history", { user: options.user, limit, before });
  const view = await context.client().get<GrantsView>(path);
  context.show(options.json, view, () =>
    view.grants.length === 0
      ? "No grants yet."
      : table(
          ["NO", "GRANT", "USER", "UNITS", "STATE", "GRANTED", "FOR", "PURPOSE", "REASON"],
          view.grants.map((grant) => [
            `${grant.token}`,
            grant.key ?? grant.id,
            grant.user,
            grant.units.map(({ name }) => name).join(","),
            grant.state,
            moment(grant.createdAt),
            duration(((grant.releasedAt ?? context.io.now()) - grant.createdAt) / 1000),
            grant.purpose,
            grant.reason ?? "",
          ]),
        ),
  );
}
