import type * as command from "@pulumi/command";
import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { hasWorkspace, type LocatedPlan, mustRun, type Plan, type UserPlan } from "../../config";
import { environment, publishedPorts, workspaceName } from "../../core/containers";
import type { GrantedUnit } from "../../core/gpu";
import { cgroupParent } from "../../core/limits";
import { agentMounts } from "../agent";
import { container, type Spec } from "../container";
import { withGpus, workspaceKey } from "../gpu";
import { type Node, onMachine, standsOn } from "../node";
import { type CommandTexts, nodeCommand } from "../node-command";
import type { Transform } from "../transform";
import { userFolders, workspaceFiles } from "./files";
import { type UserInfo, userInfo } from "./outputs";
import { readUnwell, renderForget, renderPower, renderPrepare, renderPurge } from "./prepare";
import { arePublished } from "./reach";
import { renderSetup } from "./setup";

export interface WorkspaceArgs {
  plan: Plan;
  /** The plan, once the head has its addresses. */
  located: pulumi.Output<LocatedPlan>;
  user: UserPlan;
  node: Node;
  /** The node's Docker engine. */
  docker: docker.Provider;
  /**
   * Image on the node, by id.
   * @example "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
   */
  image: pulumi.Input<string>;
  /**
   * The node's workspace network, by name.
   * @example "berth-workspaces"
   */
  network: pulumi.Input<string>;
  /**
   * Variables for NCCL, where the node has a fast network.
   * @default none
   * @example stages.fabricFacts?.nccl
   */
  fabric?: pulumi.Output<Record<string, string>>;
  /** What the user was granted, where something is asked for. @default no GPU */
  gpus?: pulumi.Output<GrantedUnit[]>;
  /** The stack's seed. */
  seed: pulumi.Input<string>;
  /** Of Ray's token. */
  rayGeneration: pulumi.Input<string>;
  /**
   * Secrets of the user's from configuration.
   * @example { credentials: { HF_TOKEN: "hf_…" } }
   */
  secrets: { password?: string; credentials?: Record<string, string> };
  /**
   * Changes children.
   * @default none
   * @example { container: (_args, _opts, name) => (name === "berth-workspace-alice" ? { args: { stopTimeout: 60 } } : {}) }
   */
  transform?: { container?: Transform<docker.ContainerArgs> };
}

/** The address of a node that its workspaces' ports are published on. */
export function workspaceHost(
  plan: Pick<Plan, "workspaceAddress">,
  node: Pick<Node, "address" | "privateAddress">,
): pulumi.Output<string> {
  return plan.workspaceAddress === "public" ? node.address : node.privateAddress;
}

/**
 * One person's berth: a container that feels like a machine of their own, with SSH at a port of their block, VS Code,
 * JupyterLab and TensorBoard behind it, and a home that outlives it.
 *
 * Creates: one `docker:Container`, and `command:remote:Command`s: `NAME-prepare` (folders and secrets), `NAME-power` (limits, start and
 * stop) and, where a set-up is configured, `NAME-setup`. For a removed user nothing, or with `purge` the command `NAME-purge` alone.
 * Needs: the host stages of the node, berthd, `docker`, the image and the network on the node.
 * Footprint: on the node the container `berth-STACK-workspace-USER`, with its SSH port published at the node's address that
 * `plan.workspaceAddress` names, and the web services too where the plan publishes them; the folders `/mnt/storage/homes/USER`,
 * `/mnt/storage/workspaces/USER`, `/mnt/storage/shared/tensorboard/USER` and `/mnt/storage/docker-volumes/USER-state`, which stay when
 * the resource goes (`purge` deletes them); `/var/lib/berth/workspaces/USER` with the secrets, which goes; the stages' logs in
 * `/var/log/berth`.
 */
export class Workspace extends pulumi.ComponentResource {
  /** Whose it is. */
  readonly user: string;
  readonly info: pulumi.Output<UserInfo>;

