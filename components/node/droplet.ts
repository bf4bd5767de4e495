import * as cloudinit from "@pulumi/cloudinit";
import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import { renderUserData } from "../../cloud-init";
import type { DigitaloceanNodePlan, VolumePlan } from "../../config";
import { physicalName, volumeName } from "../../core/containers";
import type { Account } from "../digitalocean";
import { nodeHostKey, operatorKey } from "../secrets";
import { type Transform, transformed } from "../transform";
import { type Connection, knownHostsLine, sshConnection } from "./connection";
import { placeNodeFiles } from "./files";
import { giveOwnHostKey } from "./host-key";
import type { Node } from "./types";

export interface DropletNodeArgs {
  stack: string;
  plan: DigitaloceanNodePlan;
  account: Account;
  /**
   * Public keys of operators, beside Berth's own.
   * @example ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sVLBFoRzHQYyDZrHPwXfjMVBL2zHkUSo5nZ6QbQ3p carol"]
   */
  sshKeys: readonly string[];
  tags: readonly string[];
  /**
   * A zone of the account in which the node gets the records STACK and *.STACK.
   * @default none
   * @example "example.com"
   */
  domain?: string;
  /** The stack's seed. */
  seed: pulumi.Output<string>;
  /** True: what holds data is protected. */
  production: boolean;
  /**
   * Changes children; `volume` and `record` are each of their kind.
   * @default none
   * @example { record: () => ({ args: { ttl: 60 } }) }
   */
  transform?: {
    droplet?: Transform<digitalocean.DropletArgs>;
    volume?: Transform<digitalocean.VolumeArgs>;
    reservedIp?: Transform<digitalocean.ReservedIpArgs>;
    record?: Transform<digitalocean.DnsRecordArgs>;
  };
}

/** Names the node whose user data may change now: `npm run node -- replace` sets it. */
const REPLACED = "BERTH_REPLACE_NODE";

/** A machine that installs itself: refused and unanswered tries for up to 10 minutes. */
const FIRST_DIAL = { dialErrorLimit: 100, perDialTimeout: 10 } as const;

/**
 * A node that is a droplet, made with our host key, so that the first connection is checked already. That key stays in its
 * user data for ever, so the first connection gives the droplet another one, which all later ones ask for.
 *
 * Creates: a `digitalocean:Droplet`; one `command:local:Command`, which gives it its own host key; for each volume of the plan a
 * `Volume` and its `VolumeAttachment`; where asked for a `ReservedIp` with its assignment, `DnsRecord`s, `ProjectResources`.
 * Needs: the `Account`, and its token; the port of SSH open to this computer in the cloud firewall.
 * Footprint: what size, volumes, backups and an unused reserved IP cost. On the droplet what its user data installs at the first boot
 * (`cloud-init/`), and its host key. On this computer the stack's key and the node's known hosts (`secrets/files.ts`).
 *
 * User data is read once, at the first boot. When it changes, the droplet stays as it is and the preview says so.
 */
export class DropletNode extends pulumi.ComponentResource implements Node {
  readonly plan: DigitaloceanNodePlan;
  readonly address: pulumi.Output<string>;
  readonly privateAddress: pulumi.Output<string>;
  readonly hostKey: pulumi.Output<string>;
  readonly connection: Connection;
  readonly sshOptions: pulumi.Output<string[]>;
  readonly machine: pulumi.CustomResource;
  readonly dial = FIRST_DIAL;
  /** The storage stage comes after them. */
  readonly attachments: pulumi.Resource[];
  /** SHA-256 of the user data that a new machine would get. */
  readonly userData: pulumi.Output<string>;

