/** The account: everything that it holds, and the rules that more than one resource shares. */
import { ApiError, notFound, unprocessable } from "../errors";
import { type Delay, finish, Works } from "./actions";
import { type ImageInfo, publicImages, regions, type SizeInfo, sizes } from "./catalog";
import { overlap, parseRange, size as rangeSize, toAddress } from "./cidr";
import { Ids } from "./ids";
import type {
  ActionInfo,
  Addresses,
  DomainInfo,
  DropletEvent,
  DropletInfo,
  FirewallInfo,
  Hooks,
  KeyInfo,
  Limits,
  ProjectInfo,
  ReservedIpInfo,
  SnapshotInfo,
  VolumeInfo,
  VpcInfo,
} from "./types";

export interface WorldOptions {
  readonly hooks: Hooks;
  readonly limits: Limits;
  readonly delay: Delay;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly reservedFrom?: number;
}

export class World {
  readonly ids: Ids;
  readonly works: Works;
  readonly keys = new Map<number, KeyInfo>();
  readonly images = new Map<number, ImageInfo>(publicImages().map((image) => [image.id, image]));
  readonly vpcs = new Map<string, VpcInfo>();
  readonly droplets = new Map<number, DropletInfo>();
  readonly volumes = new Map<string, VolumeInfo>();
  readonly snapshots = new Map<string, SnapshotInfo>();
  readonly reservedIps = new Map<string, ReservedIpInfo>();
  readonly firewalls = new Map<string, FirewallInfo>();
  readonly domains = new Map<string, DomainInfo>();
  readonly projects = new Map<string, ProjectInfo>();
  readonly actions = new Map<number, ActionInfo>();
  /** Names in the capitalisation in which each was first made. */
  readonly tags = new Set<string>();
  private readonly turns = new Map<number, Promise<undefined>>();
  /** Address of the server, for links. */
  url = "";

  constructor(private readonly options: WorldOptions) {
    this.ids = new Ids(options.reservedFrom);
    this.works = new Works(options.delay);
    const project = this.addProject({
      name: "first-project",
      description: "Update your project information under Settings",
      purpose: "Just trying out DigitalOcean",
      environment: "Development",
    });
    project.default = true;
  }

  get hooks(): Hooks {
    return this.options.hooks;
  }
  get limits(): Limits {
    return this.options.limits;
  }

  now(): string {
    return new Date(this.options.clock()).toISOString().replace(/\.\d+Z$/, "Z");
  }

  /** Starts an action: `work` is what it does when its time has come, `after` runs whatever came of it. */
  act(
    about: { type: string; resourceId: number; resourceType: string; region: string; subject?: string },
    work: () => unknown,
    after?: (action: ActionInfo) => void,
  ): ActionInfo {
    const action: ActionInfo = {
      ...about,
      id: this.ids.number("action"),
      status: "in-progress",
      startedAt: this.now(),
      completedAt: null,
    };
    this.actions.set(action.id, action);
    this.works.start(about.type, work, (error) => {
      finish(action, this.now(), error);
      after?.(action);
    });
    return action;
  }

  addProject(fields: Pick<ProjectInfo, "name" | "description" | "purpose" | "environment">): ProjectInfo {
    const at = this.now();
    const id = this.ids.uuid("project");
    const project = { ...fields, id, default: false, createdAt: at, updatedAt: at, resources: new Map() };
    this.projects.set(id, project);
    return project;
  }

  defaultProject(): ProjectInfo {
    return [...this.projects.values()].find((project) => project.default) as ProjectInfo;
  }

  /** Puts a resource into a project, out of the one that held it. */
  assign(urn: string, project: ProjectInfo): void {
    for (const { resources } of this.projects.values()) resources.delete(urn);
    project.resources.set(urn, this.now());
  }

  forget(urn: string): void {
    for (const { resources } of this.projects.values()) resources.delete(urn);
  }

  droplet(id: string | number): DropletInfo {
    const droplet = this.droplets.get(Number(id));
    if (droplet === undefined || droplet.leaving) throw notFound();
    return droplet;
  }

  /** Droplets that can be seen, oldest first. */
  liveDroplets(): DropletInfo[] {
    return [...this.droplets.values()].filter(({ leaving }) => !leaving);
  }

  region(slug: string): string {
    if (!regions.has(slug)) throw unprocessable("You specified an invalid region.");
    return slug;
  }

  size(slug: string): SizeInfo {
    const size = sizes.find((candidate) => candidate.slug === slug);
    if (size === undefined) throw unprocessable("You specified an invalid size for Droplet creation.");
    return size;
  }

  image(reference: string | number): ImageInfo | undefined {
    return [...this.images.values()].find(
      ({ id, slug }) => slug === reference || String(id) === String(reference),
    );
  }

  /** Tags are made where a request names new ones; gives their canonical names. */
  useTags(names: readonly string[]): string[] {
    return names.map((name) => {
      if (!/^[a-zA-Z0-9_\-:]{1,255}$/.test(name))
        throw unprocessable("Tag names may only contain letters, numbers, colons, dashes and underscores.");
      const known = this.findTag(name);
      if (known === undefined) this.tags.add(name);
      return known ?? name;
    });
  }

