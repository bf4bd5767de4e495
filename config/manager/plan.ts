import type { RepositoryHost, Template } from "../../core/manager";
import type { ManagerConfig } from "./schema";

/** The container manager, with every default filled in. */
export interface ManagerPlan
  extends Pick<ManagerConfig, "listen" | "port" | "publish" | "tenants" | "urls" | "purge"> {
  /** Names of the nodes that have it, in the stack's order. */
  nodes: string[];
  /** Files of the node. @default none: plain HTTP */
  tls?: { certificate: string; key: string };
  /**
   * Networks that may reach it, and the ports that containers publish. On loopback nobody else does.
   * @example { listen: ["10.88.0.0/24"], publish: ["0.0.0.0/0", "::/0"] }
   */
  from: { listen: string[]; publish: string[] };
  templates: Template[];
  /** `standIn`: names for which the image `dev` of this repository stands in; none: it is not built. */
  images: { default: string; allowed: string[]; standIn: string[] };
  repositories: { hosts: RepositoryHost[] };
  callbacks: { allowed: string[] };
  origins: string[];
  reserveMiB: number;
  mainImages: { unusedHours: number };
}

/** The container manager of a node that has it. */
export function managerOf(
  { manager }: { manager?: ManagerPlan },
  { name }: { name: string },
): ManagerPlan | undefined {
  return manager?.nodes.includes(name) ? manager : undefined;
}
