/** `docker:index/volume:Volume`. */
import { type Props, ProviderError, type ResourceType } from "@berth/plugin-base";
import {
  checkResource,
  diffFields,
  diffResource,
  driftedInputs,
  importInputsOf,
  inputSchema,
  map,
  plainProps,
  previewState,
  secretTops,
  str,
  text,
} from "@berth/plugin-base/bridged";
import { type CallOptions, type Engine, EngineError } from "../engine/engine";
import { sleep } from "../engine/sleep";
import { labelMap } from "../labels";
import { volumeFields } from "./schema";
import { type VolumeInspect, volumeState } from "./state";

/** A volume may hold millions of files, each unlinked before the engine answers. */
const DELETE_MS = 20 * 60_000;

/** A container lets go of its volumes a moment after it is gone; official deadline. */
const REMOVE_MS = 30_000;
const POLL_MS = 250;

export function volumeType(engine: () => Engine): ResourceType {
  return {
    inputs: inputSchema(volumeFields),
    check: (req, ctx) => checkResource(volumeFields, req, ctx),
    diff: (req) => diffResource(volumeFields, req, "given"),
    async create({ inputs }, ctx) {
      if (ctx.preview) return { id: "", outs: previewState(volumeFields, inputs.values) };
      const made = await createVolume(engine(), plainProps(inputs.values), { signal: ctx.signal });
      return { ...made, secrets: secretTops(inputs.secrets) };
    },
    async read({ id, props, inputs }, ctx) {
      const found = await inspectVolume(engine(), id, { signal: ctx.signal });
      if (found === undefined) return { id: "", outs: {} };
      const outs = volumeState(found, props.values);
      const imported = Object.keys(props.values).length === 0;
      return {
        id: found.Name,
        outs,
        inputs: imported
          ? importInputsOf(volumeFields, outs)
          : driftedInputs(volumeFields, inputs.values, outs),
        secrets: secretTops(props.secrets, inputs.secrets),
      };
    },
    async delete({ id }, ctx) {
      await removeVolume(engine(), id, { signal: ctx.signal });
    },
  };
}

function inspectVolume(
  engine: Engine,
  name: string,
  options: CallOptions,
): Promise<VolumeInspect | undefined> {
  return engine.find(`inspect volume ${name}`, options, async (docker, signal) => {
    const answer = await docker.getVolume(encodeURIComponent(name)).inspect({ abortSignal: signal });
    return answer as unknown as VolumeInspect;
  });
}

/**
 * Volumes hold data, and the engine hands out an existing one of the same name without a word; so an existing one
 * is only taken if it is what the program says (an interrupted `up`, or `retainOnDelete`).
 */
async function createVolume(
  engine: Engine,
  inputs: Props,
  options: CallOptions,
): Promise<{ id: string; outs: Props }> {
  const name = str(inputs, "name") ?? "";
  const there = await inspectVolume(engine, name, options);
  if (there !== undefined) {
    refuseOther(name, there, inputs);
    return { id: name, outs: volumeState(there, inputs) };
  }
  const body = {
    Name: name,
    Driver: text(inputs, "driver") ?? "local",
    DriverOpts: map(inputs, "driverOpts") ?? {},
    Labels: labelMap(inputs, "labels") ?? {},
  };
  await engine.call(`create volume ${name}`, options, (docker, signal) =>
    docker.createVolume({ _query: {}, _body: body, abortSignal: signal }),
  );
  const made = await inspectVolume(engine, name, options);
  if (made === undefined) throw new ProviderError(`volume ${name} was made and is gone again`);
  return { id: name, outs: volumeState(made, inputs) };
}

function refuseOther(name: string, found: VolumeInspect, inputs: Props): void {
  const names = new Set(
    diffFields(volumeFields, volumeState(found, {}), inputs).map((change) => String(change.path[0])),
  );
  if (names.size === 0) return;
  throw new ProviderError(
    `the name ${name} is held by a volume that differs from the program in ${[...names].sort().join(", ")}; it may hold ` +
      `data. If nobody needs it: docker volume rm ${name}. If it is this stack's: pulumi import docker:index/volume:Volume NAME ${name}`,
  );
}

async function removeVolume(engine: Engine, name: string, options: CallOptions): Promise<void> {
  const end = Date.now() + REMOVE_MS;
  for (;;) {
    try {
      await engine.call(`remove volume ${name}`, { ...options, deadlineMs: DELETE_MS }, (docker, signal) =>
        docker.getVolume(encodeURIComponent(name)).remove({ abortSignal: signal }),
      );
      return;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.status === 404) return;
      if (!/in use/.test(error.message)) throw error;
      if (Date.now() > end) {
        throw new ProviderError(
          `${error.message}; remove the containers that use it, then run destroy again`,
        );
      }
    }
    await sleep(POLL_MS, options.signal);
  }
}