  findTag(name: string): string | undefined {
    return [...this.tags].find((tag) => tag.toLowerCase() === name.toLowerCase());
  }

  /** The region's default VPC; made when it is first needed, as the account's is. */
  defaultVpc(region: string): VpcInfo {
    const there = [...this.vpcs.values()].find((vpc) => vpc.region === region && vpc.default);
    if (there !== undefined) return there;
    const vpc = this.addVpc({
      name: `default-${region}`,
      description: "",
      region,
      ipRange: this.freeRange(),
    });
    vpc.default = true;
    return vpc;
  }

  /** A /20 that meets no other VPC. */
  freeRange(): string {
    for (let second = 100; second < 256; second++) {
      const range = `10.${second}.0.0/20`;
      if (this.vpcOver(range) === undefined) return range;
    }
    throw unprocessable("no free range is left");
  }

  /** A VPC whose range overlaps. */
  vpcOver(ipRange: string): VpcInfo | undefined {
    const range = parseRange(ipRange);
    if (range === undefined) return undefined;
    return [...this.vpcs.values()].find((vpc) => {
      const other = parseRange(vpc.ipRange);
      return other !== undefined && overlap(range, other);
    });
  }

  addVpc(fields: Pick<VpcInfo, "name" | "description" | "region" | "ipRange">): VpcInfo {
    // The first addresses of a range are the provider's own.
    const vpc = { ...fields, id: this.ids.uuid("vpc"), createdAt: this.now(), default: false, used: 1 };
    this.vpcs.set(vpc.id, vpc);
    return vpc;
  }

  /** The next free private address of the VPC. */
  privateAddress(vpc: VpcInfo): string {
    const range = parseRange(vpc.ipRange);
    vpc.used += 1;
    if (range === undefined || vpc.used >= rangeSize(range) - 1)
      throw unprocessable("no address is left in the VPC");
    return toAddress(range.first + vpc.used);
  }

  quota(kind: keyof Limits, used: number, adding: number, message: string): void {
    if (used + adding > this.limits[kind]) throw new ApiError(422, message);
  }

  /** Tells the hook of a droplet's event, after the earlier events of that droplet. */
  tell(event: DropletEvent, droplet: DropletInfo): Promise<Addresses | undefined> {
    const earlier = this.turns.get(droplet.id) ?? Promise.resolve();
    const turn = earlier.then(() =>
      this.hooks.onDroplet?.(event, droplet, this.vpcs.get(droplet.vpc) as VpcInfo),
    );
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.turns.set(droplet.id, settled);
    return turn;
  }

  /** Whether a hook has been told that the droplet is made. */
  wasMade(droplet: DropletInfo): boolean {
    return this.turns.has(droplet.id);
  }

  /** Ids of the droplets that the firewall holds for: named ones and those that carry one of its tags. */
  covered(firewall: FirewallInfo): number[] {
    return this.liveDroplets()
      .filter(
        ({ id, tags }) => firewall.dropletIds.has(id) || [...firewall.tags].some((tag) => tags.has(tag)),
      )
      .map(({ id }) => id);
  }

  /** Says that a firewall changed; `before` is what it covered until now. */
  firewallChanged(
    event: "create" | "update" | "delete",
    firewall: FirewallInfo,
    before: readonly number[],
  ): void {
    const now = event === "delete" ? [] : this.covered(firewall);
    const change = (droplet_id: number, removing: boolean) => ({ droplet_id, removing, status: "waiting" });
    firewall.status = "waiting";
    firewall.pendingChanges = [
      ...now.map((id) => change(id, false)),
      ...before.filter((id) => !now.includes(id)).map((id) => change(id, true)),
    ];
    const changes = firewall.pendingChanges;
    this.works.start(
      "firewall",
      () => this.hooks.onFirewall?.(event, firewall, now),
      (error) => {
        // A later change has its own end.
        if (firewall.pendingChanges !== changes) return;
        firewall.pendingChanges = [];
        firewall.status = error === undefined ? "succeeded" : "failed";
      },
    );
  }

  /** Runs a change of droplets or their tags and tells every firewall whose droplets it changed. */
  regroup(change: () => void): void {
    const state = (firewall: FirewallInfo) => ({
      covered: this.covered(firewall),
      named: this.named(firewall),
    });
    const before = new Map([...this.firewalls.values()].map((firewall) => [firewall, state(firewall)]));
    change();
    for (const [firewall, { covered, named }] of before) {
      const now = state(firewall);
      if (now.covered.join() !== covered.join() || now.named.join() !== named.join())
        this.firewallChanged("update", firewall, covered);
    }
  }

  /** Ids of the droplets that the firewall's rules name by a tag, as where traffic may come from or go to. */
  private named({ inbound, outbound }: FirewallInfo): number[] {
    const targets = [...inbound.map(({ sources }) => sources), ...outbound.map((rule) => rule.destinations)];
    const tags = targets.flatMap((target) => target.tags ?? []);
    return this.liveDroplets()
      .filter((droplet) => tags.some((tag) => droplet.tags.has(tag)))
      .map(({ id }) => id);
  }
}
