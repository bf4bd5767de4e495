/** `docker:index/volume:Volume` in version 5.2.0 of the official plugin. Every change replaces the volume. */
import { type Fields, object, string, stringMap } from "@berth/plugin-base/bridged";
import { labels } from "../labels";

const replace = true;
const computed = true;

export const volumeFields: Fields = {
  name: string({ replace, computed }),
  labels: labels({ replace }),
  driver: string({ replace, computed }),
  driverOpts: stringMap({ replace }),
  cluster: object({}, { unsupported: "swarm's cluster volumes are not offered by this plugin" }),
  mountpoint: string({ output: true }),
};

/** The bridge's note on the state's shape; see containerMeta. */
export const volumeMeta = '{"schema_version":"1"}';
