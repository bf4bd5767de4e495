/** What the account holds, and what may be hooked into it. */
import type { ImageInfo } from "./catalog";

export interface KeyInfo {
  readonly id: number;
  readonly fingerprint: string;
  readonly publicKey: string;
  name: string;
}

export interface VpcInfo {
  readonly id: string;
  name: string;
  description: string;
  readonly region: string;
  readonly ipRange: string;
  readonly createdAt: string;
  default: boolean;
  /** Addresses handed out so far, counted from the start of the range. */
  used: number;
}

export interface DropletInfo {
  readonly id: number;
  name: string;
  readonly region: string;
  size: string;
  /** GiB; grows only where a resize says `disk`. */
  disk: number;
  image: ImageInfo;
  status: "new" | "active" | "off" | "archive";
  readonly createdAt: string;
  readonly tags: Set<string>;
  readonly volumeIds: string[];
  readonly snapshotIds: number[];
  readonly vpc: string;
  /** What the machine reads at its first boot; the API never gives it back. */
  readonly userData: string;
  readonly sshKeys: readonly KeyInfo[];
  readonly monitoring: boolean;
  backups: boolean;
  ipv6: boolean;
  readonly publicNetworking: boolean;
  /** Unset until the machine has been made. */
  publicAddress?: string;
  privateAddress?: string;
  publicAddress6?: string;
  /** The action under way; another one is refused until it ends. */
  pending?: number;
  /** Deleted, yet for a while still holding its volumes and its place in the VPC. */
  leaving: boolean;
}

export interface VolumeInfo {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly description: string;
  sizeGigabytes: number;
  readonly createdAt: string;
  readonly filesystemType: string;
  readonly filesystemLabel: string;
  /** The snapshot that it was made from. */
  readonly snapshot?: string;
  readonly tags: Set<string>;
  dropletId?: number;
  /** Action under way. */
  pending?: number;
}

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  readonly volume: string;
  readonly createdAt: string;
  readonly regions: string[];
  readonly sizeGigabytes: number;
  readonly tags: Set<string>;
}

export interface ReservedIpInfo {
  readonly ip: string;
  readonly region: string;
  project: string;
  dropletId?: number;
  pending?: number;
}

export interface RuleTarget {
  addresses?: string[];
  droplet_ids?: number[];
  load_balancer_uids?: string[];
  kubernetes_ids?: string[];
  tags?: string[];
}
export interface InboundRule {
  protocol: string;
  ports: string;
  sources: RuleTarget;
}
export interface OutboundRule {
  protocol: string;
  ports: string;
  destinations: RuleTarget;
}

export interface FirewallInfo {
  readonly id: string;
  name: string;
  status: "waiting" | "succeeded" | "failed";
  readonly createdAt: string;
  inbound: InboundRule[];
  outbound: OutboundRule[];
  dropletIds: Set<number>;
  tags: Set<string>;
  pendingChanges: { droplet_id: number; removing: boolean; status: string }[];
}

export interface RecordInfo {
  readonly id: number;
  type: string;
  name: string;
  data: string;
  priority: number | null;
  port: number | null;
  ttl: number;
  weight: number | null;
  flags: number | null;
  tag: string | null;
}

export interface DomainInfo {
  readonly name: string;
  readonly ttl: number;
  readonly records: Map<number, RecordInfo>;
}

export interface ProjectInfo {
  readonly id: string;
  name: string;
  description: string;
  purpose: string;
  environment: string;
  default: boolean;
  readonly createdAt: string;
  updatedAt: string;
  /** When each resource came, by its URN. */
  readonly resources: Map<string, string>;
}

export interface ActionInfo {
  readonly id: number;
  readonly type: string;
  status: "in-progress" | "completed" | "errored";
  readonly startedAt: string;
  completedAt: string | null;
  readonly resourceId: number;
  readonly resourceType: string;
  readonly region: string;
  /** UUID of the volume, or the address of the reserved IP, that the action is about. */
  readonly subject?: string;
  /** Why it ended in error; the API does not say. */
  error?: unknown;
}

/** Where a droplet can be reached, when something else than the server's own fiction was made. */
export interface Addresses {
  readonly public?: string;
  readonly private?: string;
  readonly public6?: string;
}

export type DropletEvent =
  | "create"
  | "destroy"
  | "power_on"
  | "power_off"
  | "reboot"
  | "resize"
  | "rename"
  | "rebuild"
  | "snapshot"
  | "enable_ipv6"
  | "enable_backups"
  | "disable_backups";

/**
 * What happens outside the server when something changes. The action (for deletions and firewalls: the change
 * behind the answer) ends when the returned promise does, and ends `errored` (a firewall: `failed`) when it rejects.
 * Events of one droplet come one after the other; a droplet deleted before its turn to be made brings none.
 */
export interface Hooks {
  /**
   * `shutdown` comes as `power_off`, `power_cycle` as `reboot`. For `create`, the addresses that it returns hold.
   * The droplet is the account's own object, as it was before the event.
   */
  onDroplet?(
    event: DropletEvent,
    droplet: Readonly<DropletInfo>,
    vpc: Readonly<VpcInfo>,
  ): Promise<Addresses | undefined> | Addresses | undefined;
  onVolume?(
    event: "attach" | "detach",
    volume: Readonly<VolumeInfo>,
    droplet: Readonly<DropletInfo>,
  ): Promise<void> | void;
  /** What becomes of a volume itself. A resize is told before the account shows it; a destroyed one is attached nowhere. */
  onStorage?(
    event: "resize" | "destroy",
    volume: Readonly<VolumeInfo>,
    sizeGigabytes: number,
  ): Promise<void> | void;
  /** `droplet` is undefined where the address is taken from one, or from the account. */
  onReservedIp?(ip: string, droplet: Readonly<DropletInfo> | undefined): Promise<void> | void;
  /**
   * After each change of rules, of the droplets that they hold for, or of those that they name by a tag; tags worked
   * out in `dropletIds`, none after `delete`.
   */
  onFirewall?(
    event: "create" | "update" | "delete",
    firewall: Readonly<FirewallInfo>,
    dropletIds: readonly number[],
  ): Promise<void> | void;
}

/** How many of each the account may have. */
export interface Limits {
  readonly droplets: number;
  readonly volumes: number;
  readonly reservedIps: number;
  readonly keys: number;
  readonly firewalls: number;
  readonly vpcs: number;
}
