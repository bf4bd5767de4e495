/** Between a network's inputs, the Engine API, and its outputs. Pure. */
import type { Props, Value } from "@berth/plugin-base";
import { asKnown, bool, map, objects, plainProps, str, text } from "@berth/plugin-base/bridged";
import { labelList, labelMap } from "../labels";
import { toldAlike } from "./gateway";
import { networkFields, networkMeta } from "./schema";

/** The part of `GET /networks/ID` that is read. */
export interface NetworkInspect {
  Id: string;
  Name: string;
  Scope: string;
  Driver: string;
  EnableIPv6?: boolean;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  Labels?: Record<string, string> | null;
  Options?: Record<string, string> | null;
  IPAM?: {
    Driver?: string;
    Options?: Record<string, string> | null;
    Config?:
      | {
          Subnet?: string;
          IPRange?: string;
          Gateway?: string;
          AuxiliaryAddresses?: Record<string, string> | null;
        }[]
      | null;
  };
  Containers?: Record<string, { Name?: string }> | null;
}

/** Body of `POST /networks/create`. */
export function networkBody(inputs: Props): Record<string, unknown> {
  const configs = objects(inputs, "ipamConfigs").map((config) =>
    present({
      Subnet: text(config, "subnet"),
      IPRange: text(config, "ipRange"),
      Gateway: text(config, "gateway"),
      AuxiliaryAddresses: map(config, "auxAddress"),
    }),
  );
  return {
    Name: str(inputs, "name"),
    // Engines before API 1.44 make a second network of the same name unless told not to.
    CheckDuplicate: true,
    IPAM: present({
      Driver: text(inputs, "ipamDriver") ?? "default",
      Config: configs.length === 0 ? undefined : configs,
      Options: map(inputs, "ipamOptions"),
    }),
    ...present({
      Driver: text(inputs, "driver"),
      Options: map(inputs, "options"),
      Labels: labelMap(inputs, "labels"),
      Internal: bool(inputs, "internal") || undefined,
      Attachable: bool(inputs, "attachable") || undefined,
      Ingress: bool(inputs, "ingress") || undefined,
      // Absent, the engine's default-network-opts (Docker 24 and newer) would decide.
      EnableIPv6: bool(inputs, "ipv6") ?? false,
    }),
  };
}

/** @param known as in containerState: values that mean the same keep this order. */
export function networkState(network: NetworkInspect, known: Props): Props {
  const out: Props = {
    __meta: networkMeta,
    id: network.Id,
    name: network.Name,
    driver: network.Driver,
    scope: network.Scope,
    internal: network.Internal ?? false,
    attachable: network.Attachable ?? false,
    ingress: network.Ingress ?? false,
    ipv6: network.EnableIPv6 ?? false,
    options: network.Options ?? {},
    labels: labelList(network.Labels),
    ipamDriver: network.IPAM?.Driver ?? "default",
    ipamConfigs: (network.IPAM?.Config ?? []).map((config): Value => {
      const entry: Props = {
        subnet: config.Subnet ?? "",
        ipRange: config.IPRange ?? "",
        gateway: config.Gateway ?? "",
      };
      if (config.AuxiliaryAddresses) entry.auxAddress = config.AuxiliaryAddresses;
      return entry;
    }),
  };
  if (Object.keys(network.IPAM?.Options ?? {}).length > 0) out.ipamOptions = network.IPAM?.Options as Value;
  const kept = plainProps(known);
  out.ipamConfigs = toldAlike(out.ipamConfigs ?? null, kept.ipamConfigs ?? null);
  return asKnown(networkFields, out, kept);
}

function present(bag: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(bag).filter(([, value]) => value !== undefined));
}