  constructor(name: string, args: DropletNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:node:DropletNode", name, {}, opts);
    const { plan, stack, account, seed } = args;
    this.plan = plan;
    const child = { parent: this, provider: account.provider };
    const rendered = seed.apply((value) =>
      renderUserData({
        node: plan.name,
        hostKey: nodeHostKey(value, plan.name),
        login: { name: plan.sshUser, keys: [`${operatorKey(value).publicKey} berth`, ...args.sshKeys] },
      }),
    );
    this.userData = pulumi.unsecret(rendered.sha256);
    // DigitalOcean takes text, and cloud-init reads it as it is.
    const document = cloudinit.getConfigOutput(
      { gzip: false, base64Encode: false, parts: rendered.parts },
      { parent: this },
    );
    const fresh = process.env[REPLACED] === plan.name;
    const droplet = new digitalocean.Droplet(
      ...transformed(
        args.transform?.droplet,
        name,
        {
          name: physicalName(stack, plan.name),
          region: plan.region,
          size: plan.size,
          image: plan.image,
          vpcUuid: account.vpc.id,
          // Without a key, DigitalOcean mails a root password, which is expired and shuts keys out too.
          sshKeys: [account.key.id],
          userData: pulumi.secret(document.rendered),
          tags: [account.tag.name, ...args.tags],
          monitoring: plan.monitoring,
          ipv6: plan.ipv6,
          backups: plan.backups,
          // What is being written gets to the disk and the volumes.
          gracefulShutdown: true,
        },
        {
          ...child,
          // Both count at the first boot alone; a change of them must never replace a machine by itself.
          ignoreChanges: fresh ? [] : ["userData", "sshKeys"],
          // It carries a tag of the firewall from its first moment.
          dependsOn: [account.firewall],
          // A volume cannot hang on two machines, and a name in the cluster means one.
          deleteBeforeReplace: true,
          protect: args.production && homesOnOwnDisk(plan),
          additionalSecretOutputs: ["userData"],
          customTimeouts: { create: "20m", update: "30m", delete: "10m" },
        },
      ),
    );
    const dropletId = droplet.id.apply(Number);
    const volumes = plan.volumes.map((volume) => this.volume(name, args, volume, dropletId, droplet));
    this.attachments = volumes.map(({ attachment }) => attachment);

    const address = plan.reservedIp ? this.reservedIp(name, args, dropletId, droplet) : droplet.ipv4Address;
    if (args.domain !== undefined) this.records(name, args, address, args.domain, droplet);
    if (account.project)
      new digitalocean.ProjectResources(
        `${name}-project`,
        {
          project: account.project.id,
          resources: [droplet.dropletUrn, ...volumes.map(({ volume }) => volume.volumeUrn)],
        },
        child,
      );

    this.address = address;
    this.privateAddress = droplet.ipv4AddressPrivate;
    this.hostKey = giveOwnHostKey(
      `${name}-host-key`,
      { plan, address, machine: droplet, seed },
      { parent: this },
    );
    this.connection = sshConnection({
      address,
      port: plan.sshPort,
      user: plan.sshUser,
      privateKey: seed.apply((value) => operatorKey(value).privateKey),
      hostKey: this.hostKey,
    });
    this.sshOptions = placeNodeFiles({
      stack,
      node: plan.name,
      knownHosts: pulumi
        .all([address, this.hostKey])
        .apply(([host, key]) => knownHostsLine(host, plan.sshPort, key)),
      seed,
    });
    this.machine = droplet;
    this.registerOutputs({ address, privateAddress: this.privateAddress });
  }

  private volume(
    name: string,
    args: DropletNodeArgs,
    plan: VolumePlan,
    dropletId: pulumi.Output<number>,
    droplet: digitalocean.Droplet,
  ) {
    const { account, stack, production } = args;
    const volume = new digitalocean.Volume(
      ...transformed(
        args.transform?.volume,
        `${name}-volume-${plan.name}`,
        {
          name: volumeName(stack, plan.name),
          region: args.plan.region,
          size: plan.sizeBytes / 2 ** 30,
          description: `${plan.mount} of ${args.plan.name}`,
          tags: [account.tag.name],
        },
        { parent: this, provider: account.provider, protect: production },
      ),
    );
    const attachment = new digitalocean.VolumeAttachment(
      `${name}-volume-${plan.name}-attachment`,
      { dropletId, volumeId: volume.id },
      { parent: this, provider: account.provider, deletedWith: droplet, deleteBeforeReplace: true },
    );
    return { volume, attachment };
  }

  /** An address that outlives the droplet. */
  private reservedIp(
    name: string,
    { account, plan, transform }: DropletNodeArgs,
    dropletId: pulumi.Output<number>,
    droplet: digitalocean.Droplet,
  ): pulumi.Output<string> {
    const child = { parent: this, provider: account.provider };
    const reserved = new digitalocean.ReservedIp(
      ...transformed(transform?.reservedIp, `${name}-reserved-ip`, { region: plan.region }, child),
    );
    const assignment = new digitalocean.ReservedIpAssignment(
      `${name}-reserved-ip-assignment`,
      { ipAddress: reserved.ipAddress, dropletId },
      { ...child, deletedWith: droplet, deleteBeforeReplace: true },
    );
    return assignment.ipAddress;
  }

  private records(
    name: string,
    { account, plan, stack, transform }: DropletNodeArgs,
    address: pulumi.Output<string>,
    domain: string,
    droplet: digitalocean.Droplet,
  ): void {
    const record = (role: string, label: string, type: "A" | "AAAA", value: pulumi.Input<string>) =>
      new digitalocean.DnsRecord(
        ...transformed(
          transform?.record,
          `${name}-record-${role}`,
          { domain, name: label, type, value, ttl: 300 },
          { parent: this, provider: account.provider },
        ),
      );
    record("a", stack, "A", address);
    record("a-wildcard", `*.${stack}`, "A", address);
    if (!plan.ipv6) return;
    record("aaaa", stack, "AAAA", droplet.ipv6Address);
    record("aaaa-wildcard", `*.${stack}`, "AAAA", droplet.ipv6Address);
  }
}

/** True when homes lie on the droplet's own disk and go with it: no volume and no other place holds them. */
export function homesOnOwnDisk({ volumes, storage }: DigitaloceanNodePlan): boolean {
  const homes = storage.bind?.homes ?? "/mnt/storage/homes";
  const mounts = [
    ...volumes,
    ...(storage.devices ?? []),
    ...(storage.lvm?.volumes ?? []),
    ...(storage.nfs?.mounts ?? []),
  ].map(({ mount }) => mount);
  return !mounts.some((mount) => homes === mount || homes.startsWith(`${mount}/`));
}
