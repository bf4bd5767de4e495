/** Images on an engine: look up, pull, remove. */

import type { ImageConfig } from "../container/import";
import type { CallOptions, Engine } from "../engine/engine";
import { EngineError } from "../engine/engine";
import { parseImage } from "./ref";

/** As long as the official plugin gives a whole image. */
const PULL_MS = 20 * 60_000;
/** A pull that says nothing for so long is stuck. */
const SILENCE_MS = 180_000;

/** The part of `GET /images/NAME/json` that is read. */
interface ImageInspect {
  Id: string;
  RepoDigests?: string[] | null;
  Config?: { Env?: string[] | null; Labels?: Record<string, string> | null } | null;
}

export interface Image {
  readonly id: string;
  readonly digests: readonly string[];
  readonly config: ImageConfig;
}

export function inspectImage(engine: Engine, name: string, options: CallOptions): Promise<Image | undefined> {
  return engine.find(`inspect image ${name}`, options, async (docker, signal) => {
    const found = (await docker.getImage(name).inspect({ abortSignal: signal })) as ImageInspect;
    return {
      id: found.Id,
      digests: found.RepoDigests ?? [],
      config: { env: found.Config?.Env ?? [], labels: found.Config?.Labels ?? {} },
    };
  });
}

/** What an image gives its containers; nothing if the image is gone. */
export async function imageConfig(engine: Engine, name: string, options: CallOptions): Promise<ImageConfig> {
  return (await inspectImage(engine, name, options))?.config ?? { env: [], labels: {} };
}

/**
 * The image, pulled if it is not there.
 *
 * @param progress gets a line now and then.
 * @throws EngineError with the registry's answer.
 */
export async function ensureImage(
  engine: Engine,
  name: string,
  options: CallOptions,
  progress: (line: string) => void,
): Promise<Image> {
  const found = await inspectImage(engine, name, options);
  if (found !== undefined) return found;
  // An id names no registry, so there is nothing to pull.
  if (/^sha256:[0-9a-f]+$/.test(name))
    throw new EngineError(`no image ${name} on the engine at ${engine.name}`, 404);
  await pull(engine, name, options, progress);
  const pulled = await inspectImage(engine, name, options);
  if (pulled === undefined) {
    throw new EngineError(`image ${name} was pulled, but the engine at ${engine.name} does not have it`, 404);
  }
  return pulled;
}

async function pull(
  engine: Engine,
  name: string,
  options: CallOptions,
  progress: (line: string) => void,
): Promise<void> {
  const { repository, tag, digest } = parseImage(name);
  await engine.call(`pull image ${name}`, { ...options, deadlineMs: PULL_MS }, async (docker, signal) => {
    const query = { fromImage: repository, tag: digest ?? tag ?? "latest" };
    await follow(await docker.createImage({ _query: query, _body: {}, abortSignal: signal }), progress);
  });
}

interface Progress {
  status?: string;
  id?: string;
  error?: string;
  errorDetail?: { message?: string };
}

function follow(stream: NodeJS.ReadableStream, progress: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let rest = "";
    let failed: string | undefined;
    const destroy = (error: Error): void => {
      clearTimeout(timer);
      (stream as NodeJS.ReadableStream & { destroy?: (error: Error) => void }).destroy?.(error);
      reject(error);
    };
    const silent = (): void =>
      destroy(new EngineError(`the registry sent nothing for ${SILENCE_MS / 1000} s`, undefined));
    let timer = setTimeout(silent, SILENCE_MS);
    stream.on("data", (chunk: Buffer) => {
      clearTimeout(timer);
      timer = setTimeout(silent, SILENCE_MS);
      rest += chunk.toString();
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const message = parse(line);
        if (message.error !== undefined) failed = message.errorDetail?.message ?? message.error;
        else if (
          message.status !== undefined &&
          /^(Pull complete|Downloaded|Digest|Status)/.test(message.status)
        ) {
          progress(`${message.id === undefined ? "" : `${message.id}: `}${message.status}`);
        }
      }
    });
    stream.on("error", destroy);
    stream.on("end", () => {
      clearTimeout(timer);
      if (failed === undefined) resolve();
      else reject(new EngineError(failed, 500));
    });
  });
}

function parse(line: string): Progress {
  try {
    return JSON.parse(line) as Progress;
  } catch {
    return {};
  }
}
