import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { LocalNodePlan } from "../../config";
import { labelList, ownerLabels, physicalName, SYSTEM } from "../../core/containers";
import { container } from "../container";
import { nodeHostKey, operatorKey } from "../secrets";
import { type Transform, transformed } from "../transform";
import { type Connection, knownHostsLine, sshConnection } from "./connection";
import { placeNodeFiles } from "./files";
import { MACHINE } from "./local-machine";
import type { Node } from "./types";

/** @example { stack: "dev", plan: localNode, network, image: image.id, seed, production: false } */
export interface LocalNodeArgs {
  stack: string;
  plan: LocalNodePlan;
  /** The stack's bridge network. */
  network: docker.Network;
  /** Node image on the operator's engine. */
  image: pulumi.Input<string>;
  /** The stack's seed. */
  seed: pulumi.Output<string>;
  /** True: the volume with the homes is protected. */
  production: boolean;
  /**
   * Changes children; `volume` is each of the two.
   * @default none
   * @example { container: () => ({ args: { cpus: "1.5" } }) }
   */
  transform?: { container?: Transform<docker.ContainerArgs>; volume?: Transform<docker.VolumeArgs> };
}

/**
 * A node that is a container of the operator's Docker engine, with systemd as its first process and sshd:
 * from there on it is set up like any other machine.
 *
 * Creates: one `docker:Container` and two `docker:Volume`s, `NAME-docker` (Docker's data) and `NAME-storage` (`/mnt/storage`).
 * Needs: a docker provider among `opts.providers`, for an engine that allows SYS_ADMIN; the stack's network and the node image there.
 * Footprint: on that engine the container `berth-STACK-NODE`, which takes the node's CPUs and memory at most and publishes no port, and
 * the two volumes; homes go with them. On this computer the stack's key and the node's known hosts (`secrets/files.ts`).
 */
export class LocalNode extends pulumi.ComponentResource implements Node {
  readonly plan: LocalNodePlan;
  readonly address: pulumi.Output<string>;
  readonly privateAddress: pulumi.Output<string>;
  readonly hostKey: pulumi.Output<string>;
  readonly connection: Connection;
  readonly sshOptions: pulumi.Output<string[]>;
  readonly machine: pulumi.CustomResource;

  constructor(name: string, args: LocalNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:node:LocalNode", name, {}, opts);
    const { plan, stack, seed } = args;
    this.plan = plan;
    this.address = pulumi.output(plan.address);
    this.privateAddress = pulumi.output(plan.privateAddress);
    const owner = { stack, owner: SYSTEM, node: plan.name };
    const labels = labelList(ownerLabels({ ...owner, component: "node" }));
    const volume = (role: string, protect = false) =>
      new docker.Volume(
        ...transformed<docker.VolumeArgs>(
          args.transform?.volume,
          `${name}-${role}`,
          { name: physicalName(stack, plan.name, role), labels },
          { parent: this, protect },
        ),
      );
    const dockerData = volume("docker");
    const storage = volume("storage", args.production);
    const hostKey = seed.apply((value) => nodeHostKey(value, plan.name));
    const operator = seed.apply(operatorKey);
    this.hostKey = pulumi.unsecret(hostKey.publicKey);

    this.machine = container(
      name,
      {
        kind: "node",
        name: physicalName(stack, plan.name),
        hostname: plan.name,
        image: args.image,
        owner,
        mounts: [
          { type: "volume", source: dockerData.name, target: MACHINE.dockerData },
          { type: "volume", source: storage.name, target: "/mnt/storage" },
        ],
        network: { name: args.network.name, address: plan.privateAddress },
        cpus: plan.cpus,
        memoryBytes: plan.memoryBytes,
        stopSeconds: 60,
      },
      {
        devices: MACHINE.devices.map((path) => ({ hostPath: path, containerPath: path, permissions: "rwm" })),
        tmpfs: MACHINE.tmpfs,
        stopSignal: "SIGRTMIN+3",
        destroyGraceSeconds: 30,
        uploads: [
          {
            file: "/etc/ssh/ssh_host_ed25519_key",
            content: pulumi.secret(hostKey.privateKey),
            permissions: "0600",
          },
          {
            file: "/root/.ssh/authorized_keys",
            content: pulumi.interpolate`${operator.publicKey} berth\n`,
            permissions: "0600",
          },
        ],
      },
      { parent: this, additionalSecretOutputs: ["uploads"] },
      args.transform?.container,
    );

    this.connection = sshConnection({
      address: plan.address,
      port: plan.sshPort,
      user: plan.sshUser,
      privateKey: operator.privateKey,
      hostKey: hostKey.publicKey,
    });
    this.sshOptions = placeNodeFiles({
      stack,
      node: plan.name,
      knownHosts: this.hostKey.apply((key) => knownHostsLine(plan.address, plan.sshPort, key)),
      seed,
    });
    this.registerOutputs({ address: plan.address });
  }
}
