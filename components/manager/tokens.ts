import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { managerOf, type Plan, type PlannedNode } from "../../config";
import type { Node } from "../node";
import { tenantToken } from "../secrets";
import { managerUrl, publishAddress } from "./document";

/** What a back-end needs of one node, under the names of its environment. */
export interface ManagerInfo {
  /** Where what containers publish is reached. */
  DOCKER_HOST: pulumi.Output<string>;
  /** The manager's API. */
  DOCKER_HOST_URL: pulumi.Output<string>;
  /** Secret; the token of the stack's first tenant: 64 hexadecimal digits. */
  DOCKER_API_SECRET: pulumi.Output<string>;
}

type OnNode = Pick<PlannedNode, "name">;
type Managed = Pick<Plan, "manager">;

/** Secret; by tenant, their tokens on a node. Empty where the node has no manager. */
export function tenantTokens(
  plan: Managed,
  node: OnNode,
  seed: pulumi.Output<string>,
): Record<string, pulumi.Output<string>> {
  const tenants = managerOf(plan, node)?.tenants ?? [];
  return Object.fromEntries(
    tenants.map((tenant) => [
      tenant.name,
      pulumi.secret(seed.apply((value) => tenantToken(value, node.name, tenant))),
    ]),
  );
}

/** By tenant, the SHA-256 of their token on a node, in hex. No secret: nobody finds 256 random bits by it. */
export function tokenHashes(
  plan: Managed,
  node: OnNode,
  seed: pulumi.Output<string>,
): pulumi.Output<Record<string, string>> {
  const hash = (token: string) => createHash("sha256").update(token).digest("hex");
  const hashes = Object.entries(tenantTokens(plan, node, seed)).map(([name, token]) => [
    name,
    pulumi.unsecret(token.apply(hash)),
  ]);
  return pulumi.all(Object.fromEntries(hashes) as Record<string, pulumi.Output<string>>);
}

/** By node, what a back-end needs of its manager; undefined in a stack without one. */
export function managerInfos(
  plan: Managed,
  nodes: readonly Pick<Node, "plan" | "address" | "privateAddress">[],
  seed: pulumi.Output<string>,
): Record<string, ManagerInfo> | undefined {
  if (!plan.manager) return undefined;
  const infos = nodes.flatMap((node): [string, ManagerInfo][] => {
    const manager = managerOf(plan, node.plan);
    const [token] = Object.values(tenantTokens(plan, node.plan, seed));
    if (!manager || !token) return [];
    const at = pulumi.output({ address: node.address, privateAddress: node.privateAddress });
    return [
      [
        node.plan.name,
        {
          DOCKER_HOST: at.apply((both) => publishAddress(manager, both)),
          DOCKER_HOST_URL: at.apply((both) => managerUrl(manager, node.plan.name, both)),
          DOCKER_API_SECRET: token,
        },
      ],
    ];
  });
  return Object.fromEntries(infos);
}
