/** The Engine API calls that containers need, each with its deadline. */
import type { Props } from "@berth/plugin-base";
import { ProviderError, sleep } from "@berth/plugin-base";
import { bool, int } from "@berth/plugin-base/bridged";
import type { CallOptions, Engine } from "../engine/engine";
import { EngineError } from "../engine/engine";
import { hasProcess, type Inspect, runs } from "./inspect";

/** Removing a big container's layers and volumes takes the engine a while. */
const REMOVE_MS = 10 * 60_000;
/** Between two looks at a container that is waited for. */
const POLL_MS = 250;
/** An engine under load kills late: more than a minute was seen on a computer with ten jobs for each core. */
const STOP_MARGIN_MS = 180_000;

export function inspect(engine: Engine, id: string, options: CallOptions = {}): Promise<Inspect | undefined> {
  return engine.find(`inspect container ${short(id)}`, options, async (docker, signal) => {
    const answer = await docker.getContainer(encodeURIComponent(id)).inspect({ abortSignal: signal });
    return answer as unknown as Inspect;
  });
}

/** As {@link inspect}, for a container that must be there. */
export async function inspectNow(engine: Engine, id: string, options: CallOptions = {}): Promise<Inspect> {
  const found = await inspect(engine, id, options);
  if (found === undefined) {
    throw new ProviderError(
      `container ${short(id)} is gone; run "pulumi refresh", the next up makes it again`,
    );
  }
  return found;
}

export async function start(engine: Engine, id: string, name: string, options: CallOptions): Promise<void> {
  await engine.call(`start container ${name}`, options, async (docker, signal) => {
    try {
      await docker.getContainer(id).start({ abortSignal: signal });
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode !== 304) throw error; // it runs already
    }
  });
}

/**
 * Brings a container that is down up, whatever its way of being down. One that waits for its restart policy's next try
 * is tried at once.
 *
 * @throws ProviderError with Docker's words, or with the status that it ended with, where it is down again.
 */
export async function bringUp(
  engine: Engine,
  found: Inspect,
  name: string,
  options: CallOptions,
): Promise<void> {
  const { Id: id, State: state } = found;
  if (state.Paused === true) {
    await engine.call(`unpause container ${name}`, options, (docker, signal) =>
      docker.getContainer(id).unpause({ abortSignal: signal }),
    );
  } else if (state.Restarting === true) {
    await engine.call(`restart container ${name}`, options, (docker, signal) =>
      docker.getContainer(id).restart({ t: 0, abortSignal: signal }),
    );
  } else await start(engine, id, name, options);
  const after = await inspectNow(engine, id, options);
  if (runs(after)) return;
  const said = after.State.Error ? ` (${after.State.Error})` : "";
  throw new ProviderError(
    hasProcess(after)
      ? `container ${name} is paused again; see who does that`
      : `container ${name} was started and ended at once with status ${after.State.ExitCode}${said}; see docker logs ${name}`,
  );
}

/** Stops (unless it should go at once), removes, and waits until it is gone. A container that is gone is fine. */
export async function remove(
  engine: Engine,
  id: string,
  settings: { graceSeconds: number; volumes: boolean },
  options: CallOptions,
): Promise<void> {
  const label = `container ${short(id)}`;
  const stopMs = settings.graceSeconds * 1000 + STOP_MARGIN_MS;
  await gone(() =>
    engine.call(`stop ${label}`, { ...options, deadlineMs: stopMs }, async (docker, signal) => {
      try {
        await docker.getContainer(id).stop({ t: settings.graceSeconds, abortSignal: signal });
      } catch (error) {
        if ((error as { statusCode?: number }).statusCode !== 304) throw error; // it is stopped already
      }
    }),
  );
  const end = Date.now() + REMOVE_MS;
  await gone(() =>
    engine.call(`remove ${label}`, { ...options, deadlineMs: REMOVE_MS }, (docker, signal) =>
      docker.getContainer(id).remove({ v: settings.volumes, force: true, abortSignal: signal }),
    ),
  );
  // Someone else's removal (or `rm`) may still be under way.
  while ((await inspect(engine, id, options)) !== undefined) {
    if (Date.now() > end)
      throw new ProviderError(`${label} is still being removed after ${REMOVE_MS / 1000} s`);
    await sleep(POLL_MS, options.signal);
  }
}

/** The settings of {@link remove} in a resource's state; official defaults. */
export function removal(state: Props): { graceSeconds: number; volumes: boolean } {
  return {
    graceSeconds: int(state, "destroyGraceSeconds") ?? 0,
    volumes: bool(state, "removeVolumes") ?? true,
  };
}

async function gone(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const missing = error instanceof EngineError && error.status === 404;
    const removing =
      error instanceof EngineError && error.status === 409 && /already in progress/.test(error.message);
    if (!missing && !removing) throw error;
  }
}

/** An id as `docker ps` shows it. */
export function short(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}
