import * as pulumi from "@pulumi/pulumi";
import { locate, type NodePlan, type PlannedNode } from "../../config";
import { bracketed } from "../../core/net";
import type { Connection } from "./connection";

/** What every kind of node looks like to the rest of the program. */
export interface Node {
  /** The node as configuration knows it. */
  readonly plan: PlannedNode;
  /** Where the operator's computer reaches it. */
  readonly address: pulumi.Output<string>;
  /** Where the other nodes reach it. */
  readonly privateAddress: pulumi.Output<string>;
  /** `TYPE BASE64`. */
  readonly hostKey: pulumi.Output<string>;
  readonly connection: Connection;
  /** For a docker.Provider: how to reach the same machine, with the same checks. */
  readonly sshOptions: pulumi.Output<string[]>;
  /** The machine, where it is a resource; what stands on it goes with it. */
  readonly machine?: pulumi.CustomResource;
  /** How long the first stage tries to connect. @default the stages' own patience */
  readonly dial?: { dialErrorLimit: number; perDialTimeout: number };
}

/** The node's plan with its addresses. */
export function located({ plan, address, privateAddress }: Node): pulumi.Output<NodePlan> {
  return pulumi.output({ address, privateAddress }).apply((both) => locate(plan, both));
}

/** `USER@HOST:PORT`, as Docker's `ssh://` and scripts/image.mjs take it. */
export function sshTarget({ plan, address }: Node): pulumi.Output<string> {
  return address.apply((host) => `${plan.sshUser}@${bracketed(host)}:${plan.sshPort}`);
}

/** A command's text bound to the machine: a replaced machine gets it run again, in place. */
export function onMachine(
  { machine }: Pick<Node, "machine">,
  text: pulumi.Input<string>,
): pulumi.Output<string> {
  return machine ? pulumi.interpolate`${text}\n# machine ${machine.id}` : pulumi.output(text);
}

/**
 * Options of a Docker object on the node. It goes with the machine; and where a machine is replaced by another with
 * an empty disk (a droplet), it is made again, which nothing in its own inputs would say. A local node keeps its
 * Docker data in a volume of its own.
 */
export function standsOn(node: Node): Pick<pulumi.CustomResourceOptions, "deletedWith" | "replaceWith"> {
  const { machine, plan } = node;
  if (!machine) return {};
  return plan.kind === "digitalocean"
    ? { deletedWith: machine, replaceWith: [machine] }
    : { deletedWith: machine };
}
