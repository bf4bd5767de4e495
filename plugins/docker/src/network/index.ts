/** `docker:index/network:Network`. */
import {
  type DiffRequest,
  type DiffResult,
  type Props,
  ProviderError,
  type ResourceType,
} from "@berth/plugin-base";
import {
  checkResource,
  diffFields,
  diffResource,
  driftedInputs,
  importInputsOf,
  inputSchema,
  plainProps,
  previewState,
  secretTops,
  str,
} from "@berth/plugin-base/bridged";
import { type CallOptions, type Engine, EngineError } from "../engine/engine";
import { sleep } from "../engine/sleep";
import { labelMap } from "../labels";
import { toldAlike } from "./gateway";
import { type NetworkInspect, networkBody, networkState } from "./map";
import { networkFields } from "./schema";

/** Containers leave a network a moment after they are gone; official deadline. */
const REMOVE_MS = 30_000;
const POLL_MS = 250;

export function networkType(engine: () => Engine): ResourceType {
  return {
    inputs: inputSchema(networkFields),
    check: (req, ctx) => checkResource(networkFields, req, ctx),
    diff: networkDiff,
    async create({ inputs }, ctx) {
      if (ctx.preview) return { id: "", outs: previewState(networkFields, inputs.values) };
      const made = await createNetwork(engine(), plainProps(inputs.values), { signal: ctx.signal });
      return { ...made, secrets: secretTops(inputs.secrets) };
    },
    async read({ id, props, inputs }, ctx) {
      const found = await inspectNetwork(engine(), id, { signal: ctx.signal });
      if (found === undefined) return { id: "", outs: {} };
      const outs = networkState(found, props.values);
      const imported = Object.keys(props.values).length === 0;
      return {
        id: found.Id,
        outs,
        inputs: imported
          ? importInputsOf(networkFields, outs)
          : driftedInputs(networkFields, inputs.values, outs),
        secrets: secretTops(props.secrets, inputs.secrets),
      };
    },
    async delete({ id }, ctx) {
      await removeNetwork(engine(), id, { signal: ctx.signal });
    },
  };
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

async function removeNetwork(engine: Engine, id: string, options: CallOptions): Promise<void> {
  const end = Date.now() + REMOVE_MS;
  for (;;) {
    try {
      await engine.call(`remove network ${id.slice(0, 12)}`, options, (docker, signal) =>
        docker.getNetwork(encodeURIComponent(id)).remove({ abortSignal: signal }),
      );
      return;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.status === 404) return;
      if (!/active endpoints/.test(error.message)) throw error;
      if (Date.now() > end) {
        throw new ProviderError(
          `${error.message}; remove or disconnect those containers, then run destroy again`,
        );
      }
    }
    await sleep(POLL_MS, options.signal);
  }
}
