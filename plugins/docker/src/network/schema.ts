/**
 * `docker:index/network:Network` in version 5.2.0 of the official plugin. Every change replaces the network: the
 * engine has no update for it.
 */
import { boolean, type Fields, object, set, string, stringMap } from "@berth/plugin-base/bridged";
import { labels } from "../labels";

const replace = true;
const computed = true;

export const networkFields: Fields = {
  name: string({ replace }),
  labels: labels({ replace }),
  driver: string({ replace, computed }),
  /** The engine adds its default-network-opts (Docker 24 and newer), whatever is given. */
  options: stringMap({ replace, computed, completed: true }),
  internal: boolean({ replace, computed }),
  attachable: boolean({ replace }),
  ingress: boolean({ replace }),
  ipv6: boolean({ replace }),
  ipamDriver: string({ replace, default: "default" }),
  ipamOptions: stringMap({ replace }),
  ipamConfigs: set(
    object({ subnet: string(), ipRange: string(), gateway: string(), auxAddress: stringMap() }),
    { replace, computed },
  ),
  scope: string({ output: true }),
};

/** The bridge's note on the state's shape; see containerMeta. */
export const networkMeta = '{"schema_version":"1"}';
