import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { Image } from "../images";
import { labels, physicalName } from "../labels";

/** Where nodes pull, without a sign-in; they pull by digest, so the content is checked whatever carried it. */
export const REGISTRY_PORT = 5000;
/** Where the operator pushes, with a password; published on the operator's loopback alone. */
const PUSH_PORT = 5001;
const PUSH_USER = "berth";

export interface RegistryArgs {
  stack: string;
  image: Image;
  network: docker.Network;
  /** Its address in the stack's network. */
  address: string;
  /** Port on the operator's loopback. */
  pushPort: number;
  password: pulumi.Input<string>;
}

/**
 * The stack's own image registry: it carries the images that were built on the operator's engine to the nodes.
 *
 * Creates: one container and one volume on the operator's engine.
 */
export class Registry extends pulumi.ComponentResource {
  /** `ADDRESS:5000`, as nodes write it in image names. */
  readonly host: string;
  private readonly push: { port: number; password: pulumi.Output<string>; ready: pulumi.Resource };

  constructor(
    private readonly registryName: string,
    private readonly args: RegistryArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("berth:registry:Registry", registryName, {}, opts);
    const owned = labels({ stack: args.stack, owner: "system", component: "registry" });
    const data = new docker.Volume(
      `${registryName}-data`,
      { name: physicalName(args.stack, "registry"), labels: owned },
      { parent: this },
    );
    const password = pulumi.secret(args.password);
    const container = new docker.Container(
      registryName,
      {
        name: physicalName(args.stack, "registry"),
        hostname: "registry",
        image: args.image.id,
        labels: owned,
        restart: "unless-stopped",
        mustRun: true,
        capabilities: { drops: ["ALL"] },
        securityOpts: ["no-new-privileges:true"],
        mounts: [{ type: "volume", source: data.name, target: "/var/lib/registry" }],
        networksAdvanced: [{ name: args.network.name, ipv4Address: args.address }],
        ports: [{ internal: PUSH_PORT, external: args.pushPort, ip: "127.0.0.1", protocol: "tcp" }],
        healthcheck: {
          tests: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:5000/v2/"],
          interval: "10s",
          timeout: "5s",
          startPeriod: "10s",
          retries: 3,
        },
        memory: 512,
        memorySwap: 512,
        logDriver: "json-file",
        logOpts: { "max-file": "2", "max-size": "5m" },
        uploads: [
          {
            file: "/etc/berth/registry/credentials.json",
            content: pulumi.secret(pulumi.jsonStringify({ username: PUSH_USER, password })),
            permissions: "0444",
          },
        ],
      },
      { parent: this, deleteBeforeReplace: true, additionalSecretOutputs: ["uploads"] },
    );
    this.host = `${args.address}:${REGISTRY_PORT}`;
    this.push = { port: args.pushPort, password, ready: container };
    this.registerOutputs({ host: this.host });
  }

  /** Puts an image into the registry; gives the name by digest that nodes pull. */
  serve(image: Image): pulumi.Output<string> {
    const push = `node scripts/image.mjs push ${image.image} --registry 127.0.0.1:${this.push.port} --stack ${this.args.stack}`;
    const pushed = new command.local.Command(
      `${this.registryName}-push-${image.image}`,
      {
        create: push,
        update: push,
        stdin: pulumi.secret(pulumi.jsonStringify({ username: PUSH_USER, password: this.push.password })),
        environment: { BERTH_IMAGE: image.ref },
        logging: "none",
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        dependsOn: [this.push.ready, image],
        additionalSecretOutputs: ["stdout", "stderr"],
        customTimeouts: { create: "20m", update: "20m" },
      },
    );
    const digest = pulumi
      .unsecret(pushed.stdout)
      .apply((text) => (JSON.parse(text) as { digest: string }).digest);
    return pulumi.interpolate`${this.host}/berth/${image.image}@${digest}`;
  }
}
