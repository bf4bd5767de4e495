import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { type Plan, WORKSPACE_GATEWAY, WORKSPACE_NETWORK } from "../config";
import { labelList, ownerLabels, SYSTEM, workspaceName } from "../core/containers";
import { Stages } from "./host";
import { BaremetalNode, DropletNode, type Node, onMachine, sshTarget, standsOn } from "./node";
import { nodeCommand } from "./node-command";
import { baseOptions, fabricSpec, firewallOptions, runtimeOptions, storageOptions } from "./stage-options";
import { renderAutoExec } from "./workspace/setup";

/** A node with everything that stands on it before Ray and the workspaces. */
export interface ReadyNode {
  node: Node;
  stages: Stages;
  docker: docker.Provider;
  /** The node's workspaces are in it. */
  network: docker.Network;
  /** Variables for NCCL; there where the node has a fast network. */
  fabric?: pulumi.Output<Record<string, string>>;
}

/** @example { plan, node, registry: pulumi.output("10.88.0.2:5000"), servers: [] } */
export interface ReadyNodeArgs {
  plan: Plan;
  node: Node;
  /** `HOST:PORT` of the stack's image registry. */
  registry: pulumi.Output<string>;
  /** The nodes that this one mounts file systems from. */
  servers: readonly ReadyNode[];
}

/** Host stages, the node's Docker engine and the network of its workspaces, as children of `parent`. */
export function readyNode(parent: pulumi.Resource, name: string, args: ReadyNodeArgs): ReadyNode {
  const { plan, node } = args;
  const stages = new Stages(`${name}-host`, stagesArgs(args), { parent });
  if (node instanceof DropletNode) tellOtherUserData(node, stages);
  if (node.plan.kind !== "local") tellRuntime(node, stages);
  const nccl = stages.fabricFacts?.nccl;
  // It waits for the machine alone, so that its plugin starts while the stages go on; what it makes waits for them.
  const engine = new docker.Provider(
    `${name}-engine`,
    { host: pulumi.interpolate`ssh://${sshTarget(node)}`, sshOpts: node.sshOptions },
    { parent, dependsOn: node.machine ? [node.machine] : [] },
  );
  const network = new docker.Network(
    `${name}-workspaces`,
    {
      name: "berth-workspaces",
      driver: "bridge",
      ipamConfigs: [{ subnet: WORKSPACE_NETWORK, gateway: WORKSPACE_GATEWAY }],
      // Workspaces of one node do not see each other.
      options: {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.name": "berth-ws0",
      },
      labels: labelList(
        ownerLabels({ stack: plan.stack, owner: SYSTEM, component: "workspace", node: node.plan.name }),
      ),
    },
    {
      ...{ parent, provider: engine, ...standsOn(node), deleteBeforeReplace: true, dependsOn: [stages] },
      // A network of a version that did not state its gateway has Docker's choice, the same one. The official plugin
      // would make it anew for that, and all workspaces of the node with it. Its subnet never changes.
      ignoreChanges: ["ipamConfigs"],
    },
  );
  autoExec(parent, name, args, stages);
  return { node, stages, docker: engine, network, ...(nccl ? { fabric: nccl } : {}) };
}

function stagesArgs({ plan, node, registry, servers }: ReadyNodeArgs) {
  const fabric = fabricSpec(node.plan);
  const addresses = pulumi.all(
    Object.fromEntries(servers.map((server) => [server.node.plan.name, server.node.privateAddress])),
  );
  return {
    node: {
      name: node.plan.name,
      connection: node.connection,
      ...(node.machine ? { machine: node.machine } : {}),
    },
    ...(node.dial ? { dial: node.dial } : {}),
    after: node instanceof BaremetalNode ? [node.adopted] : [],
    base: baseOptions(plan, node.plan),
    firewall: firewallOptions(plan, node.plan),
    storage:
      servers.length === 0
        ? storageOptions(plan, node.plan)
        : addresses.apply((known) => storageOptions(plan, node.plan, known)),
    storageAfter: [
      ...(node instanceof DropletNode ? node.attachments : []),
      ...servers.map((server) => server.stages),
    ],
    ...(fabric ? { fabric } : {}),
    runtime: registry.apply((host) => runtimeOptions(plan, node.plan, host)),
  };
}

/** A droplet reads its user data once: where today's is another, the preview says what to do. */
function tellOtherUserData(node: DropletNode, stages: Stages): void {
  pulumi.all([stages.facts, node.userData]).apply(([{ userData }, wanted]) => {
    if (userData === "" || userData === wanted) return;
    pulumi.log.warn(
      `node ${node.plan.name} was made with other user data than it would be made with now (login keys, packages, ` +
        `or another version of Berth). It stays as it is. To take the new one: npm run node -- replace ${node.plan.name}`,
      node,
    );
  });
}

/** What waits for the operator, as long as it does. */
function tellRuntime({ plan: { name } }: Node, stages: Stages): void {
  stages.runtimeFacts.apply(({ rebootRequired, belowFloor }) => {
    if (rebootRequired)
      pulumi.log.warn(
        `node ${name} needs a restart: ${rebootRequired}. Do it with: npm run node -- reboot ${name}`,
        stages,
      );
    if (belowFloor.length > 0)
      pulumi.log.warn(`node ${name} runs below Berth's floor of versions: ${belowFloor.join(", ")}`, stages);
  });
}

/** An operator's login that lands in a workspace. */
function autoExec(
  parent: pulumi.Resource,
  name: string,
  { plan, node }: ReadyNodeArgs,
  stages: Stages,
): void {
  const wanted = node.plan.autoExec;
  if (!plan.dockerFirst || !wanted) return;
  const container = workspaceName(plan.stack, wanted.user);
  const text = renderAutoExec({ node: node.plan.name, autoExec: { ...wanted, container } });
  nodeCommand(
    `${name}-auto-exec`,
    node,
    { create: onMachine(node, text.create), delete: text.delete },
    { parent, dependsOn: [stages] },
  );
}
