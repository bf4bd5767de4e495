/** `docker:index/remoteImage:RemoteImage`: an image that is on the engine, pulled if need be. */
import type { Props, ResourceType } from "@berth/plugin-base";
import {
  bool,
  checkResource,
  diffResource,
  driftedInputs,
  inputSchema,
  plainProps,
  previewState,
  secretTops,
  str,
} from "@berth/plugin-base/bridged";
import { type CallOptions, type Engine, EngineError } from "../engine/engine";
import { ensureImage, inspectImage } from "./pull";
import { repoDigest } from "./ref";
import { imageFields, imageMeta } from "./schema";

/** The layers of an image may hold many files, each unlinked before the engine answers. */
const DELETE_MS = 20 * 60_000;

export function remoteImageType(engine: () => Engine): ResourceType {
  const ensure = async (inputs: Props, options: CallOptions, log: (line: string) => void) => {
    const name = str(inputs, "name") ?? "";
    const image = await ensureImage(engine(), name, options, log);
    return imageState(name, image, inputs);
  };
  return {
    inputs: inputSchema(imageFields),
    check: (req, ctx) => checkResource(imageFields, req, ctx, false),
    diff: (req) => diffResource(imageFields, req, "never"),
    async create({ inputs }, ctx) {
      if (ctx.preview) return { id: "", outs: previewState(imageFields, inputs.values) };
      const log = (line: string): void => ctx.log("info", line, { ephemeral: true });
      const outs = await ensure(plainProps(inputs.values), { signal: ctx.signal }, log);
      return { id: str(outs, "id") ?? "", outs, secrets: secretTops(inputs.secrets) };
    },
    async read({ props, inputs }, ctx) {
      const name = str(props.values, "name") ?? str(inputs.values, "name");
      if (name === undefined) {
        throw new EngineError(
          "a RemoteImage cannot be imported (nor with the official plugin); declare it, up pulls nothing that is there",
          undefined,
        );
      }
      const found = await inspectImage(engine(), name, { signal: ctx.signal });
      if (found === undefined) return { id: "", outs: {} };
      const outs = imageState(name, found, props.values);
      return {
        id: str(outs, "id") ?? "",
        outs,
        inputs: driftedInputs(imageFields, inputs.values, outs),
        secrets: secretTops(props.secrets, inputs.secrets),
      };
    },
    async update({ olds, news }, ctx) {
      const secrets = secretTops(news.secrets);
      if (ctx.preview)
        return { outs: previewState(imageFields, news.values, plainProps(olds.values)), secrets };
      const log = (line: string): void => ctx.log("info", line, { ephemeral: true });
      return { outs: await ensure(plainProps(news.values), { signal: ctx.signal }, log), secrets };
    },
    async delete({ olds }, ctx) {
      if (bool(olds.values, "keepLocally") === true) return;
      const name = str(olds.values, "name") ?? "";
      await engine().find(
        `remove image ${name}`,
        { signal: ctx.signal, deadlineMs: DELETE_MS },
        (docker, signal) =>
          docker
            .getImage(name)
            .remove({ force: bool(olds.values, "forceRemove") ?? false, abortSignal: signal }),
      );
    },
  };
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
