import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { LocalNodePlan, Plan, UserSecrets } from "../config";
import { PORTS_PER_USER, WORKSPACE_NETWORK } from "../config";
import { Stages, type StagesArgs } from "./host";
import { Image } from "./images";
import { labels, physicalName } from "./labels";
import { dockerSshOptions, knownHostsLine, LocalNode, type Node, onMachine } from "./node";
import { RayNode, rayAddresses } from "./ray";
import { Registry } from "./registry";
import {
  nodeHostKey,
  operatorKey,
  placeStackFiles,
  registryPassword,
  Seed,
  stackFiles,
  type UserCredentials,
  userCredentials,
  workspaceHostKey,
} from "./secrets";
import { localNodes } from "./unmade";
import { type UserInfo, Workspace } from "./workspace";
import { renderAutoExec } from "./workspace/setup";

export interface ClusterArgs {
  plan: Plan;
  /** Secret values from configuration, by user. */
  secrets: UserSecrets;
}

/** A node as the stack's outputs show it. */
export interface NodeInfo {
  name: string;
  kind: string;
  role: string;
  address: string;
  privateAddress: string;
}

/** A node with everything that stands on it before Ray and the workspaces. */
interface Host {
  node: Node;
  stages: Stages;
  docker: docker.Provider;
  network: docker.Network;
}

/**
 * The whole cluster, in the order in which it comes to life: nodes, host stages, images, Ray, workspaces.
 *
 * Creates: everything of the stack. Needs: a Docker engine on this computer for local nodes and image builds.
 */
export class Cluster extends pulumi.ComponentResource {
  readonly nodes: NodeInfo[];
  readonly users: pulumi.Output<UserInfo>[];
  readonly ray: { address: string; client: string; dashboard: string } | undefined;
  /** Secret; by user. */
  readonly credentials: pulumi.Output<Record<string, UserCredentials>>;

  constructor(name: string, args: ClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    const { plan } = args;
    const nodes = localNodes(plan);
    super("berth:index:Cluster", name, {}, opts);
    const seed = new Seed(`${name}-seed`, {}, { parent: this }).value;
    const local = this.operatorEngine(name);
    const network = this.stackNetwork(name, plan, local);
    const sshOptions = placeFiles(plan, nodes, args.secrets, seed);

    const image = (which: "node" | "registry" | "ray" | "workspace", after: pulumi.Resource[] = []) =>
      new Image(`${name}-image-${which}`, which, { parent: this, dependsOn: after });
    const nodeImage = image("node");
    const registryImage = image("registry", [nodeImage]);
    const registry = new Registry(
      `${name}-registry`,
      {
        stack: plan.stack,
        image: registryImage,
        network,
        address: plan.network.registry,
        pushPort: plan.registryPort,
        password: seed.apply(registryPassword),
      },
      { parent: this, providers: [local] },
    );

    const hosts = nodes.map((node): Host => {
      const made = new LocalNode(
        `${name}-${node.name}`,
        {
          stack: plan.stack,
          plan: node,
          network,
          image: nodeImage.id,
          hostKey: seed.apply((value) => nodeHostKey(value, node.name)),
          operatorKey: seed.apply(operatorKey),
        },
        { parent: this, providers: [local] },
      );
      return this.host(`${name}-${node.name}`, made, plan, nodes, registry.host, sshOptions);
    });

    const rayImage = image("ray", [registryImage]);
    const workspaceImage = image("workspace", [rayImage]);
    const served = { ray: registry.serve(rayImage), workspace: registry.serve(workspaceImage) };
    if (plan.ray.enabled) for (const host of hosts) this.rayNode(name, host, plan, served.ray, seed);
    const workspaces = hosts.flatMap((host) => this.workspaces(name, host, args, served.workspace, seed));

    this.nodes = nodes.map(({ name, kind, role, address, privateAddress }) => ({
      name,
      kind,
      role,
      address,
      privateAddress,
    }));
    this.users = workspaces.map((workspace) => workspace.info);
    this.ray = plan.ray.enabled ? rayAddresses(plan) : undefined;
    this.credentials = pulumi.secret(
      seed.apply((value) =>
        Object.fromEntries(
          plan.users
            .filter((user) => user.state !== "removed")
            .map((user) => [user.name, userCredentials(value, user, args.secrets[user.name]?.password)]),
        ),
      ),
    );
    this.registerOutputs({
      nodes: this.nodes,
      users: this.users,
      ray: this.ray,
      credentials: this.credentials,
    });
  }

