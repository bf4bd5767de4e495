import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { GrantedUnit } from "../../agent/src/core/model";
import type { NodePlan, Plan } from "../../config";
import { containerLabels, deviceRequests, RAY_KEY } from "../gpu";
import { quote } from "../host/shell";
import { renderStage } from "../host/stage";
import { dockerCpus, labels, physicalName } from "../labels";
import { located, type Node, onMachine, standsOn } from "../node";
import { rayToken } from "../secrets";
import { RAY_UID, rayEnvironment, raySizes } from "./plan";

export { RAY_UID, type RayAddresses, rayAddresses } from "./plan";
export { rayGeneration } from "./token";

const TOKEN_FOLDER = "/var/lib/berth/ray";

export interface RayNodeArgs {
  plan: Plan;
  /** The head, with its addresses. */
  head: pulumi.Output<NodePlan>;
  node: Node;
  /** Variables for NCCL, where the node has a fast network. @default none */
  fabric?: pulumi.Output<Record<string, string>>;
  /** What Ray was granted, where something is asked for. @default no GPU */
  gpus?: pulumi.Output<GrantedUnit[]>;
  docker: docker.Provider;
  /** Image on the node, by id. */
  image: pulumi.Input<string>;
  seed: pulumi.Input<string>;
  /** Of the token. */
  generation: pulumi.Input<string>;
}

/** Puts the token where only Ray's container reads it; a changed one restarts Ray. */
function renderToken(node: string, container: string): string {
  const path = `${TOKEN_FOLDER}/token`;
  return renderStage({
    name: "ray",
    node,
    needsSecrets: true,
    steps: [
      {
        name: "place the token",
        body: `
install -d -m 0711 -- ${TOKEN_FOLDER}
umask 077
temporary=$(mktemp -- ${TOKEN_FOLDER}/.new-XXXXXX)
secret token >"$temporary"
if ! cmp -s -- "$temporary" ${path}; then
  chown ${RAY_UID}:${RAY_UID} -- "$temporary"
  chmod 0400 -- "$temporary"
  sync -- "$temporary"
  mv -f -T -- "$temporary" ${path}
  changed ${path}
  if docker container inspect ${quote(container)} >/dev/null 2>&1; then
    docker container restart -t 20 ${quote(container)} >/dev/null
  fi
fi
rm -f -- "$temporary"`,
      },
    ],
  });
}

/**
 * Ray on one node: the head or a worker, in a container on the node's own network, with token sign-in and
 * every port pinned by the plan.
 *
 * Creates: the token file, one container. Needs on the host: the firewall and runtime stages.
 */
export class RayNode extends pulumi.ComponentResource {
  constructor(name: string, args: RayNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:ray:RayNode", name, {}, opts);
    const { plan } = args;
    const { plan: node, connection, machine } = args.node;
    const containerName = physicalName(plan.stack, "ray");
    const token = onMachine(args.node, renderToken(node.name, containerName));
    const placed = new command.remote.Command(
      `${name}-token`,
      {
        connection,
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
        logging: "none",
        addPreviousOutputInEnv: false,
      },
      { parent: this, deletedWith: machine, additionalSecretOutputs: ["stdout", "stderr"] },
    );
    const sizes = raySizes(node);
    const envs = pulumi
      .all([args.head, located(args.node), args.fabric ?? {}, args.gpus ?? []])
      .apply(([head, here, fabric, units]) => rayEnvironment({ ...plan, head }, here, fabric, units));
    new docker.Container(
      name,
      {
        name: containerName,
        image: args.image,
        command: [node.role],
        labels: containerLabels(
          labels({ stack: plan.stack, owner: "system", component: "ray", node: node.name }),
          RAY_KEY,
          args.gpus,
        ),
        ...(args.gpus ? { deviceRequests: deviceRequests(args.gpus) } : {}),
        envs,
        networkMode: "host",
        restart: "unless-stopped",
        mustRun: true,
        capabilities: { drops: ["ALL"] },
        securityOpts: ["no-new-privileges:true"],
        memory: sizes.memoryMiB,
        memorySwap: sizes.memoryMiB,
        cpus: dockerCpus(node.ray.cpus),
        shmSize: sizes.shmMiB,
        mounts: [{ type: "bind", source: TOKEN_FOLDER, target: "/run/berth/ray", readOnly: true }],
        healthcheck: {
          tests: ["CMD", "berth-ray-health"],
          interval: "20s",
          timeout: "15s",
          startPeriod: "1m0s",
          retries: 3,
        },
        stopTimeout: 20,
        destroyGraceSeconds: 20,
        logDriver: "json-file",
        logOpts: { "max-file": "2", "max-size": "10m" },
      },
      {
        parent: this,
        provider: args.docker,
        ...standsOn(args.node),
        deleteBeforeReplace: true,
        dependsOn: [placed],
        customTimeouts: { create: "10m" },
      },
    );
    this.registerOutputs({});
  }
}
