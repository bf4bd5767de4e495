/**
 * The gateway of a subnet, which the engine chooses where none is given. Pure.
 *
 * `GET /networks/ID` tells that choice only after a restart of dockerd: `reservePools` in moby's libnetwork/controller.go
 * then writes it into the configuration that the answer is made of. The network is the same before and after.
 */
import type { Props, Value } from "@berth/plugin-base";
import { objects, text } from "@berth/plugin-base/bridged";
import { isFirstHost } from "../../../../core/net";

/**
 * `configs` with the gateways told as `other` tells them, wherever only one of the two names a gateway and that one
 * is the engine's own choice.
 *
 * @param configs `ipamConfigs` of a state, or of an answer.
 * @param other `ipamConfigs` to compare them with.
 */
export function toldAlike(configs: Value, other: Value): Value {
  if (!Array.isArray(configs)) return configs;
  const others = objects({ other }, "other");
  return objects({ configs }, "configs").map((config) => {
    const twin = others.find((entry) => same(entry, config, "subnet") && same(entry, config, "ipRange"));
    if (twin === undefined) return config;
    const [mine, its] = [text(config, "gateway"), text(twin, "gateway")];
    if ((mine === undefined) === (its === undefined)) return config;
    return isChosen(mine === undefined ? twin : config) ? { ...config, gateway: its ?? "" } : config;
  });
}

const same = (a: Props, b: Props, key: string): boolean => text(a, key) === text(b, key);

/** A range moves the choice into it, to an address that differs by the engine's version. */
function isChosen(config: Props): boolean {
  if (text(config, "ipRange") !== undefined) return true;
  return isFirstHost(text(config, "subnet") ?? "", text(config, "gateway") ?? "");
}
