import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { REGISTRY_PORTS, REGISTRY_PULL_PORT } from "../../config";
import { labelList, ownerLabels, physicalName, SYSTEM } from "../../core/containers";
import { bracketed } from "../../core/net";
import { container, type Spec } from "../container";
import type { Image } from "../images";
import { answer } from "../known";
import { type Node, onMachine, sshTarget, standsOn } from "../node";
import { type Transform, transformed } from "../transform";

/** Where the operator pushes, with a password; published on loopback alone. */
const PUSH_PORT = REGISTRY_PORTS.end;
const PUSH_USER = "berth";

const MEMORY = 512 * 2 ** 20;

/**
 * On the operator's engine, in the stack's network.
 * @example { on: "operator", network, address: "10.88.0.2", pushPort: 5001 }
 */
export interface OperatorPlace {
  on: "operator";
  network: docker.Network;
  /** Its address in the stack's network. */
  address: string;
  /** Port on the operator's loopback. */
  pushPort: number;
}

/**
 * On the head: real machines cannot reach the operator's computer. Images are pushed through SSH.
 * @example { on: "head", node, after: [stages] }
 */
export interface HeadPlace {
  on: "head";
  node: Node;
  /** The head's engine is ready when they are. */
  after: pulumi.Resource[];
}

/** @example { stack: "dev", image, place: { on: "head", node, after: [stages] }, password: seed.apply(registryPassword) } */
export interface RegistryArgs {
  stack: string;
  image: Image;
  place: OperatorPlace | HeadPlace;
  password: pulumi.Input<string>;
  /**
   * Changes children.
   * @default none
   * @example { container: () => ({ args: { memory: 1024, memorySwap: 1024 } }) }
   */
  transform?: { container?: Transform<docker.ContainerArgs>; volume?: Transform<docker.VolumeArgs> };
}

/**
 * The stack's own image registry: it carries the images that were built on the operator's engine to the nodes.
 * Nodes pull without a sign-in, by digest, so that the content is checked whatever carried it.
 *
 * Creates: one `docker:Container` and one `docker:Volume`; one `command:local:Command` for each image that `serve` puts into it, and
 * on the head one more, which sends the registry's own image there.
 * Needs: a docker provider among `opts.providers`, for the engine of `place`; on the head the host stages.
 * Footprint: on that engine the container and the volume `berth-STACK-registry` with the images, up to 512 MiB of memory. On the
 * operator's computer the push port on loopback; on the head port 5000 of the private address and 5001 of loopback, and the
 * registry's image, which goes with the resource.
 */
export class Registry extends pulumi.ComponentResource {
  /** `ADDRESS:5000`, as nodes write it in image names. */
  readonly host: pulumi.Output<string>;
  private readonly push: {
    to: pulumi.Output<string>;
    password: pulumi.Output<string>;
    ready: pulumi.Resource;
  };

  constructor(
    private readonly registryName: string,
    private readonly args: RegistryArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("berth:registry:Registry", registryName, {}, opts);
    const { place } = args;
    const node = place.on === "head" ? place.node.plan.name : undefined;
    const owner = { stack: args.stack, owner: SYSTEM, ...(node === undefined ? {} : { node }) };
    const bonds = place.on === "head" ? { ...standsOn(place.node), dependsOn: place.after } : {};
    const data = new docker.Volume(
      ...transformed<docker.VolumeArgs>(
        args.transform?.volume,
        `${registryName}-data`,
        {
          name: physicalName(args.stack, "registry"),
          labels: labelList(ownerLabels({ ...owner, component: "registry" })),
        },
        { parent: this, ...bonds },
      ),
    );
    const password = pulumi.secret(args.password);
    const registry = container(
      registryName,
      {
        kind: "registry",
        name: physicalName(args.stack, "registry"),
        hostname: "registry",
        image: place.on === "head" ? this.send(place) : args.image.id,
        owner,
        memoryBytes: MEMORY,
        mounts: [{ type: "volume", source: data.name, target: "/var/lib/registry" }],
        ...reach(place),
        health: {
          command: ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:5000/v2/"],
          interval: 10,
          timeout: 5,
          startPeriod: 10,
          retries: 3,
        },
      },
      {
        uploads: [
          {
            file: "/etc/berth/registry/credentials.json",
            content: pulumi.secret(pulumi.jsonStringify({ username: PUSH_USER, password })),
            permissions: "0444",
          },
        ],
      },
      { parent: this, ...bonds, additionalSecretOutputs: ["uploads"] },
      args.transform?.container,
    );
    this.host = registryHost(place);
    const to =
      place.on === "head"
        ? sshTarget(place.node).apply((text) => `--through ${text}`)
        : `--registry 127.0.0.1:${place.pushPort}`;
    this.push = { to: pulumi.output(to), password, ready: registry };
    this.registerOutputs({ host: this.host });
  }