  constructor(name: string, args: WorkspaceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:workspace:Workspace", name, {}, opts);
    const { plan, user, node: host } = args;
    this.user = user.name;
    const node = host.plan;
    const containerName = workspaceName(plan.stack, user.name);
    const address = workspaceHost(plan, host);
    this.info = address.apply((known) => userInfo(plan, user, known, containerName));
    const run = (role: string, texts: CommandTexts, after: pulumi.Resource[]) =>
      nodeCommand(`${name}-${role}`, host, texts, { parent: this, dependsOn: after });

    if (!hasWorkspace(user)) {
      if (user.purge) {
        const purge = renderPurge(node.name, user, containerName);
        run("purge", { create: purge }, []);
      }
      this.registerOutputs({ info: this.info });
      return;
    }

    const files = pulumi
      .all([args.seed, args.located, address, args.rayGeneration])
      .apply(([seed, located, known, generation]) =>
        JSON.stringify(workspaceFiles(located, user, known, seed, generation, args.secrets.password)),
      );
    const prepare = onMachine(host, renderPrepare(node.name, user, containerName));
    const prepared = run(
      "prepare",
      {
        create: prepare,
        delete: renderForget(node.name, user),
        stdin: pulumi.secret(files),
      },
      [],
    );
    this.tell(user.name, prepared);
    const container = this.container(name, args, containerName, prepared);
    const power = onMachine(
      host,
      container.id.apply((id) => renderPower(node.name, user, containerName, id)),
    );
    const powered = run("power", { create: power }, [container]);
    this.tell(user.name, powered);

    if (plan.dockerFirst && user.setup && mustRun(user)) {
      const options = {
        user: user.name,
        node: node.name,
        container: containerName,
        setup: { ...user.setup, credentials: args.secrets.credentials },
      };
      // The credentials go by standard input; the command's text holds none of them.
      const { stdin } = renderSetup(options);
      const setup = container.id.apply((id) => renderSetup({ ...options, instance: id }).command);
      run("setup", { create: setup, ...(stdin !== undefined ? { stdin: pulumi.secret(stdin) } : {}) }, [
        powered,
      ]);
    }
    this.registerOutputs({ info: this.info });
  }

  /** Its owner may have broken it: the operator is told, and the update goes on. */
  private tell(user: string, stage: command.remote.Command): void {
    pulumi.unsecret(stage.stdout).apply((stdout) => {
      const unwell = readUnwell(stdout);
      if (unwell === undefined) return;
      pulumi.log.warn(
        `when it was last set up, ${user}'s workspace ${unwell}; npm run status says how it is now`,
        this,
      );
    });
  }

  private container(name: string, args: WorkspaceArgs, containerName: string, prepared: pulumi.Resource) {
    const { plan, user } = args;
    const node = args.node.plan;
    const { resources } = user;
    const folders = userFolders(user);
    const bind = (source: string, target: string, readOnly = false) =>
      ({ type: "bind", source, target, readOnly }) as const;
    const spec: Spec = {
      kind: "workspace",
      name: containerName,
      hostname: user.name,
      image: args.image,
      owner: { stack: plan.stack, owner: user.name, node: node.name },
      // Without sudo nothing in it gains rights: not by a file that somebody brought either.
      sudo: user.sudo,
      // The slice that holds all of this user's containers together, which berthd keeps; Docker is set to cgroupfs.
      cgroupParent: cgroupParent({ name: user.name, group: user.group }, "cgroupfs"),
      cpus: resources.cpus,
      memoryBytes: resources.memoryBytes,
      memoryReservationBytes: resources.memoryReservationBytes,
      shmBytes: resources.shmBytes,
      mounts: [
        bind(folders.home, `/home/${user.name}`),
        bind(folders.workspace, "/workspace"),
        bind(folders.shared, "/shared", true),
        bind(folders.tensorboard, `/shared/tensorboard/${user.name}`),
        bind(folders.state, "/var/lib/state"),
        bind(folders.berth, "/run/berth", true),
        ...agentMounts(user.name).map(({ source, target }) => bind(source, target, true)),
      ],
      env: (args.fabric ?? pulumi.output({})).apply(environment),
      network: { name: args.network },
      ports: publishedPorts(user.ports, arePublished(plan)).map((port) => ({
        ...port,
        address: workspaceHost(plan, args.node),
        protocol: "tcp",
      })),
      health: {
        command: ["berth-workspace-health"],
        interval: 10,
        timeout: 20,
        startPeriod: 60,
        retries: 3,
      },
      stopSeconds: 20,
      // Docker, and berthd for one whose GPUs were not there yet, start a container again by its restart policy.
      ...(mustRun(user) ? {} : { state: "down" }),
    };
    return container(
      name,
      withGpus(spec, workspaceKey(user.name), args.gpus),
      // A workspace that is to run and does not is drift; one that is to be down is stopped by the power stage.
      { mustRun: mustRun(user) },
      {
        parent: this,
        provider: args.docker,
        ...standsOn(args.node),
        dependsOn: [prepared],
        customTimeouts: { create: "10m" },
      },
      args.transform?.container,
    );
  }
}
