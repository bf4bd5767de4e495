/**
 * The `cloudinit` plugin: of the official one the function that Berth calls, with its type token, names, defaults and
 * bytes. `main.ts` serves it.
 */
import type { ProviderSpec } from "@berth/plugin-base";
import { getConfigFunction } from "./get-config";

/** The SDK's version, which the engine asks for. */
export const version = "1.6.1";

export const cloudinitProvider: ProviderSpec = {
  name: "cloudinit",
  version,
  resources: {},
  functions: { "cloudinit:index/getConfig:getConfig": getConfigFunction },
};
