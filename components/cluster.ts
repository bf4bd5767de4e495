import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { LocatedPlan, Plan, PlannedNode, UserSecrets } from "../config";
import { hasWorkspace, servedByHead } from "../config";
import { labelList, ownerLabels, physicalName, SYSTEM } from "../core/containers";
import { Agent } from "./agent";
import { type ClusterTransform, checkTransform } from "./cluster-transform";
import { Account } from "./digitalocean";
import { type GpuPool, nodePool, RAY_KEY, workspaceKey } from "./gpu";
import { Image, type ImageName } from "./images";
import { hasStandIn, type ManagerInfo, managerInfos, tenantTokens, tokenHashes } from "./manager";
import { BaremetalNode, DropletNode, LocalNode, located, type Node, standsOn } from "./node";
import { RayNode, rayAddresses, rayGeneration } from "./ray";
import { type ReadyNode, readyNode } from "./ready-node";
import { Registry, registryHost } from "./registry";
import { registryPassword, Seed, type UserCredentials, userCredentials } from "./secrets";
import { placeFiles } from "./stack-files";
import { nfsServers, preflightOptions } from "./stage-options";
import { type UserInfo, Workspace } from "./workspace";

/** @example { plan, secrets: { alice: { password: "from pulumi config" } } } */
export interface ClusterArgs {
  plan: Plan;
  /** Secret values from configuration, by user. */
  secrets: UserSecrets;
  /** Changes children, by the component that they belong to: see {@link ClusterTransform}. @default none */
  transform?: ClusterTransform;
}

/** A node with its daemon: what grants, Ray and workspaces stand on. */
interface ServedNode extends ReadyNode {
  agent: Agent;
}

/** A node as the stack's outputs show it. */
export interface NodeInfo {
  name: string;
  kind: string;
  role: string;
  address: pulumi.Output<string>;
  privateAddress: pulumi.Output<string>;
}

/**
 * The whole cluster, in the order in which it comes to life: nodes, host stages, images, berthd, grants,
 * Ray, workspaces.
 *
 * Creates: everything of the stack. Its own children are the components in this folder, the docker providers of the engines, the
 * networks of local nodes and of workspaces, a `docker:RemoteImage` for each image on each node, and `NODE-auto-exec` commands.
 * Needs: a Docker engine on this computer, for local nodes and image builds; for droplets a token of DigitalOcean; for servers SSH.
 * Footprint: that of its components; on each node the Docker network `berth-workspaces` and the images; on this computer the keys
 * and known hosts of the stack in `~/.local/share/berth/stacks/STACK`.
 */
export class Cluster extends pulumi.ComponentResource {
  /** By name, so that a preview shows who comes and goes: in a list, whoever follows takes a place over. */
  readonly nodes: Record<string, NodeInfo>;
  /** By name. */
  readonly users: Record<string, pulumi.Output<UserInfo>>;
  readonly ray: pulumi.Output<{ address: string; client: string; dashboard: string }> | undefined;
  /** By node, what a back-end needs of its container manager; undefined in a stack without one. */
  readonly managers: Record<string, ManagerInfo> | undefined;
  /** Secret; by node, the token of each tenant. */
  readonly tenantTokens: Record<string, Record<string, pulumi.Output<string>>> | undefined;
  /** Secret; by user. */
  readonly credentials: pulumi.Output<Record<string, UserCredentials>>;

  private readonly cluster: string;
  private readonly plan: Plan;
  /** The plan, once the head has its addresses. */
  private readonly located: pulumi.Output<LocatedPlan>;
  private readonly secrets: UserSecrets;
  private readonly transform: ClusterTransform;
  private readonly seed: pulumi.Output<string>;
  /** Of Ray's token. */
  private readonly rayGeneration: pulumi.Output<string>;
  /** The engine on this computer and the network of what runs there; for stacks with a local node. */
  private readonly operator?: { engine: docker.Provider; network: docker.Network };

