/** Makes a container, or takes over the one that an interrupted `up` left behind. */
import type { Context, Props } from "@berth/plugin-base";
import type { CallOptions, Engine } from "../engine/engine";
import { EngineError } from "../engine/engine";
import { ensureImage } from "../image/pull";
import { adopt, type Made } from "./adopt";
import { inspectNow, removal, remove, short, start } from "./calls";
import { type ContainerSpec, containerSpec } from "./spec";
import { containerState } from "./state";
import { uploadArchive, uploadFiles } from "./uploads";

/** A clean-up after a failure or a cancel gets its own, short time. */
const CLEANUP_MS = 30_000;

/**
 * Creates, connects, uploads and starts; the order makes every uploaded file be there before the first process. If any of
 * it fails, what was made is removed again.
 */
export async function createContainer(
  engine: Engine,
  inputs: Props,
  ctx: Context,
): Promise<{ id: string; outs: Props }> {
  const options: CallOptions = { signal: ctx.signal };
  const spec = containerSpec(inputs);
  await ensureImage(engine, spec.body.Image, options, (line) => ctx.log("info", line, { ephemeral: true }));
  const id = (await create(engine, spec, options)) ?? (await adopt(engine, spec, inputs, options));
  const made = id.fresh;
  try {
    if (!id.started) {
      await connectNetworks(engine, id.id, spec, options);
      await upload(engine, id.id, inputs, spec.name, options);
    }
    await start(engine, id.id, spec.name, options);
  } catch (error) {
    if (made) await cleanUp(engine, id.id, ctx);
    throw error;
  }
  return { id: id.id, outs: containerState(await inspectNow(engine, id.id, options), inputs) };
}

/** undefined: the name is taken. */
async function create(engine: Engine, spec: ContainerSpec, options: CallOptions): Promise<Made | undefined> {
  try {
    const made = await engine.call(`create container ${spec.name}`, options, (docker, signal) =>
      docker.createContainer({
        // Apart, for dockerode would write the whole body, secrets and all, into the address too.
        _query: { name: spec.name },
        _body: spec.body,
        abortSignal: signal,
      }),
    );
    return { id: made.id, fresh: true, started: false };
  } catch (error) {
    if (error instanceof EngineError && error.status === 409 && /already in use/.test(error.message))
      return undefined;
    throw error;
  }
}

/** Connects to the networks asked for, instead of the bridge that every new container starts on. */
async function connectNetworks(
  engine: Engine,
  id: string,
  spec: ContainerSpec,
  options: CallOptions,
): Promise<void> {
  if (spec.networks.length === 0) return;
  const now = (await inspectNow(engine, id, options)).NetworkSettings?.Networks ?? {};
  if (Object.hasOwn(now, "bridge") && !spec.networks.some((network) => network.name === "bridge")) {
    await engine.call(`disconnect ${spec.name} from bridge`, options, (docker, signal) =>
      docker.getNetwork("bridge").disconnect({ Container: id, Force: false, abortSignal: signal }),
    );
  }
  for (const { name, endpoint } of spec.networks) {
    const there = Object.entries(now).some(([key, value]) => key === name || value.NetworkID === name);
    if (there) continue;
    await engine.call(`connect ${spec.name} to network ${short(name)}`, options, (docker, signal) =>
      docker
        .getNetwork(encodeURIComponent(name))
        .connect({ Container: id, EndpointConfig: endpoint, abortSignal: signal }),
    );
  }
}

async function upload(
  engine: Engine,
  id: string,
  inputs: Props,
  name: string,
  options: CallOptions,
): Promise<void> {
  const files = uploadFiles(inputs);
  if (files.length === 0) return;
  const archive = await uploadArchive(files);
  await engine.call(`upload files to ${name}`, options, (docker, signal) =>
    docker.getContainer(id).putArchive(archive, { path: "/", abortSignal: signal }),
  );
}

async function cleanUp(engine: Engine, id: string, ctx: Context): Promise<void> {
  try {
    await remove(
      engine,
      id,
      { ...removal({}), graceSeconds: 0 },
      { signal: AbortSignal.timeout(CLEANUP_MS) },
    );
  } catch (error) {
    ctx.log(
      "warning",
      `container ${short(id)} was made but not finished, and could not be removed: ${(error as Error).message}`,
    );
  }
}
