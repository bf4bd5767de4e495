/** Droplets: from the program's inputs to the API, and from its answers to outputs. Pure. */
import {
  type CheckFailure,
  isUnknown,
  type PropertyChange,
  type Props,
  UNKNOWN,
  type Value,
} from "@berth/plugin-base";
import { bool, int, str, strings, sub, text } from "@berth/plugin-base/bridged";
import { lower, numeric, ownTags } from "../resource";
import { userDataDigest } from "./schema";

interface Address {
  readonly ip_address: string;
  readonly type: string;
}

export interface ApiDroplet {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly locked: boolean;
  readonly memory: number;
  readonly vcpus: number;
  readonly disk: number;
  readonly created_at: string;
  readonly size: { readonly slug: string; readonly price_hourly?: number; readonly price_monthly?: number };
  readonly size_slug?: string;
  readonly region: { readonly slug: string };
  readonly image?: { readonly id?: number; readonly slug?: string | null } | null;
  readonly features?: readonly string[] | null;
  readonly networks?: { readonly v4?: readonly Address[]; readonly v6?: readonly Address[] } | null;
  readonly volume_ids?: readonly string[] | null;
  readonly tags?: readonly string[] | null;
  readonly vpc_uuid?: string | null;
  readonly gpu_partition_mode?: string | null;
}

/** Rules over several properties; official. */
export function checkDroplet(inputs: Props): CheckFailure[] {
  const failures: CheckFailure[] = [];
  const backups = inputs.backups ?? false;
  if ((inputs.backupPolicy ?? null) !== null && backups === false) {
    failures.push({
      property: "backupPolicy",
      reason: "is given, but backups is off; set backups to true, or leave it out",
    });
  }
  const userData = inputs.userData;
  if (typeof userData === "string" && !isUnknown(userData) && Buffer.byteLength(userData) > 65_536) {
    const size = Buffer.byteLength(userData);
    failures.push({
      property: "userData",
      reason: `is ${size} bytes long; at most 65536 (64 KiB) are taken`,
    });
  }
  return failures;
}

/** @param tags beside those of the program. */
export function dropletBody(inputs: Props, tags: readonly string[] = []): Record<string, unknown> {
  const image = str(inputs, "image") ?? "";
  return {
    name: str(inputs, "name"),
    image: numeric(image) ?? image,
    region: text(inputs, "region")?.toLowerCase(),
    size: str(inputs, "size")?.toLowerCase(),
    ssh_keys: strings(inputs, "sshKeys")?.map((key) => numeric(key) ?? key),
    backups: bool(inputs, "backups") || undefined,
    backup_policy: policyBody(inputs),
    ipv6: bool(inputs, "ipv6") || undefined,
    private_networking: bool(inputs, "privateNetworking") || undefined,
    public_networking: bool(inputs, "publicNetworking") === false ? false : undefined,
    monitoring: bool(inputs, "monitoring") || undefined,
    with_droplet_agent: bool(inputs, "dropletAgent"),
    user_data: text(inputs, "userData"),
    volumes: strings(inputs, "volumeIds"),
    vpc_uuid: text(inputs, "vpcUuid"),
    gpu_partition_mode: text(inputs, "gpuPartitionMode"),
    tags: [...(strings(inputs, "tags") ?? []), ...tags],
  };
}

export function policyBody(inputs: Props): Record<string, unknown> | undefined {
  const policy = sub(inputs, "backupPolicy");
  if (policy === undefined) return undefined;
  return { plan: text(policy, "plan"), weekday: text(policy, "weekday"), hour: int(policy, "hour") ?? 0 };
}

/** As the official plugin keeps them: the user data's digest, slugs in lower case. */
export function storedDroplet(inputs: Props): Props {
  const out: Props = { ...inputs };
  const userData = inputs.userData ?? null;
  if (typeof userData === "string" && !isUnknown(userData)) out.userData = userDataDigest(userData);
  for (const key of ["region", "size"]) if ((inputs[key] ?? null) !== null) out[key] = lower(inputs[key]);
  return out;
}

/** What the API never tells: kept as the program gave it. */
const KEPT = [
  "image",
  "backupPolicy",
  "dropletAgent",
  "gpuPartitionMode",
  "gracefulShutdown",
  "resizeDisk",
  "sshKeys",
  "userData",
];

/** @param known empty for an import. */
export function dropletState(droplet: ApiDroplet, known: Props): Props {
  const v4 = droplet.networks?.v4 ?? [];
  const publicAddress = addressOf(v4, "public");
  const kept: Record<string, Value> = Object.fromEntries(KEPT.map((key) => [key, known[key] ?? null]));
  if (Object.keys(known).length === 0) {
    kept.image = droplet.image?.slug || String(droplet.image?.id ?? "");
    kept.resizeDisk = true;
  }
  if (droplet.gpu_partition_mode) kept.gpuPartitionMode = droplet.gpu_partition_mode;
  const has = (feature: string): boolean => droplet.features?.includes(feature) ?? false;
  return {
    ...kept,
    gracefulShutdown: kept.gracefulShutdown ?? false,
    name: droplet.name,
    region: droplet.region.slug,
    size: droplet.size.slug,
    dropletUrn: `do:droplet:${droplet.id}`,
    priceHourly: droplet.size.price_hourly ?? 0,
    priceMonthly: droplet.size.price_monthly ?? 0,
    disk: droplet.disk,
    vcpus: droplet.vcpus,
    memory: droplet.memory,
    status: droplet.status,
    locked: droplet.locked,
    createdAt: droplet.created_at,
    vpcUuid: droplet.vpc_uuid ?? "",
    ipv4Address: publicAddress,
    ipv4AddressPrivate: addressOf(v4, "private"),
    ipv6Address: addressOf(droplet.networks?.v6 ?? [], "public").toLowerCase(),
    publicNetworking: publicAddress !== "",
    backups: has("backups"),
    ipv6: has("ipv6"),
    privateNetworking: has("private_networking"),
    monitoring: has("monitoring"),
    volumeIds: [...(droplet.volume_ids ?? [])],
    tags: ownTags(droplet.tags),
  };
}

function addressOf(addresses: readonly Address[], type: string): string {
  return addresses.find((address) => address.type === type)?.ip_address ?? "";
}

/** IPv6 can be turned on, never off. */
export function dropletChange(change: PropertyChange, olds: Props, news: Props): PropertyChange {
  const off = change.path[0] === "ipv6" && bool(olds, "ipv6") === true && bool(news, "ipv6") !== true;
  return off ? { ...change, replace: true } : change;
}

/** The address is only known once IPv6 is on. */
export function dropletPreview(outs: Props, olds: Props): Props {
  const turnsOn = bool(outs, "ipv6") === true && bool(olds, "ipv6") !== true;
  return turnsOn ? { ...outs, ipv6Address: UNKNOWN } : outs;
}
