/**
 * The `cloudinit` plugin: all of the official one, whose type tokens, names, defaults and bytes it has. `main.ts`
 * serves it.
 */
import type { ProviderSpec } from "@berth/plugin-base";
import { configType, getConfigFunction } from "./config";

/** The SDK's version: state changes hands between this plugin and the official one of that version. */
export const version = "1.6.1";

export const cloudinitProvider: ProviderSpec = {
  name: "cloudinit",
  version,
  resources: { "cloudinit:index/config:Config": configType },
  functions: { "cloudinit:index/getConfig:getConfig": getConfigFunction },
};