  /** The engine on this computer, named so that nothing reaches it by default. */
  private operatorEngine(name: string): docker.Provider {
    return new docker.Provider(
      `${name}-engine`,
      { host: process.env.DOCKER_HOST || "unix:///var/run/docker.sock" },
      { parent: this },
    );
  }

  private stackNetwork(name: string, plan: Plan, local: docker.Provider): docker.Network {
    return new docker.Network(
      `${name}-network`,
      {
        name: physicalName(plan.stack),
        driver: "bridge",
        ipamConfigs: [{ subnet: plan.network.cidr, gateway: plan.network.gateway }],
        labels: labels({ stack: plan.stack, owner: "system", component: "network" }),
      },
      { parent: this, provider: local, deleteBeforeReplace: true },
    );
  }

  /** Host stages, the node's Docker engine and the network of its workspaces. */
  private host(
    name: string,
    node: Node,
    plan: Plan,
    nodes: readonly LocalNodePlan[],
    registry: string,
    sshOptions: pulumi.Output<string[]>,
  ): Host {
    const stages = new Stages(`${name}-host`, stagesArgs(plan, nodes, node, registry), { parent: this });
    // It waits for the machine alone, so that its plugin starts while the stages go on; what it makes waits for them.
    const engine = new docker.Provider(
      `${name}-engine`,
      { host: `ssh://${node.plan.sshUser}@${node.plan.address}:${node.plan.sshPort}`, sshOpts: sshOptions },
      { parent: this, dependsOn: [node.machine] },
    );
    const network = new docker.Network(
      `${name}-workspaces`,
      {
        name: "berth-workspaces",
        driver: "bridge",
        ipamConfigs: [{ subnet: WORKSPACE_NETWORK }],
        // Workspaces of one node do not see each other.
        options: {
          "com.docker.network.bridge.enable_icc": "false",
          "com.docker.network.bridge.name": "berth-ws0",
        },
        labels: labels({ stack: plan.stack, owner: "system", component: "workspace", node: node.plan.name }),
      },
      {
        parent: this,
        provider: engine,
        deletedWith: node.machine,
        deleteBeforeReplace: true,
        dependsOn: [stages],
      },
    );
    const { autoExec } = node.plan;
    if (plan.dockerFirst && autoExec) {
      const container = physicalName(plan.stack, "workspace", autoExec.user);
      const text = renderAutoExec({ node: node.plan.name, autoExec: { ...autoExec, container } });
      new command.remote.Command(
        `${name}-auto-exec`,
        {
          connection: node.connection,
          create: onMachine(node, text.create),
          delete: text.delete,
          logging: "none",
          addPreviousOutputInEnv: false,
        },
        {
          parent: this,
          deletedWith: node.machine,
          dependsOn: [stages],
          additionalSecretOutputs: ["stdout", "stderr"],
        },
      );
    }
    return { node, stages, docker: engine, network };
  }

  /** An image of the stack's registry, on a node. */
  private pulled(name: string, host: Host, ref: pulumi.Input<string>): docker.RemoteImage {
    return new docker.RemoteImage(
      name,
      { name: ref, keepLocally: false },
      {
        parent: this,
        provider: host.docker,
        deletedWith: host.node.machine,
        dependsOn: [host.stages],
        customTimeouts: { create: "20m" },
      },
    );
  }