  /** The registry's own image, which no registry can serve yet. */
  private send(place: HeadPlace): pulumi.Output<string> {
    const { image } = this.args;
    const send = pulumi.interpolate`node scripts/image.mjs send ${image.image} --to ${sshTarget(place.node)}`;
    const text = onMachine(place.node, send);
    const sent = new command.local.Command(
      `${this.registryName}-image`,
      {
        create: text,
        delete: pulumi.interpolate`node scripts/image.mjs remove ${image.image} --from ${sshTarget(place.node)}`,
        environment: { BERTH_IMAGE: image.ref, BERTH_SSH_OPTIONS: sshEnvironment(place.node) },
        logging: "stderr",
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        dependsOn: [image, ...place.after],
        ...(place.node.machine ? { deletedWith: place.node.machine } : {}),
        customTimeouts: { create: "60m", update: "60m" },
      },
    );
    return answer(sent.stdout, (line) => (JSON.parse(line) as { id: string }).id);
  }

  /** Puts an image into the registry; gives the name by digest that nodes pull. */
  serve(image: Image): pulumi.Output<string> {
    const { place, stack } = this.args;
    const plain = pulumi.interpolate`node scripts/image.mjs push ${image.image} ${this.push.to} --stack ${stack}`;
    // A new machine has an empty registry.
    const push = place.on === "head" ? onMachine(place.node, plain) : plain;
    const pushed = new command.local.Command(
      `${this.registryName}-push-${image.image}`,
      {
        create: push,
        stdin: pulumi.secret(pulumi.jsonStringify({ username: PUSH_USER, password: this.push.password })),
        environment: {
          BERTH_IMAGE: image.ref,
          ...(place.on === "head" ? { BERTH_SSH_OPTIONS: sshEnvironment(place.node) } : {}),
        },
        logging: "none",
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        dependsOn: [this.push.ready, image],
        additionalSecretOutputs: ["stdout", "stderr"],
        // Through SSH a large image takes as long as the operator's uplink does.
        customTimeouts: { create: "130m", update: "130m" },
      },
    );
    const digest = answer(
      pulumi.unsecret(pushed.stdout),
      (text) => (JSON.parse(text) as { digest: string }).digest,
    );
    return pulumi.interpolate`${this.host}/berth/${image.image}@${digest}`;
  }
}

/** `ADDRESS:5000`: known where the address is, before there is a registry. */
export function registryHost(
  place: Pick<OperatorPlace, "on" | "address"> | Pick<HeadPlace, "on" | "node">,
): pulumi.Output<string> {
  const address = place.on === "operator" ? pulumi.output(place.address) : place.node.privateAddress;
  return address.apply((text) => `${bracketed(text)}:${REGISTRY_PULL_PORT}`);
}

/** Where it listens: pulls on the address that the nodes share, pushes on loopback alone. */
function reach(place: OperatorPlace | HeadPlace): Pick<Spec, "network" | "ports"> {
  const port = (container: number, host: number, address: pulumi.Input<string>) =>
    ({ container, host, address, protocol: "tcp" }) as const;
  if (place.on === "operator")
    return {
      network: { name: place.network.name, address: place.address },
      ports: [port(PUSH_PORT, place.pushPort, "127.0.0.1")],
    };
  return {
    ports: [
      port(REGISTRY_PULL_PORT, REGISTRY_PULL_PORT, place.node.privateAddress),
      port(PUSH_PORT, PUSH_PORT, "127.0.0.1"),
    ],
  };
}

/** Paths and options: nothing secret. */
const sshEnvironment = (node: Node) => node.sshOptions.apply((options) => JSON.stringify(options));
