import * as pulumi from "@pulumi/pulumi";
import type { LocalNodePlan, Plan } from "../config";

/**
 * The plan's nodes, which are all local.
 *
 * @throws pulumi.RunError naming all that the configuration asks for and this version does not make: leaving it out
 *   would look like success.
 */
export function localNodes(plan: Plan): LocalNodePlan[] {
  const nodes = plan.nodes.filter((node) => node.kind === "local");
  const unmade = [
    ...plan.nodes
      .filter(({ kind }) => kind !== "local")
      .map(({ name, kind }) => `the node "${name}" of kind ${kind}`),
    ...plan.nodes
      .filter(({ storage }) => Object.keys(storage).length > 0)
      .map(({ name }) => `storage on "${name}"`),
    ...plan.nodes.filter(({ fabric }) => fabric?.enabled).map(({ name }) => `fabric on "${name}"`),
    ...plan.users.filter(({ quota }) => quota !== undefined).map(({ name }) => `a quota for "${name}"`),
    ...(plan.production ? ["production: true"] : []),
  ];
  if (unmade.length > 0)
    throw new pulumi.RunError(
      `Stack "${plan.stack}" asks for what this version of Berth does not make: ${unmade.join(", ")}. ` +
        `Nothing was touched. Take it out of Pulumi.${plan.stack}.yaml; nodes of kind local can be made.`,
    );
  return nodes;
}