  private rayNode(
    name: string,
    host: Host,
    plan: Plan,
    ref: pulumi.Input<string>,
    seed: pulumi.Output<string>,
  ): void {
    const base = `${name}-${host.node.plan.name}`;
    new RayNode(
      `${base}-ray`,
      {
        plan,
        node: host.node,
        docker: host.docker,
        image: this.pulled(`${base}-image-ray`, host, ref).imageId,
        seed,
      },
      { parent: this, dependsOn: [host.stages] },
    );
  }

  private workspaces(
    name: string,
    host: Host,
    args: ClusterArgs,
    ref: pulumi.Input<string>,
    seed: pulumi.Output<string>,
  ): Workspace[] {
    const users = args.plan.users.filter((user) => user.node === host.node.plan.name);
    const base = `${name}-${host.node.plan.name}`;
    const image = this.pulled(`${base}-image-workspace`, host, ref);
    return users.map(
      (user) =>
        new Workspace(
          `${name}-workspace-${user.name}`,
          {
            plan: args.plan,
            user,
            node: host.node,
            docker: host.docker,
            image: image.imageId,
            network: host.network.name,
            seed,
            secrets: args.secrets[user.name] ?? {},
          },
          { parent: this, dependsOn: [host.stages] },
        ),
    );
  }
}

/** What the plan asks of one node's host stages. */
function stagesArgs(plan: Plan, nodes: readonly LocalNodePlan[], node: Node, registry: string): StagesArgs {
  const { ray, users } = plan.ports;
  const { workers, ...rayPorts } = ray;
  const single = (port: number) => ({ start: port, end: port });
  return {
    node: { name: node.plan.name, connection: node.connection, machine: node.machine },
    firewall: {
      allowSsh: plan.firewall.allowSsh,
      sshPort: node.plan.sshPort,
      allowUsers: plan.firewall.allowUsers,
      userPorts: [{ start: users.start, end: users.start + PORTS_PER_USER * users.blocks - 1 }],
      clusterAddresses: nodes.map((other) => other.privateAddress),
      clusterPorts: plan.ray.enabled ? [...Object.values(rayPorts).map(single), workers] : [],
      rules: plan.firewall.rules,
    },
    runtime: {
      avoidNetworks: [plan.network.cidr],
      insecureRegistries: [registry],
    },
  };
}

/**
 * Keys and known hosts, on this computer's disk as soon as the seed is known; gives the SSH options that name them.
 */
function placeFiles(
  plan: Plan,
  planned: readonly LocalNodePlan[],
  secrets: UserSecrets,
  seed: pulumi.Output<string>,
): pulumi.Output<string[]> {
  const files = stackFiles(plan.stack);
  const placed = seed.apply((value) => {
    const nodes = new Map(planned.map((node) => [node.name, node]));
    const knownHosts = [
      ...planned.map((node) =>
        knownHostsLine(node.address, node.sshPort, nodeHostKey(value, node.name).publicKey),
      ),
      ...plan.users.flatMap((user) => {
        const node = nodes.get(user.node);
        if (!node) return [];
        return [knownHostsLine(node.address, user.ports.ssh, workspaceHostKey(value, user.name).publicKey)];
      }),
    ].join("");
    const keys = plan.users.flatMap((user) => {
      const { sshPrivateKey } = userCredentials(value, user, secrets[user.name]?.password);
      return sshPrivateKey === undefined || user.state === "removed"
        ? []
        : [[`user-${user.name}`, sshPrivateKey]];
    });
    placeStackFiles(plan.stack, {
      id_ed25519: operatorKey(value).privateKey,
      known_hosts: knownHosts,
      ...(Object.fromEntries(keys) as Record<string, string>),
    });
    return dockerSshOptions(files);
  });
  // Only paths and options: nothing of the seed is left in it.
  return pulumi.unsecret(placed);
}
