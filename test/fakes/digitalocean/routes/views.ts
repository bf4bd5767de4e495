/** State as the API writes it. */
import {
  type ActionInfo,
  type DropletInfo,
  type FirewallInfo,
  type ImageInfo,
  netmask,
  parseRange,
  type ReservedIpInfo,
  regionFeatures,
  regions,
  regionsOf,
  type SizeInfo,
  sizesIn,
  type VolumeInfo,
  type VpcInfo,
  type World,
} from "../world";

export const regionView = (slug: string) => ({
  name: regions.get(slug) ?? slug,
  slug,
  features: regionFeatures,
  available: true,
  sizes: sizesIn(slug),
});

const disks = (amount: number) => [{ type: "local", size: { amount, unit: "gib" } }];

export const gpuView = ({ gpu }: SizeInfo) =>
  gpu && { gpu_info: { count: gpu.count, model: gpu.model, vram: { amount: gpu.vramGib, unit: "gib" } } };

export const sizeView = (size: SizeInfo) => ({
  slug: size.slug,
  memory: size.memory,
  vcpus: size.vcpus,
  disk: size.disk,
  transfer: Math.max(1, size.vcpus * 2),
  price_monthly: size.monthly,
  price_hourly: Number((size.monthly / 672).toFixed(5)),
  regions: regionsOf(size),
  available: true,
  description: size.description,
  disk_info: disks(size.disk),
  ...gpuView(size),
});

export const imageView = (image: ImageInfo) => ({
  id: image.id,
  name: image.name,
  distribution: image.distribution,
  slug: image.slug,
  public: image.type === "base",
  regions: image.regions,
  created_at: image.createdAt,
  type: image.type,
  min_disk_size: image.minDisk,
  size_gigabytes: image.sizeGigabytes,
  description: "",
  tags: [...image.tags],
  status: "available",
  error_message: "",
});

export const vpcView = (vpc: VpcInfo) => ({
  id: vpc.id,
  urn: `do:vpc:${vpc.id}`,
  name: vpc.name,
  description: vpc.description,
  region: vpc.region,
  ip_range: vpc.ipRange,
  created_at: vpc.createdAt,
  default: vpc.default,
});

function networks(world: World, droplet: DropletInfo): object {
  const v4: object[] = [];
  const range = parseRange(world.vpcs.get(droplet.vpc)?.ipRange ?? "");
  if (droplet.privateAddress !== undefined)
    v4.push({
      ip_address: droplet.privateAddress,
      netmask: range === undefined ? "255.255.0.0" : netmask(range),
      gateway: "",
      type: "private",
    });
  if (droplet.publicAddress !== undefined)
    v4.push({
      ip_address: droplet.publicAddress,
      netmask: "255.255.240.0",
      gateway: droplet.publicAddress.replace(/\.\d+\.\d+$/, ".0.1"),
      type: "public",
    });
  for (const { ip, dropletId } of world.reservedIps.values())
    if (dropletId === droplet.id)
      v4.push({
        ip_address: ip,
        netmask: "255.255.240.0",
        gateway: ip.replace(/\.\d+\.\d+$/, ".0.1"),
        type: "public",
      });
  const v6 =
    droplet.publicAddress6 === undefined
      ? []
      : [{ ip_address: droplet.publicAddress6, netmask: 64, gateway: "2001:db8::1", type: "public" }];
  return { v4, v6 };
}

export function dropletView(world: World, droplet: DropletInfo): object {
  const size = world.size(droplet.size);
  const features = [
    droplet.backups && "backups",
    droplet.monitoring && "monitoring",
    droplet.ipv6 && "ipv6",
    "droplet_agent",
    "private_networking",
  ].filter(Boolean);
  return {
    id: droplet.id,
    name: droplet.name,
    memory: size.memory,
    vcpus: size.vcpus,
    disk: droplet.disk,
    disk_info: disks(droplet.disk),
    locked: droplet.pending !== undefined,
    status: droplet.status,
    kernel: null,
    created_at: droplet.createdAt,
    features,
    backup_ids: [],
    next_backup_window: null,
    snapshot_ids: droplet.snapshotIds,
    image: imageView(droplet.image),
    volume_ids: droplet.volumeIds,
    size: sizeView(size),
    size_slug: size.slug,
    networks: networks(world, droplet),
    region: regionView(droplet.region),
    tags: [...droplet.tags],
    vpc_uuid: droplet.vpc,
    ...gpuView(size),
  };
}

export const volumeView = (volume: VolumeInfo) => ({
  id: volume.id,
  name: volume.name,
  region: regionView(volume.region),
  description: volume.description,
  size_gigabytes: volume.sizeGigabytes,
  created_at: volume.createdAt,
  droplet_ids: volume.dropletId === undefined ? [] : [volume.dropletId],
  tags: [...volume.tags],
  filesystem_type: volume.filesystemType,
  filesystem_label: volume.filesystemLabel,
});

export function reservedIpView(world: World, reserved: ReservedIpInfo): object {
  const droplet = reserved.dropletId === undefined ? undefined : world.droplets.get(reserved.dropletId);
  return {
    ip: reserved.ip,
    region: regionView(reserved.region),
    droplet: droplet === undefined ? null : dropletView(world, droplet),
    locked: reserved.pending !== undefined,
    project_id: reserved.project,
  };
}

export const firewallView = (firewall: FirewallInfo) => ({
  id: firewall.id,
  name: firewall.name,
  status: firewall.status,
  inbound_rules: firewall.inbound,
  outbound_rules: firewall.outbound,
  created_at: firewall.createdAt,
  droplet_ids: [...firewall.dropletIds],
  tags: [...firewall.tags],
  pending_changes: firewall.pendingChanges,
});

export const actionView = (action: ActionInfo) => ({
  id: action.id,
  status: action.status,
  type: action.type,
  started_at: action.startedAt,
  completed_at: action.completedAt,
  resource_id: action.resourceId,
  resource_type: action.resourceType,
  region: regionView(action.region),
  region_slug: action.region,
});

/** Where an answer points to an action. */
export const actionLink = (world: World, action: ActionInfo, rel = action.type) => ({
  id: action.id,
  rel,
  href: `${world.url}/v2/actions/${action.id}`,
});