  constructor(name: string, args: ClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    const { plan, secrets, transform = {} } = args;
    checkTransform(transform);
    super("berth:index:Cluster", name, {}, opts);
    this.cluster = name;
    this.plan = plan;
    this.secrets = secrets;
    this.transform = transform;
    this.seed = new Seed(`${name}-seed`, { protect: plan.production }, { parent: this }).value;
    this.rayGeneration = rayGeneration(this, `${name}-ray-token`, plan);
    if (plan.nodes.some(({ kind }) => kind === "local")) this.operator = this.operatorEngine();
    const images = this.images();

    const nodes = this.machines(images.node);
    const headNode = nodes.find(({ plan: { role } }) => role === "head");
    if (!headNode) throw new Error("unreachable: a plan has a head");
    this.located = located(headNode).apply((head) => ({ ...plan, head }));
    placeFiles(plan, nodes, secrets, this.seed);

    const ready = this.hosts(nodes, headNode);
    const registry = this.registry(headNode, ready, images.registry);
    const agentImage = registry.serve(images.agent);
    const standIn = images.dev && registry.serve(images.dev);
    const hosts = ready.map((host) => ({ ...host, agent: this.agent(host, agentImage, standIn) }));
    const pools = new Map(hosts.map((host) => [host, this.pool(host)]));
    if (images.ray) {
      const image = registry.serve(images.ray);
      for (const host of hosts) this.rayNode(host, image, pools.get(host));
    }
    const image = images.workspace ? registry.serve(images.workspace) : undefined;
    const workspaces = image ? hosts.flatMap((host) => this.workspaces(host, image, pools.get(host))) : [];

    this.nodes = Object.fromEntries(
      nodes.map(({ plan: { name, kind, role }, address, privateAddress }) => [
        name,
        { name, kind, role, address, privateAddress },
      ]),
    );
    this.users = Object.fromEntries(workspaces.map(({ user, info }) => [user, info]));
    this.ray = plan.ray.enabled ? this.located.apply(rayAddresses) : undefined;
    this.credentials = this.allCredentials();
    this.managers = managerInfos(plan, nodes, this.seed);
    this.tenantTokens =
      this.managers &&
      Object.fromEntries(
        Object.keys(this.managers).map((node) => [node, tenantTokens(plan, { name: node }, this.seed)]),
      );
    this.registerOutputs({
      nodes: this.nodes,
      users: this.users,
      ray: this.ray,
      managers: this.managers,
      tenantTokens: this.tenantTokens,
      credentials: this.credentials,
    });
  }

  /** Everything built here, parents first, but no image that the stack does not use: those of Ray and of workspaces are large. */
  private images() {
    const { plan } = this;
    const image = (which: ImageName, after: pulumi.Resource[]) =>
      new Image(`${this.cluster}-image-${which}`, which, { parent: this, dependsOn: after });
    const node = this.operator ? image("node", []) : undefined;
    const registry = image("registry", node ? [node] : []);
    const agent = image("agent", [registry]);
    const ray = plan.ray.enabled ? image("ray", [agent]) : undefined;
    const workspace = plan.users.length > 0 ? image("workspace", [ray ?? agent]) : undefined;
    const standsIn = plan.nodes.some((one) => hasStandIn(plan, one));
    const dev = standsIn ? image("dev", [workspace ?? ray ?? agent]) : undefined;
    return { node, registry, agent, ray, workspace, dev };
  }

  /** The engine on this computer, named so that nothing reaches it by default. */
  private operatorEngine() {
    const { plan, cluster: name } = this;
    const engine = new docker.Provider(
      `${name}-engine`,
      { host: process.env.DOCKER_HOST || "unix:///var/run/docker.sock" },
      { parent: this },
    );
    const network = new docker.Network(
      `${name}-network`,
      {
        name: physicalName(plan.stack),
        driver: "bridge",
        ipamConfigs: [{ subnet: plan.network.cidr, gateway: plan.network.gateway }],
        labels: labelList(ownerLabels({ stack: plan.stack, owner: SYSTEM, component: "network" })),
      },
      { parent: this, provider: engine, deleteBeforeReplace: true },
    );
    return { engine, network };
  }

  /** The machines, whatever their kind. */
  private machines(nodeImage: Image | undefined): Node[] {
    const { plan, seed, transform } = this;
    const shared = plan.digitalocean;
    const droplets = plan.nodes.some(({ kind }) => kind === "digitalocean");
    const account =
      shared && droplets
        ? new Account(
            `${this.cluster}-digitalocean`,
            { plan, shared, seed, transform: transform.account },
            { parent: this },
          )
        : undefined;
    const make = (node: PlannedNode): Node => {
      const name = `${this.cluster}-${node.name}`;
      const { stack, production } = plan;
      switch (node.kind) {
        case "local": {
          if (!this.operator || !nodeImage) throw new Error("unreachable: a local node has its engine");
          return new LocalNode(
            name,
            {
              ...{ stack, plan: node, seed, production, transform: transform.localNode },
              ...{ network: this.operator.network, image: nodeImage.id },
            },
            { parent: this, providers: [this.operator.engine] },
          );
        }
        case "digitalocean": {
          if (!account || !shared) throw new Error("unreachable: a droplet has its account");
          const domain = node.role === "head" ? shared.domain : undefined;
          return new DropletNode(
            name,
            {
              ...{ stack, plan: node, account, seed, production, transform: transform.dropletNode },
              ...{ sshKeys: shared.sshKeys, tags: shared.tags },
              ...(domain === undefined ? {} : { domain }),
            },
            { parent: this },
          );
        }
        case "baremetal":
          return new BaremetalNode(
            name,
            { stack, plan: node, preflight: preflightOptions(plan, node), seed },
            { parent: this },
          );
        default:
          return node satisfies never;
      }
    };
    return plan.nodes.map(make);
  }

