/** `docker:index/volume:Volume`. */
import { type Props, ProviderError, type ResourceType } from "@berth/plugin-base";
import { diffFields, map, str, text } from "@berth/plugin-base/bridged";
import type { CallOptions, Engine } from "../engine/engine";
import { labelMap } from "../labels";
import { defineResource, removeUnused } from "../resource";
import { volumeFields } from "./schema";
import { type VolumeInspect, volumeState } from "./state";

/** A volume may hold millions of files, each unlinked before the engine answers. */
const DELETE_MS = 20 * 60_000;

export function volumeType(engine: () => Engine): ResourceType {
  return defineResource(engine, {
    fields: volumeFields,
    create: createVolume,
    async read(at, id, known, options) {
      const found = await inspectVolume(at, id, options);
      return found && { id: found.Name, outs: volumeState(found, known) };
    },
    delete: (at, id, _olds, { signal }) =>
      removeUnused(
        () =>
          at.call(`remove volume ${id}`, { signal, deadlineMs: DELETE_MS }, (docker, limit) =>
            docker.getVolume(encodeURIComponent(id)).remove({ abortSignal: limit }),
          ),
        { inUse: /in use/, advice: "remove the containers that use it" },
        { signal },
      ),
  });
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
