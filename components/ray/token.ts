import * as pulumi from "@pulumi/pulumi";
import { hasWorkspace, type Plan } from "../../config";
import { stub } from "../gpu/stub";

/**
 * Which generation of Ray's token holds, where `berth:ray.access` names who has it; `dynamic/berth:RayToken` in previews.
 * Taking away somebody's access is an update of it, and with it of Ray on every node, which starts anew with another token.
 *
 * Creates: itself, a `dynamic/berth:RayToken`; it has no children.
 * Needs: nothing.
 * Footprint: nothing on a node; its entry in the stack's state.
 */
class RayToken extends pulumi.CustomResource {
  declare readonly generation: pulumi.Output<string>;

  constructor(name: string, plan: Plan, access: readonly string[], opts: pulumi.CustomResourceOptions) {
    const living = plan.users.filter(hasWorkspace).map((user) => user.name);
    const inputs = {
      access: [...access],
      without: living.filter((user) => !access.includes(user)),
      knows: undefined,
      generation: undefined,
      __provider: stub("./components/ray/load.cjs"),
    };
    super("pulumi-nodejs:dynamic/berth:RayToken", name, inputs, opts);
  }
}

/** The generation of the stack's Ray token; empty where every user has it, which it always was before there were lists. */
export function rayGeneration(parent: pulumi.Resource, name: string, plan: Plan): pulumi.Output<string> {
  const { enabled, access } = plan.ray;
  if (!enabled || access === "all") return pulumi.output("");
  return new RayToken(name, plan, access, { parent }).generation;
}