  /** Host stages and engines; a node that mounts from another comes after it. */
  private hosts(nodes: readonly Node[], head: Node): ReadyNode[] {
    const { plan } = this;
    const registry = registryHost(
      servedByHead(plan) ? { on: "head", node: head } : { on: "operator", address: plan.network.registry },
    );
    const made = new Map<string, ReadyNode>();
    // It does not call itself for ever: a configuration in which two nodes mount from each other is refused.
    const ready = (node: Node): ReadyNode => {
      const { name } = node.plan;
      const known = made.get(name);
      if (known) return known;
      const names = nfsServers(plan, node.plan);
      const servers = nodes.filter((other) => names.includes(other.plan.name)).map(ready);
      const one = readyNode(this, `${this.cluster}-${name}`, { plan, node, registry, servers });
      made.set(name, one);
      return one;
    };
    return nodes.map(ready);
  }

  private registry(headNode: Node, hosts: readonly ReadyNode[], image: Image): Registry {
    const { plan, operator } = this;
    const shared = {
      stack: plan.stack,
      image,
      password: this.seed.apply(registryPassword),
      transform: this.transform.registry,
    };
    const head = hosts.find(({ node }) => node === headNode);
    if (servedByHead(plan)) {
      if (!head) throw new Error("unreachable: the head is among the nodes");
      return new Registry(
        `${this.cluster}-registry`,
        { ...shared, place: { on: "head", node: headNode, after: [head.stages] } },
        { parent: this, providers: [head.docker] },
      );
    }
    if (!operator) throw new Error("unreachable: a stack of local nodes has its engine");
    const { network } = operator;
    return new Registry(
      `${this.cluster}-registry`,
      {
        ...shared,
        place: { on: "operator", network, address: plan.network.registry, pushPort: plan.registryPort },
      },
      { parent: this, providers: [operator.engine] },
    );
  }

  /** An image of the stack's registry, on a node. */
  private pulled(name: string, host: ReadyNode, ref: pulumi.Input<string>): docker.RemoteImage {
    return new docker.RemoteImage(
      name,
      { name: ref, keepLocally: false },
      {
        parent: this,
        provider: host.docker,
        ...standsOn(host.node),
        dependsOn: [host.stages],
        customTimeouts: { create: "20m" },
      },
    );
  }

  /** The node's daemon; its image comes from the registry, which may stand on the head itself. */
  private agent(host: ReadyNode, image: pulumi.Input<string>, standIn?: pulumi.Output<string>): Agent {
    const { plan, cluster } = this;
    const { node, stages } = host;
    return new Agent(
      `${cluster}-${node.plan.name}-agent`,
      {
        ...{ plan, node, image, tokenHashes: tokenHashes(plan, node.plan, this.seed) },
        ...(hasStandIn(plan, node.plan) ? { standIn } : {}),
      },
      { parent: this, dependsOn: [stages] },
    );
  }

  private rayNode(host: ServedNode, ref: pulumi.Input<string>, pool: GpuPool | undefined): void {
    const base = `${this.cluster}-${host.node.plan.name}`;
    new RayNode(
      `${base}-ray`,
      {
        plan: this.plan,
        located: this.located,
        node: host.node,
        docker: host.docker,
        image: this.pulled(`${base}-image-ray`, host, ref).imageId,
        ...(host.fabric ? { fabric: host.fabric } : {}),
        ...(pool && host.node.plan.ray.gpu ? { gpus: pool.of(RAY_KEY) } : {}),
        seed: this.seed,
        generation: this.rayGeneration,
        transform: this.transform.rayNode,
      },
      { parent: this, dependsOn: [host.stages, host.agent] },
    );
  }

  /** What the stack grants on a node. */
  private pool(host: ServedNode): GpuPool | undefined {
    const { plan } = this;
    const { node, agent } = host;
    return nodePool(this, `${this.cluster}-${node.plan.name}-gpus`, { plan, node, after: [agent] });
  }

  private workspaces(host: ServedNode, ref: pulumi.Input<string>, pool: GpuPool | undefined): Workspace[] {
    const users = this.plan.users.filter((user) => user.node === host.node.plan.name);
    if (users.length === 0) return [];
    const image = this.pulled(`${this.cluster}-${host.node.plan.name}-image-workspace`, host, ref);
    return users.map(
      (user) =>
        new Workspace(
          `${this.cluster}-workspace-${user.name}`,
          {
            plan: this.plan,
            located: this.located,
            user,
            node: host.node,
            docker: host.docker,
            image: image.imageId,
            network: host.network.name,
            ...(host.fabric ? { fabric: host.fabric } : {}),
            ...(pool && user.gpu ? { gpus: pool.of(workspaceKey(user.name)) } : {}),
            seed: this.seed,
            rayGeneration: this.rayGeneration,
            secrets: this.secrets[user.name] ?? {},
            transform: this.transform.workspace,
          },
          { parent: this, dependsOn: [host.stages, host.agent] },
        ),
    );
  }

  private allCredentials() {
    const users = this.plan.users.filter(hasWorkspace);
    return pulumi.secret(
      this.seed.apply((value) =>
        Object.fromEntries(
          users.map((user) => [user.name, userCredentials(value, user, this.secrets[user.name]?.password)]),
        ),
      ),
    );
  }
}
