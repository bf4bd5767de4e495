import * as pulumi from "@pulumi/pulumi";
import type { Plan } from "../../config";
import { answer, known } from "../known";
import { type Node, onMachine } from "../node";
import { nodeCommand } from "../node-command";
import { agentDocuments, nodeUsers } from "./documents";
import { AGENT } from "./options";
import { type AgentFacts, agentInput, readAgentFacts, renderAgent } from "./stage";

export interface AgentArgs {
  plan: Plan;
  node: Node;
  /** `HOST:PORT/berth/agent@sha256:…` */
  image: pulumi.Input<string>;
}

/**
 * berthd on one node: the program, its unit, what the stack tells it.
 *
 * Creates: one command. Needs on the host: the stages up to `runtime`, and the registry that serves the image.
 * Footprint: 130 MB on the disk, twice that for a moment when it is upgraded; at rest less than 120 MB of memory.
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
        stdin: node.privateAddress
          .apply((address) => known(agentDocuments(plan, node.plan, address)))
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
