import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { answer, known } from "../known";
import { onMachine } from "../node/types";
import { nodeCommand } from "../node-command";
import { type BaseOptions, renderBase } from "./base";
import { type FabricFacts, type FabricSpec, readFabricFacts, renderFabric } from "./fabric";
import { type NodeFacts, type RuntimeFacts, readNodeFacts, readRuntimeFacts } from "./facts";
import { type FirewallOptions, renderFirewall } from "./firewall";
import { renderReady } from "./node-ready";
import { type RuntimeOptions, renderRuntime } from "./runtime";
import { renderStorage, type StorageOptions } from "./storage";

type Connection = command.types.input.remote.ConnectionArgs;

/** @example { node: { name: "node-0", connection: node.connection }, firewall: firewallOptions(plan, node.plan) } */
export interface StagesArgs {
  /** The node; its name decides the children's names, so it is a plain value. */
  node: {
    name: string;
    connection: Connection;
    /** The machine, where it is a resource: a replaced one gets every stage again, in place. */
    machine?: pulumi.CustomResource;
  };
  /** What the first stage waits for besides the machine. @default [] */
  after?: readonly pulumi.Resource[];
  /** @default {} */
  base?: pulumi.Input<BaseOptions>;
  firewall: pulumi.Input<FirewallOptions>;
  /** @default {} */
  storage?: pulumi.Input<StorageOptions>;
  /** What storage waits for besides the stage before: attached volumes, the nodes that serve it. @default [] */
  storageAfter?: readonly pulumi.Resource[];
  /**
   * InfiniBand. Whether it is given decides about a resource, so a plain value.
   * @default no such stage
   * @example { interfaces: [{ name: "ib0", address: "10.21.0.7/24", mtu: 65520 }] }
   */
  fabric?: FabricSpec;
  /** @default {} */
  runtime?: pulumi.Input<RuntimeOptions>;
  /**
   * How long the first stage tries to connect. A machine that is being installed may need more tries.
   * @default 16 tries of 4 seconds: see `patience`
   * @example { dialErrorLimit: 100, perDialTimeout: 10 }
   */
  dial?: { dialErrorLimit: number; perDialTimeout: number };
}

/**
 * Time to reach a node, for the first stage alone; the others follow it.
 *
 * The provider waits 0.1 s, 0.15 s, … up to 5 s between tries (pulumi/sdk, retry/until.go: 41 s over 16 waits), and
 * a limit of 16 means 17 tries. A host that refuses at once is given up after 41 s, one that swallows packets
 * after 17 × 4 + 41 = 109 s: both within 2 minutes. The time-out covers the TCP handshake, so 4 s are ample.
 */
export const patience = { dialErrorLimit: 16, perDialTimeout: 4 } as const;

/**
 * The host stages of one node: ready, base, firewall, storage, runtime, one command each, one after the other.
 *
 * A changed option changes the text of its own stage only: one update in place.
 * Firewall comes before runtime: published ports are closed before there is anything to publish them.
 *
 * Creates: `NAME-ready`, `NAME-base`, `NAME-firewall`, `NAME-storage`, `NAME-runtime`, all `command:remote:Command`; with `fabric`,
 * `NAME-fabric` between the last two.
 * Needs: SSH to the node with a key, as root or a user with passwordless sudo; Debian 12 or Ubuntu 22.04, or newer.
 * Footprint: on the node packages (Docker and, where a GPU is found, NVIDIA's); `/etc/berth`, `/usr/local/lib/berth`, `/var/lib/berth`,
 * and `/var/log/berth/STAGE.log`; files named after Berth in the drop-in folders of sshd, sysctl, journald, apt, systemd, NFS, udev and
 * the network; marked rules of ufw and chains `BERTH-*` of iptables; Berth's options in `/etc/docker/daemon.json`; marked lines in
 * `/etc/fstab`; the tree `/mnt/storage`, `/workspace`, `/data` and `/data2`; units `berth-*`. No port is opened but by the plan.
 * Nothing is undone when the resources go; a server that leaves the stack is cleaned by its `BaremetalNode`.
 */
export class Stages extends pulumi.ComponentResource {
  /** What the node is. Unknown in a preview that runs stage `ready`: decide nothing about resources by it. */
  readonly facts: pulumi.Output<NodeFacts>;
  readonly runtimeFacts: pulumi.Output<RuntimeFacts>;
  /** Only with `fabric`. */
  readonly fabricFacts?: pulumi.Output<FabricFacts>;
  /** The last stage: depend on it to come after all of them. */
  readonly last: command.remote.Command;

  constructor(name: string, args: StagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:host:Stages", name, {}, opts);
    const node = args.node.name;
    const { connection, machine } = args.node;
    const dial = args.dial ?? patience;

    const stage = (
      role: string,
      script: pulumi.Input<string>,
      after: readonly pulumi.Resource[],
      to: Connection = connection,
    ): command.remote.Command =>
      nodeCommand(
        `${name}-${role}`,
        { connection: to, machine },
        { create: onMachine({ machine }, script) },
        { parent: this, dependsOn: [...after] },
      );
    const render = <T>(
      options: pulumi.Input<T> | undefined,
      renderer: (options: T & { node: string }) => string,
    ): pulumi.Output<string> =>
      pulumi
        .output(options ?? ({} as T))
        .apply((plain) => known(plain as T))
        .apply((plain) => renderer({ ...(plain as T), node }));

    const ready = stage("ready", renderReady({ node }), args.after ?? [], {
      ...connection,
      ...dial,
    });
    const base = stage("base", render(args.base, renderBase), [ready]);
    const firewall = stage("firewall", render(args.firewall, renderFirewall), [base]);
    const storage = stage("storage", render(args.storage, renderStorage), [
      firewall,
      ...(args.storageAfter ?? []),
    ]);
    const fabric = args.fabric ? stage("fabric", render(args.fabric, renderFabric), [storage]) : undefined;
    this.last = stage("runtime", render(args.runtime, renderRuntime), [fabric ?? storage]);
    if (fabric) this.fabricFacts = answer(pulumi.unsecret(fabric.stdout), readFabricFacts);

    // Only parsed, whitelisted facts leave the secret output.
    this.facts = answer(pulumi.unsecret(ready.stdout), readNodeFacts);
    this.runtimeFacts = answer(pulumi.unsecret(this.last.stdout), readRuntimeFacts);
    this.registerOutputs({ facts: this.facts, runtimeFacts: this.runtimeFacts, last: this.last });
  }
}
