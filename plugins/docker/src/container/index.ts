/** `docker:index/container:Container`. */
import {
  type Context,
  type DiffRequest,
  type DiffResult,
  type PropertyChange,
  type Props,
  ProviderError,
  type ResourceType,
} from "@berth/plugin-base";
import {
  bool,
  diffFields,
  diffResource,
  type Field,
  int,
  plainProps,
  text,
  zero,
} from "@berth/plugin-base/bridged";
import type { CallOptions, Engine } from "../engine/engine";
import { labelMap } from "../labels";
import { defineResource } from "../resource";
import { readWhole } from "./adopt";
import { bringUp, inspect, inspectNow, removal, remove, short } from "./calls";
import { createContainer } from "./create";
import { runs } from "./inspect";
import { containerFields } from "./schema";
import { limits } from "./spec";
import { containerState } from "./state";

export function containerType(engine: () => Engine): ResourceType {
  return {
    ...defineResource(engine, {
      fields: containerFields,
      diff: containerDiff,
      create: createContainer,
      async read(at, id, known, options) {
        const found = await inspect(at, id, options);
        if (found === undefined) return undefined;
        const imported = Object.keys(known).length === 0;
        const outs = imported ? await readWhole(at, found, options) : containerState(found, known);
        return { id: found.Id, outs };
      },
      update: updateContainer,
      delete: (at, id, olds, options) => remove(at, id, removal(olds), options),
    }),
    deleteBeforeReplace: true,
  };
}

/** Settings that the engine changes in a container that exists (`POST /containers/ID/update`). */
const LIMITS: readonly string[] = ["memory", "memoryReservation", "memorySwap"];
const RESTARTS: readonly string[] = ["restart", "maxRetryCount"];

/** By the official rules; see schema.ts for the four that differ. Pure. */
export function containerDiff(req: DiffRequest): DiffResult {
  const { values: news } = req.news;
  const old = plainProps(req.olds.values);
  return diffResource(containerFields, req, "always", (change) => adjust(change, old, news));
}

function adjust(change: PropertyChange, old: Props, news: Props): PropertyChange | undefined {
  const key = String(change.path[0]);
  // Without memorySwap the engine sets twice the memory; the official plugin shows that as a change for ever.
  if (
    key === "memorySwap" &&
    change.kind === "delete" &&
    int(old, "memorySwap") === 2 * (int(old, "memory") ?? 0)
  ) {
    return undefined;
  }
  // The engine takes 0 and "" for "leave it as it is", so taking a limit away needs a new container.
  const next = news[key] ?? null;
  const taken = LIMITS.includes(key) && (next === null || next === zero(containerFields[key] as Field));
  return taken ? { ...change, replace: true } : change;
}

async function updateContainer(
  engine: Engine,
  id: string,
  olds: Props,
  news: Props,
  ctx: Context,
): Promise<Props> {
  const options: CallOptions = { signal: ctx.signal };
  const name = text(news, "name") ?? short(id);
  const now = await inspectNow(engine, id, options);
  if (changedLimits(olds, news)) {
    const wanted = limits(news);
    const memory = int(news, "memory") ?? 0;
    // The engine refuses more memory than the swap that it once chose itself.
    if (memory > 0 && wanted.MemorySwap === undefined) wanted.MemorySwap = 2 * memory * 1024 * 1024;
    await engine.call(`update container ${name}`, options, (docker, signal) =>
      docker.getContainer(id).update({ ...wanted, abortSignal: signal }),
    );
  }
  try {
    if ((bool(news, "mustRun") ?? true) && !runs(now)) await bringUp(engine, now, name, options);
  } catch (error) {
    if (ofTenant(news) && !ctx.signal.aborted) {
      // Whoever has root in it can keep it from starting: that is theirs to mend, and must not end the whole update.
      ctx.log(
        "warning",
        `${(error as Error).message}. The update goes on without it, and the next one tries it again`,
      );
      return containerState(await inspectNow(engine, id, options), { ...carried(olds), ...news });
    }
    // The limits are changed by now, and it still has to be brought up: the state says both.
    const left = await inspect(engine, id).catch(() => undefined);
    if (left === undefined) throw error;
    throw new ProviderError((error as Error).message, {
      id,
      outs: containerState(left, { ...carried(olds), ...news }),
    });
  }
  const after = await inspectNow(engine, id, options);
  return containerState(after, { ...carried(olds), ...news });
}

/** Whether a container is somebody's workspace, by Berth's own label (core/containers/labels.ts). */
function ofTenant(inputs: Props): boolean {
  return labelMap(inputs, "labels")?.["berth.component"] === "workspace";
}

/** Outputs that no inspection gives again. */
function carried(olds: Props): Props {
  const logs = text(olds, "containerLogs");
  return logs === undefined ? {} : { containerLogs: logs };
}

function changedLimits(olds: Props, news: Props): boolean {
  return diffFields(containerFields, plainProps(olds), news).some((change) =>
    [...LIMITS, ...RESTARTS].includes(String(change.path[0])),
  );
}
