import { type Template, templateSchema } from "../../core/manager";
import type { StackConfig } from "../schema";
import type { ManagerPlan } from "./plan";
import type { ManagerConfig } from "./schema";

/** The container manager where the stack does not say. Pure. */

const MiB = 2 ** 20;

/** Everybody, over both families. */
const EVERYBODY = ["0.0.0.0/0", "::/0"];

/** Names of the nodes that have the manager, in the stack's order. */
export function managerNodes({ manager, nodes }: Pick<StackConfig, "manager" | "nodes">): string[] {
  if (!manager) return [];
  const all = nodes.map(({ name }) => name);
  return all.filter((name) => manager.nodes?.includes(name) ?? true);
}

/** What stands ready where the stack names no template: some of the image that a request gets without naming one. */
export const templatesOf = ({ templates, images }: Pick<ManagerConfig, "templates" | "images">): Template[] =>
  templates ?? [templateSchema.parse({ name: "default", image: images.default })];

/** @param people networks that reach workspaces, and so what is offered at private addresses */
export function managerPlan(config: StackConfig, people: string[]): ManagerPlan | undefined {
  const { manager } = config;
  if (!manager) return undefined;
  const { listen, port, publish, tls, tenants, urls, images, repositories, callbacks, mainImages } = manager;
  const { origins, purge } = manager;
  const from = (place: ManagerConfig["listen"]) =>
    place === "loopback" ? [] : (manager.allow ?? (place === "public" ? EVERYBODY : people));
  return {
    ...{ listen, port, publish, tenants, urls, images, repositories, callbacks, origins, mainImages },
    purge,
    nodes: managerNodes(config),
    ...(tls ? { tls } : {}),
    from: { listen: from(listen), publish: from(publish) },
    templates: templatesOf(manager),
    reserveMiB: Math.ceil(manager.reserve / MiB),
  };
}
