/** `@pulumi/cloudinit`: the official SDK's API, for networks whose npm registry has not got it. */
import * as pulumi from "@pulumi/pulumi";
import { Config } from "./config";
import { Provider } from "./provider";
import { getVersion } from "./utilities";

export { Config, type ConfigArgs, type ConfigState } from "./config";
export {
  type GetConfigArgs,
  type GetConfigOutputArgs,
  type GetConfigResult,
  getConfig,
  getConfigOutput,
} from "./getConfig";
export { Provider, type ProviderArgs } from "./provider";
export * as types from "./types";

// Lets the SDK make objects again of resources that come back as references.
pulumi.runtime.registerResourceModule("cloudinit", "index/config", {
  version: getVersion(),
  construct: (name, type, urn) => {
    if (type !== Config.__pulumiType) throw new Error(`unknown resource type ${type}`);
    return new Config(name, undefined, { urn });
  },
});
pulumi.runtime.registerResourcePackage("cloudinit", {
  version: getVersion(),
  constructProvider: (name, type, urn) => {
    if (type !== "pulumi:providers:cloudinit") throw new Error(`unknown provider type ${type}`);
    return new Provider(name, undefined, { urn });
  },
});
