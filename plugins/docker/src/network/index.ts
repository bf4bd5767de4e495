/** `docker:index/network:Network`. */
import {
  type DiffRequest,
  type DiffResult,
  type Props,
  ProviderError,
  type ResourceType,
} from "@berth/plugin-base";
import { diffFields, diffResource, str } from "@berth/plugin-base/bridged";
import { type CallOptions, type Engine, EngineError } from "../engine/engine";
import { labelMap } from "../labels";
import { defineResource, removeUnused } from "../resource";
import { toldAlike } from "./gateway";
import { type NetworkInspect, networkBody, networkState } from "./map";
import { networkFields } from "./schema";

export function networkType(engine: () => Engine): ResourceType {
  return defineResource(engine, {
    fields: networkFields,
    diff: networkDiff,
    create: createNetwork,
    async read(at, id, known, options) {
      const found = await inspectNetwork(at, id, options);
      return found && { id: found.Id, outs: networkState(found, known) };
    },
    delete: (at, id, _olds, { signal }) =>
      removeUnused(
        () =>
          at.call(`remove network ${id.slice(0, 12)}`, { signal }, (docker, limit) =>
            docker.getNetwork(encodeURIComponent(id)).remove({ abortSignal: limit }),
          ),
        { inUse: /active endpoints/, advice: "remove or disconnect those containers" },
        { signal },
      ),
  });
}

/** By the official rules, but for a gateway that the engine chose: telling it, or no more, is no change. Pure. */
export function networkDiff(req: DiffRequest): DiffResult {
  const { values } = req.olds;
  const ipamConfigs = toldAlike(values.ipamConfigs ?? null, req.news.values.ipamConfigs ?? null);
  const olds = { ...req.olds, values: { ...values, ipamConfigs } };
  return diffResource(networkFields, { ...req, olds }, "given");
}

function inspectNetwork(
  engine: Engine,
  id: string,
  options: CallOptions,
): Promise<NetworkInspect | undefined> {
  return engine.find(`inspect network ${id.slice(0, 12)}`, options, async (docker, signal) => {
    const answer = await docker.getNetwork(encodeURIComponent(id)).inspect({ abortSignal: signal });
    return answer as unknown as NetworkInspect;
  });
}

/** Takes over a network of the same name if it is just what would be made (an interrupted `up` left it). */
async function createNetwork(
  engine: Engine,
  inputs: Props,
  options: CallOptions,
): Promise<{ id: string; outs: Props }> {
  const name = str(inputs, "name") ?? "";
  let id = name;
  try {
    const made = await engine.call(`create network ${name}`, options, (docker, signal) =>
      docker.createNetwork({ _query: {}, _body: networkBody(inputs), abortSignal: signal }),
    );
    id = made.id;
  } catch (error) {
    if (!(error instanceof EngineError && error.status === 409 && /already exists/.test(error.message)))
      throw error;
  }
  const found = await inspectNetwork(engine, id, options);
  if (found === undefined) throw new ProviderError(`network ${name} was made and is gone again`);
  const outs = networkState(found, inputs);
  if (id === name) refuseOther(name, found, inputs);
  return { id: found.Id, outs };
}

function refuseOther(name: string, found: NetworkInspect, inputs: Props): void {
  // A dockerd that was restarted since tells more than one that was not.
  const state = networkState(found, { ipamConfigs: inputs.ipamConfigs ?? null });
  const names = new Set(
    diffFields(networkFields, state, inputs, [], inputs).map((change) => String(change.path[0])),
  );
  if (Object.keys(labelMap(inputs, "labels") ?? {}).length !== Object.keys(found.Labels ?? {}).length)
    names.add("labels");
  if (names.size === 0) return;
  const users = Object.values(found.Containers ?? {}).map((container) => container.Name ?? "");
  throw new ProviderError(
    `the name ${name} is held by network ${found.Id.slice(0, 12)}, which differs from the program in ` +
      `${[...names].sort().join(", ")}${users.length > 0 ? ` and is used by ${users.sort().join(", ")}` : ""}. ` +
      `If nobody needs it: docker network rm ${name}. If it is this stack's: ` +
      `pulumi import docker:index/network:Network NAME ${found.Id}`,
  );
}
