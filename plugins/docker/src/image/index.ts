/** `docker:index/remoteImage:RemoteImage`: an image that is on the engine, pulled if need be. */
import type { Context, Props, ResourceType } from "@berth/plugin-base";
import { bool, diffResource, plainProps, str } from "@berth/plugin-base/bridged";
import { type Engine, EngineError } from "../engine/engine";
import { defineResource } from "../resource";
import { ensureImage, inspectImage } from "./pull";
import { repoDigest } from "./ref";
import { imageFields, imageMeta } from "./schema";

/** The layers of an image may hold many files, each unlinked before the engine answers. */
const DELETE_MS = 20 * 60_000;

export function remoteImageType(engine: () => Engine): ResourceType {
  const ensure = async (at: Engine, inputs: Props, ctx: Context): Promise<Props> => {
    const name = str(inputs, "name") ?? "";
    const log = (line: string): void => ctx.log("info", line, { ephemeral: true });
    return imageState(name, await ensureImage(at, name, { signal: ctx.signal }, log), inputs);
  };
  return defineResource(engine, {
    fields: imageFields,
    named: false,
    diff: (req) => diffResource(imageFields, req, "never"),
    async create(at, inputs, ctx) {
      const outs = await ensure(at, inputs, ctx);
      return { id: str(outs, "id") ?? "", outs };
    },
    async read(at, _id, known, { signal }) {
      const name = str(known, "name");
      if (name === undefined) {
        throw new EngineError(
          "a RemoteImage cannot be imported (nor with the official plugin); declare it, up pulls nothing that is there",
          undefined,
        );
      }
      const found = await inspectImage(at, name, { signal });
      const outs = found && imageState(name, found, known);
      return outs && { id: str(outs, "id") ?? "", outs };
    },
    update: (at, _id, _olds, news, ctx) => ensure(at, news, ctx),
    async delete(at, _id, olds, { signal }) {
      if (bool(olds, "keepLocally") === true) return;
      const name = str(olds, "name") ?? "";
      const force = bool(olds, "forceRemove") ?? false;
      await at.find(`remove image ${name}`, { signal, deadlineMs: DELETE_MS }, (docker, limit) =>
        docker.getImage(name).remove({ force, abortSignal: limit }),
      );
    },
  });
}

/** The id is the image's followed by the name, as the official plugin has it. Pure. */
export function imageState(
  name: string,
  image: { id: string; digests: readonly string[] },
  known: Props,
): Props {
  return {
    ...plainProps(known),
    __meta: imageMeta,
    id: `${image.id}${name}`,
    name,
    imageId: image.id,
    repoDigest: repoDigest(name, image.digests),
  };
}
