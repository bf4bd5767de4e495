/**
 * The gateway of a subnet, which the engine chooses where none is given. Pure.
 *
 * `GET /networks/ID` tells that choice only after a restart of dockerd: `reservePools` in moby's libnetwork/controller.go
 * then writes it into the configuration that the answer is made of. The network is the same before and after.
 */
import { isIPv4, isIPv6 } from "node:net";
import type { Props, Value } from "@berth/plugin-base";
import { objects, text } from "@berth/plugin-base/bridged";

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
  return isFirstAddress(text(config, "subnet") ?? "", text(config, "gateway") ?? "");
}

/** Whether `address` is the first one of `subnet` that a machine can have: `10.1.0.1` of `10.1.0.0/16`. */
export function isFirstAddress(subnet: string, address: string): boolean {
  const [base = "", length = ""] = subnet.split("/");
  const [from, at] = [bits(base), bits(address)];
  if (from === undefined || at === undefined || from.width !== at.width || !/^\d+$/.test(length))
    return false;
  const host = BigInt(Math.max(0, from.width - Number(length)));
  return at.value === ((from.value >> host) << host) + 1n;
}

function bits(address: string): { value: bigint; width: number } | undefined {
  if (isIPv4(address)) return { value: joined(address.split("."), 8, 10), width: 32 };
  if (!isIPv6(address) || address.includes("%")) return undefined;
  // The one way to write it: lower case, the longest run of zeros left out, no dotted end.
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const zeros = 8 - groups(head).length - groups(tail).length;
  return {
    value: joined([...groups(head), ...Array<string>(zeros).fill("0"), ...groups(tail)], 16, 16),
    width: 128,
  };
}

function joined(parts: readonly string[], width: number, radix: number): bigint {
  return parts.reduce((sum, part) => (sum << BigInt(width)) + BigInt(Number.parseInt(part, radix)), 0n);
}
