import { type ManagerPlan, managerOf, type Plan, type PlannedNode } from "../../config";
import { bracketed } from "../../core/net";

/** What a node's berthd is told of the container manager, from the plan. Pure. */

/**
 * Where a node is, once that is known.
 * @example { address: "192.0.2.10", privateAddress: "10.110.0.2" }
 */
export interface NodeAddresses {
  address: string;
  privateAddress: string;
}

/** `manager` of node.json, as agent/src/config.ts reads it. */
export interface ManagerDocument
  extends Pick<
    ManagerPlan,
    "templates" | "repositories" | "callbacks" | "origins" | "reserveMiB" | "mainImages"
  > {
  /** `standIn`: what is taken where a container is to begin with one of these names; `image`: by digest. */
  images: { default: string; allowed: string[]; standIn?: { names: string[]; image: string } };
  listen: { address: string; port: number; tls?: { certificate: string; key: string } };
  publish: { address: string };
  /** As back-ends reach it. */
  url: string;
}

/** The address of a node where something is offered. */
function addressOf(place: ManagerPlan["listen"], { address, privateAddress }: NodeAddresses): string {
  return { loopback: "127.0.0.1", private: privateAddress, public: address }[place];
}

/** Where back-ends reach what containers publish. */
export const publishAddress = ({ publish }: ManagerPlan, at: NodeAddresses) => addressOf(publish, at);

/** Where back-ends reach the manager, without a slash at the end. */
export function managerUrl(manager: ManagerPlan, node: string, at: NodeAddresses): string {
  const host = bracketed(addressOf(manager.listen, at));
  const own = `${manager.tls ? "https" : "http"}://${host}:${manager.port}`;
  return (manager.urls[node] ?? own).replace(/\/+$/, "");
}

/** Whose things the node's berthd removes for good: of tenants that it serves no more. Undefined: nobody's. */
export function purgedTenants(
  { manager }: Pick<Plan, "manager">,
  { name }: Pick<PlannedNode, "name">,
): true | string[] | undefined {
  if (manager?.purge.nodes.includes(name)) return true;
  const tenants = [...(manager?.purge.tenants ?? [])].sort();
  return tenants.length > 0 ? tenants : undefined;
}

/** Whether an image of this repository stands in for others on a node. */
export const hasStandIn = (plan: Pick<Plan, "manager">, node: Pick<PlannedNode, "name">): boolean =>
  (managerOf(plan, node)?.images.standIn.length ?? 0) > 0;

/**
 * `manager` of the node's node.json; undefined where the node has none.
 *
 * @param standIn the image that stands in for the names of `images.standIn`, by digest
 */
export function managerDocument(
  plan: Pick<Plan, "manager">,
  node: Pick<PlannedNode, "name">,
  at: NodeAddresses,
  standIn?: string,
): ManagerDocument | undefined {
  const manager = managerOf(plan, node);
  if (!manager) return undefined;
  const { port, tls, templates, repositories, callbacks, origins, reserveMiB, mainImages } = manager;
  const { standIn: names, ...images } = manager.images;
  return {
    listen: { address: addressOf(manager.listen, at), port, ...(tls ? { tls } : {}) },
    publish: { address: publishAddress(manager, at) },
    url: managerUrl(manager, node.name, at),
    templates,
    images: { ...images, ...(standIn && names.length > 0 ? { standIn: { names, image: standIn } } : {}) },
    ...{ repositories, callbacks, origins, reserveMiB, mainImages },
  };
}
