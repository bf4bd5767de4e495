/** A container that has the name already: ours from an interrupted `up`, or somebody's. */
import type { Props } from "@berth/plugin-base";
import { ProviderError } from "@berth/plugin-base";
import { diffFields, objects, plainProps, str, strings } from "@berth/plugin-base/bridged";
import type { CallOptions, Engine } from "../engine/engine";
import { imageConfig } from "../image/pull";
import { labelMap } from "../labels";
import { inspect, short } from "./calls";
import { importState } from "./import";
import type { Inspect } from "./inspect";
import { containerFields } from "./schema";
import type { ContainerSpec } from "./spec";
import { firstFile, uploadFiles } from "./uploads";

export interface Made {
  readonly id: string;
  /** Made by this very call. */
  readonly fresh: boolean;
  /** Its first process has run: networks and uploads are in place. */
  readonly started: boolean;
}

/** How the plugin treats a container is no property of the container. */
const OURS = [
  "mustRun",
  "start",
  "attach",
  "logs",
  "wait",
  "waitTimeout",
  "destroyGraceSeconds",
  "removeVolumes",
  "containerReadRefreshTimeoutMilliseconds",
  "uploads",
  "networksAdvanced",
  "envs",
  "labels",
];

/**
 * Takes the container over if it is what `create` would have made.
 *
 * The official plugin cannot tell either whose it is, and labels of our own would make the two plugins' states
 * differ; so the whole configuration is compared, labels and uploaded files included.
 *
 * @throws ProviderError saying who holds the name, what differs, and how to free it.
 */
export async function adopt(
  engine: Engine,
  spec: ContainerSpec,
  inputs: Props,
  options: CallOptions,
): Promise<Made> {
  const found = await inspect(engine, spec.name, options);
  if (found === undefined) {
    throw new ProviderError(`the name ${spec.name} was taken a moment ago and is free now; run up again`);
  }
  const started = found.State.Status !== "created";
  const differing = await differences(engine, found, inputs, started, options);
  if (differing.length > 0) throw new ProviderError(taken(spec.name, found, differing));
  return { id: found.Id, fresh: false, started };
}

function taken(name: string, found: Inspect, differing: readonly string[]): string {
  const labels = Object.entries(found.Config.Labels ?? {})
    .filter(([key]) => key.startsWith("berth."))
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  const whose = labels.length === 0 ? "without Berth's labels" : labels.join(", ");
  return (
    `the name ${name} is held by container ${short(found.Id)} (${found.Config.Image}, ${found.State.Status}; ${whose}), ` +
    `which differs from the program in ${differing.join(", ")}. If nobody needs it: docker rm -f ${name}. ` +
    `If it is this stack's: pulumi import docker:index/container:Container NAME ${found.Id}`
  );
}

/** Everything about a container that only the engine can tell. */
export async function readWhole(engine: Engine, found: Inspect, options: CallOptions): Promise<Props> {
  const image = await imageConfig(engine, found.Image, options);
  const cgroups = await engine.call("ask for the engine's cgroup version", options, (docker, signal) =>
    docker.info({ abortSignal: signal }),
  );
  return importState(found, image, cgroups.CgroupVersion === "2" ? "private" : "host");
}

/** Names of top-level properties in which the container is not what the program wants. */
async function differences(
  engine: Engine,
  found: Inspect,
  inputs: Props,
  started: boolean,
  options: CallOptions,
): Promise<string[]> {
  const state = await readWhole(engine, found, options);
  const wanted = plainProps(inputs);
  const names = new Set(
    diffFields(containerFields, state, wanted, OURS, wanted).map((change) => String(change.path[0])),
  );
  // A port that the engine chose, or that a stopped container does not show, says nothing.
  if (!found.State.Running) names.delete("ports");
  const labels = Object.entries(labelMap(wanted, "labels") ?? {});
  if (labels.some(([key, value]) => found.Config.Labels?.[key] !== value)) names.add("labels");
  if (objects(state, "labels").some((entry) => !labels.some(([key]) => key === str(entry, "label"))))
    names.add("labels");
  const envs = strings(wanted, "envs") ?? [];
  if (envs.some((entry) => !found.Config.Env?.includes(entry))) names.add("envs");
  if ((strings(state, "envs") ?? []).some((entry) => !envs.includes(entry))) names.add("envs");
  if (started) {
    if (!sameNetworks(found, wanted)) names.add("networksAdvanced");
    if (!(await sameUploads(engine, found.Id, inputs, options))) names.add("uploads");
  }
  return [...names].sort();
}

function sameNetworks(found: Inspect, wanted: Props): boolean {
  const networks = objects(wanted, "networksAdvanced");
  const now = Object.entries(found.NetworkSettings?.Networks ?? {});
  if (networks.length === 0) return true;
  return (
    networks.length === now.length &&
    networks.every((network) => {
      const name = str(network, "name");
      const there = now.find(([key, endpoint]) => key === name || endpoint.NetworkID === name)?.[1];
      return (
        there !== undefined && (there.IPAMConfig?.IPv4Address ?? "") === (str(network, "ipv4Address") ?? "")
      );
    })
  );
}

async function sameUploads(
  engine: Engine,
  id: string,
  inputs: Props,
  options: CallOptions,
): Promise<boolean> {
  for (const file of uploadFiles(inputs)) {
    const there = await engine.find(`read ${file.file} of ${short(id)}`, options, async (docker, signal) =>
      firstFile(await docker.getContainer(id).getArchive({ path: file.file, abortSignal: signal })),
    );
    if (there === undefined || !there.content.equals(file.content) || there.mode !== file.mode) return false;
  }
  return true;
}
