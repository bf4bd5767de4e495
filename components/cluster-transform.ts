import * as pulumi from "@pulumi/pulumi";
import type { AccountArgs } from "./digitalocean";
import type { DropletNodeArgs, LocalNodeArgs } from "./node";
import type { RayNodeArgs } from "./ray";
import type { RegistryArgs } from "./registry";
import type { WorkspaceArgs } from "./workspace";

/**
 * Which resources a program may change before they are registered, by component. Each function is called once for every
 * resource of its kind, on every node and for every user.
 *
 * @example
 * {
 *   account: { project: () => ({ args: { purpose: "GPU cluster of the lab" } }) },
 *   workspace: { container: () => ({ args: { stopTimeout: 60 } }) },
 * }
 */
export interface ClusterTransform {
  account?: AccountArgs["transform"];
  dropletNode?: DropletNodeArgs["transform"];
  localNode?: LocalNodeArgs["transform"];
  registry?: RegistryArgs["transform"];
  rayNode?: RayNodeArgs["transform"];
  workspace?: WorkspaceArgs["transform"];
}

type Children<T> = readonly (keyof NonNullable<T>)[];

const CHILDREN: { [C in keyof ClusterTransform]-?: Children<ClusterTransform[C]> } = {
  account: ["vpc", "firewall", "project"],
  dropletNode: ["droplet", "volume", "reservedIp", "record"],
  localNode: ["container", "volume"],
  registry: ["container", "volume"],
  rayNode: ["container"],
  workspace: ["container"],
};

/**
 * Refuses a name that is none, and a change that is no function: Pulumi runs a program without looking at its types.
 * @throws RunError naming each, with what is allowed
 */
export function checkTransform(transform: ClusterTransform): void {
  const known: Readonly<Record<string, readonly string[]>> = CHILDREN;
  const wrong = (path: string, allowed: readonly string[]) =>
    `transform.${path} is nothing that can be changed; allowed: ${allowed.join(", ")}`;
  const problems = Object.entries(transform).flatMap(([component, children]) => {
    const allowed = known[component];
    if (!allowed) return [wrong(component, Object.keys(known))];
    return Object.entries(children ?? {}).flatMap(([child, change]) => {
      if (!allowed.includes(child)) return [wrong(`${component}.${child}`, allowed)];
      if (change === undefined || typeof change === "function") return [];
      return [`transform.${component}.${child} is no function; allowed: (args, opts, name) => ({ … })`];
    });
  });
  if (problems.length > 0) throw new pulumi.RunError(problems.join("\n"));
}
