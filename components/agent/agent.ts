import * as pulumi from "@pulumi/pulumi";
import type { Plan } from "../../config";
import { answer, known } from "../known";
import { type Node, onMachine } from "../node";
import { nodeCommand } from "../node-command";
import { agentDocuments, nodeUsers } from "./documents";
import { AGENT } from "./options";
import { type AgentFacts, agentInput, readAgentFacts, renderAgent } from "./stage";

/** @example { plan, node, image: registry.serve(image) } */
export interface AgentArgs {
  plan: Plan;
  node: Node;
  /**
   * The image that carries the program, by digest.
   * @example "10.88.0.2:5000/berth/agent@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
   */
  image: pulumi.Input<string>;
  /**
   * Of the back-ends that the node serves, by their names: SHA-256 of each one's token, in hex.
   * @default none
   * @example { "web-ide": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" }
   */
  tokenHashes?: pulumi.Input<Record<string, string>>;
  /**
   * Of a node whose container manager has one: the image that stands in for others, by digest.
   * @default none
   * @example "10.88.0.2:5000/berth/dev@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
   */
  standIn?: pulumi.Input<string>;
}

/**
 * berthd on one node: the program, its unit, what the stack tells it.
 *
 * Creates: one `command:remote:Command`, which runs the stage `agent`.
 * Needs: the host stages up to `runtime` on the node, and the registry that serves the image.
 * Footprint: on the node `berthd.service`; the program in `/usr/local/lib/berth/agent`, with links to it in `/usr/local/bin` and the
 * folders of shell completion; documents in `/etc/berth/agent`, the ledger in `/var/lib/berth/agent`, logs in `/var/log/berth`;
 * `/run/berth` with a folder for each user's socket, which `/etc/tmpfiles.d/berth-agent.conf` makes at each start; the port of the API
 * (9700) unless `listen` is `off`; with the container manager its port too (8080), repositories in `/var/cache/berth` and
 * packages in `/var/lib/berth/packages`. berthd itself adds `berth*.slice` units, and for declared GPUs a stand-in for nvidia-smi and
 * `/etc/cdi/berth-declared.json`; with the first container that it makes for somebody, the Docker network `berth-containers` (bridge
 * `berth-ct0`). 130 MB on the disk, twice that while it is upgraded; less than 120 MB of memory at rest.
 * All of it stays when the resource goes; a server that leaves the stack is cleaned by its `BaremetalNode`.
 */
export class Agent extends pulumi.ComponentResource {
  /** What runs there. Unknown in a preview that runs the stage. */
  readonly facts: pulumi.Output<AgentFacts>;

  constructor(name: string, args: AgentArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:agent:Agent", name, {}, opts);
    const { plan, node } = args;
    const users = nodeUsers(plan, node.plan).map((user) => user.name);
    const script = pulumi
      .output(args.image)
      .apply((image) => renderAgent({ node: node.plan.name, image, users: users.sort() }));
    const stage = nodeCommand(
      `${name}-stage`,
      node,
      {
        create: onMachine(node, script),
        stdin: pulumi
          .all([node.address, node.privateAddress, args.tokenHashes ?? {}, args.standIn])
          .apply(([address, privateAddress, hashes, standIn]) =>
            known(agentDocuments(plan, node.plan, { address, privateAddress }, hashes, standIn)),
          )
          .apply(agentInput),
      },
      { parent: this },
    );
    this.facts = answer(pulumi.unsecret(stage.stdout), readAgentFacts);
    this.facts.apply(({ ready, problem }) => {
      if (ready) return;
      const why = problem === "" ? "" : `: ${problem}`;
      pulumi.log.warn(
        `node ${node.plan.name}: when berthd was last set up it granted nothing new${why}. How it is now, on the node: ` +
          "curl --unix-socket /run/berth/berthd.sock http://berthd/health",
        this,
      );
    });
    this.registerOutputs({ facts: this.facts });
  }
}

/** What a workspace mounts of the agent's: the command `berth`, and its user's socket. */
export function agentMounts(user: string): { source: string; target: string }[] {
  return [
    { source: AGENT.programs, target: AGENT.programs },
    { source: `${AGENT.sockets}/${user}`, target: AGENT.inWorkspace },
  ];
}
