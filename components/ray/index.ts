import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { LocatedPlan, Plan } from "../../config";
import { physicalName, SYSTEM } from "../../core/containers";
import type { GrantedUnit } from "../../core/gpu";
import { container } from "../container";
import { RAY_KEY, withGpus } from "../gpu";
import { scriptsOf } from "../host/script";
import { quote } from "../host/shell";
import { renderStage } from "../host/stage";
import { located, type Node, onMachine, standsOn } from "../node";
import { nodeCommand } from "../node-command";
import { rayToken } from "../secrets";
import type { Transform } from "../transform";
import { RAY_UID, rayEnvironment, raySizes } from "./plan";

const script = scriptsOf(__dirname);

export { rayAddresses } from "./plan";
export { rayGeneration } from "./token";

const MiB = 2 ** 20;

const TOKEN_FOLDER = "/var/lib/berth/ray";

/** In Ray's environment: which generation of the token the container was made for. Another one is another container. */
const GENERATION = "BERTH_RAY_GENERATION";

export interface RayNodeArgs {
  plan: Plan;
  /** The plan, once the head has its addresses. */
  located: pulumi.Output<LocatedPlan>;
  node: Node;
  /**
   * Variables for NCCL, where the node has a fast network.
   * @default none
   * @example stages.fabricFacts?.nccl
   */
  fabric?: pulumi.Output<Record<string, string>>;
  /** What Ray was granted, where something is asked for. @default no GPU */
  gpus?: pulumi.Output<GrantedUnit[]>;
  docker: docker.Provider;
  /**
   * Image on the node, by id.
   * @example "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
   */
  image: pulumi.Input<string>;
  seed: pulumi.Input<string>;
  /**
   * Of the token: another one makes the container anew. Empty where every user has the token.
   * @example rayGeneration(stages, "berth-ray-token", plan)
   */
  generation: pulumi.Input<string>;
  /**
   * Changes children.
   * @default none
   * @example { container: () => ({ args: { logOpts: { "max-size": "50m", "max-file": "4" } } }) }
   */
  transform?: { container?: Transform<docker.ContainerArgs> };
}

/**
 * Puts the token where only Ray's container reads it. Ray is down while a changed one is placed: what the tasks of somebody
 * who is to have it no more leave running would read it at once. Where its generation is another one, Ray stays down, as
 * that container is replaced next: they may have left programs in its files as well, which a start would run.
 */
export function renderToken(node: string, container: string, generation: string): string {
  return renderStage({
    name: "ray",
    node,
    needsSecrets: true,
    steps: [
      {
        name: "place the token",
        body: `folder=${TOKEN_FOLDER} container=${quote(container)} uid=${RAY_UID}
generation=${quote(generation)} generation_name=${GENERATION}
${script("token.sh")}`,
      },
    ],
  });
}

/**
 * Ray on one node: the head or a worker, in a container on the node's own network, with token sign-in and
 * every port pinned by the plan.
 *
 * Creates: one `command:remote:Command`, which places the token, and one `docker:Container`.
 * Needs: the host stages of the node, `docker`, the image on the node, and berthd where `gpus` is given.
 * Footprint: on the node the container `berth-STACK-ray` on the node's own network, with the ports of `plan.ports.ray`, and
 * `/var/lib/berth/ray` with the token; both go with the resource. `/var/log/berth/ray.log` stays.
 */
export class RayNode extends pulumi.ComponentResource {
  constructor(name: string, args: RayNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:ray:RayNode", name, {}, opts);
    const { plan } = args;
    const node = args.node.plan;
    const containerName = physicalName(plan.stack, "ray");
    const token = onMachine(
      args.node,
      pulumi.output(args.generation).apply((generation) => renderToken(node.name, containerName, generation)),
    );
    const placed = nodeCommand(
      `${name}-token`,
      args.node,
      {
        create: token,
        delete: renderStage({
          name: "ray",
          node: node.name,
          steps: [{ name: "remove the token", body: `rm -rf -- ${TOKEN_FOLDER}` }],
        }),
        stdin: pulumi.secret(
          pulumi
            .all([args.seed, args.generation])
            .apply(([seed, generation]) => JSON.stringify({ token: rayToken(seed, generation) })),
        ),
      },
      { parent: this },
    );
    const sizes = raySizes(node);
    const env = pulumi
      .all([args.located, located(args.node), args.fabric ?? {}, args.gpus ?? [], args.generation])
      .apply(([whole, here, fabric, units, generation]) => [
        ...rayEnvironment(whole, here, fabric, units),
        ...(generation === "" ? [] : [`${GENERATION}=${generation}`]),
      ]);
    container(
      name,
      withGpus(
        {
          kind: "ray",
          name: containerName,
          image: args.image,
          command: [node.role],
          owner: { stack: plan.stack, owner: SYSTEM, node: node.name },
          env,
          cpus: node.ray.cpus,
          memoryBytes: sizes.memoryMiB * MiB,
          shmBytes: sizes.shmMiB * MiB,
          mounts: [{ type: "bind", source: TOKEN_FOLDER, target: "/run/berth/ray", readOnly: true }],
          health: { command: ["berth-ray-health"], interval: 20, timeout: 15, startPeriod: 60, retries: 3 },
          stopSeconds: 20,
        },
        RAY_KEY,
        args.gpus,
      ),
      {},
      {
        parent: this,
        provider: args.docker,
        ...standsOn(args.node),
        dependsOn: [placed],
        customTimeouts: { create: "10m" },
      },
      args.transform?.container,
    );
    this.registerOutputs({});
  }
}
