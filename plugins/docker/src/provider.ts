/** The plugin: its configuration, and the table of its resource types. */
import { type Bag, ProviderError, type ProviderSpec } from "@berth/plugin-base";
import { strings, text } from "@berth/plugin-base/bridged";
import { defaultHost } from "./config/host";
import { configSchema } from "./config/schema";
import { containerType } from "./container";
import { Engine, type EngineConfig } from "./engine/engine";
import { remoteImageType } from "./image";
import { networkType } from "./network";
import { volumeType } from "./volume";

/** Equal to the version of the `@pulumi/docker` package that the program uses. */
export const version = "5.2.0";

/**
 * @param env where DOCKER_HOST is looked up when `host` is absent, as in the official plugin.
 * @returns what an {@link Engine} needs. Pure.
 */
export function engineConfig(
  config: Bag,
  env: Readonly<Record<string, string | undefined>> = process.env,
): EngineConfig {
  return {
    host: text(config.values, "host") ?? (env.DOCKER_HOST || defaultHost),
    sshOpts: strings(config.values, "sshOpts") ?? [],
  };
}

export function dockerProvider(): ProviderSpec {
  let current: Engine | undefined;
  const engine = (): Engine => {
    if (current === undefined) throw new ProviderError("the docker provider was not configured");
    return current;
  };
  return {
    name: "docker",
    version,
    config: configSchema,
    resources: {
      "docker:index/container:Container": containerType(engine),
      "docker:index/network:Network": networkType(engine),
      "docker:index/remoteImage:RemoteImage": remoteImageType(engine),
      "docker:index/volume:Volume": volumeType(engine),
    },
    configure(config) {
      try {
        current = new Engine(engineConfig(config));
      } catch (error) {
        throw new ProviderError((error as Error).message);
      }
    },
  };
}
