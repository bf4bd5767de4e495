/** `docker:index/remoteImage:RemoteImage` in version 5.2.0 of the official plugin. */
import { boolean, type Fields, object, set, string, stringMap } from "@berth/plugin-base/bridged";
import { unused } from "../unused";

const replace = true;

export const imageFields: Fields = {
  name: string({ required: true, replace }),
  platform: unused(string({ replace })),
  pullTriggers: set(string(), { replace }),
  triggers: stringMap({ replace }),
  keepLocally: boolean(),
  forceRemove: boolean(),
  build: object(
    {},
    { unsupported: "this plugin pulls images; build them beforehand and name them by digest" },
  ),
  imageId: string({ output: true }),
  repoDigest: string({ output: true }),
};

/** See containerMeta; images have time-outs of 20 min and the first version of their shape. */
export const imageMeta =
  '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":1200000000000,"delete":1200000000000,"update":1200000000000}}';
