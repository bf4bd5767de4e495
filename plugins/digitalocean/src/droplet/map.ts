/** Droplets: from the program's inputs to the API, and from its answers to outputs. Pure. */
import {
  type CheckFailure,
  isUnknown,
  type PropertyChange,
  type Props,
  UNKNOWN,
  type Value,
} from "@berth/plugin-base";
import { bool, str, strings, text } from "@berth/plugin-base/bridged";
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
  readonly size: { readonly slug: string };
  readonly region: { readonly slug: string };
  readonly image?: { readonly id?: number; readonly slug?: string | null } | null;
  readonly features?: readonly string[] | null;
  readonly networks?: { readonly v4?: readonly Address[]; readonly v6?: readonly Address[] } | null;
  readonly volume_ids?: readonly string[] | null;
  readonly tags?: readonly string[] | null;
  readonly vpc_uuid?: string | null;
}

/** Official. */
export function checkDroplet({ userData }: Props): CheckFailure[] {
  const size = typeof userData === "string" && !isUnknown(userData) ? Buffer.byteLength(userData) : 0;
  if (size <= 65_536) return [];
  return [{ property: "userData", reason: `is ${size} bytes long; at most 65536 (64 KiB) are taken` }];
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
    ipv6: bool(inputs, "ipv6") || undefined,
    monitoring: bool(inputs, "monitoring") || undefined,
    user_data: text(inputs, "userData"),
    vpc_uuid: text(inputs, "vpcUuid"),
    tags: [...(strings(inputs, "tags") ?? []), ...tags],
  };
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
const KEPT = ["image", "gracefulShutdown", "resizeDisk", "sshKeys", "userData"];

/** @param known empty for an import. */
export function dropletState(droplet: ApiDroplet, known: Props): Props {
  const { id, image, networks } = droplet;
  const kept: Record<string, Value> = Object.fromEntries(KEPT.map((key) => [key, known[key] ?? null]));
  if (Object.keys(known).length === 0) {
    kept.image = image?.slug || String(image?.id ?? "");
    kept.resizeDisk = true;
  }
  const has = (feature: string): boolean => droplet.features?.includes(feature) ?? false;
  return {
    ...kept,
    gracefulShutdown: kept.gracefulShutdown ?? false,
    name: droplet.name,
    region: droplet.region.slug,
    size: droplet.size.slug,
    dropletUrn: `do:droplet:${id}`,
    status: droplet.status,
    vpcUuid: droplet.vpc_uuid ?? "",
    ipv4Address: addressOf(networks?.v4, "public"),
    ipv4AddressPrivate: addressOf(networks?.v4, "private"),
    ipv6Address: addressOf(networks?.v6, "public").toLowerCase(),
    backups: has("backups"),
    ipv6: has("ipv6"),
    monitoring: has("monitoring"),
    tags: ownTags(droplet.tags),
  };
}

function addressOf(addresses: readonly Address[] = [], type: string): string {
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
