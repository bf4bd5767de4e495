import * as pulumi from "@pulumi/pulumi";
import type { NodePlan } from "../../config";
import type { Connection } from "./connection";

/** What every kind of node looks like to the rest of the program. */
export interface Node {
  readonly plan: NodePlan;
  readonly connection: Connection;
  /** The machine itself; what stands on it goes with it. */
  readonly machine: pulumi.CustomResource;
}

/** A command's text bound to the machine: a replaced machine gets it run again, in place. */
export function onMachine(node: Node, text: pulumi.Input<string>): pulumi.Output<string> {
  return pulumi.interpolate`${text}\n# machine ${node.machine.id}`;
}
