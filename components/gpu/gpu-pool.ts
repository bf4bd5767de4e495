import * as pulumi from "@pulumi/pulumi";
import type { MigConfig } from "../../config";
import type { Ask, Assignment, DeclaredGrant, Inventory, Strategy } from "../../core/gpu";
import type { LimitsDocument } from "../../core/limits";
import type { Grants, PoolInputs } from "./inputs";
import { assignmentOf } from "./state";
import { STUB } from "./stub";

export interface GpuPoolArgs {
  /** The node's name. */
  node: string;
  /**
   * `USER@HOST:PORT`.
   * @example "root@[2001:db8::7]:22"
   */
  target: pulumi.Input<string>;
  /**
   * Words for `ssh`, as a docker.Provider gets them.
   * @example ["-i", "~/.ssh/cluster", "-o", "IdentitiesOnly=yes"]
   */
  sshOptions: pulumi.Input<string[]>;
  /** Id of the machine, where it is a resource: another machine is asked and told anew. */
  machine?: pulumi.Input<string>;
  /**
   * Everything that the stack grants on the node.
   * @example [{ key: workspaceKey("alice"), user: "alice", ask: { kind: "mig", profile: "1g.10gb", count: 1 } }]
   */
  declared: readonly DeclaredGrant[];
  /** What the node has, where the stack declares it. @default what the node's driver says */
  inventory?: Inventory;
  /**
   * How the node's own GPUs are to be divided.
   * @default as they are
   * @example [{ gpu: 0, layout: { "1g.10gb": 4, "3g.40gb": 1 } }, { gpu: 1, layout: "all-disabled" }]
   */
  layouts?: MigConfig;
  limits: LimitsDocument;
  /**
   * The group of each user.
   * @example { alice: "researcher", bob: "student" }
   */
  groups: Readonly<Record<string, string>>;
  strategy: Strategy;
  /** GPUs may be granted in shares of their memory. */
  allowShared: boolean;
}

/**
 * All GPU grants that the stack declares for one node; `dynamic/berth:GpuPool` in previews, which show each grant as a
 * line. Grants stay where they are while they can; what cannot be granted fails the preview, with the rule's name.
 *
 * Creates: itself, a `dynamic/berth:GpuPool`; it has no children.
 * Needs: berthd on the node, and SSH to it in a preview as well.
 * Footprint: grants in the node's ledger, `/var/lib/berth/agent/ledger.db`. They are given back when the resource goes.
 */
export class GpuPool extends pulumi.CustomResource {
  /** By key, the granted units. Not known in the first preview of a node whose GPUs nobody declared. */
  declare readonly assignment: pulumi.Output<Assignment>;
  /** The same for people: a line for each unit. */
  declare readonly grants: pulumi.Output<Grants>;

  constructor(name: string, args: GpuPoolArgs, opts?: pulumi.CustomResourceOptions) {
    const { machine, declared, inventory, layouts, limits, groups, ...rest } = args;
    const users = new Set(declared.map(({ user }) => user));
    const inputs: { [K in keyof PoolInputs]: pulumi.Input<PoolInputs[K]> } = {
      ...rest,
      machine: machine ?? "",
      declared: Object.fromEntries(declared.map(({ key, user, ask }) => [key, { user, ask: plain(ask) }])),
      limits: JSON.stringify(limits),
      groups: Object.fromEntries(Object.entries(groups).filter(([user]) => users.has(user))),
      ...(inventory ? { inventory: plain(inventory) } : {}),
      ...(layouts ? { layouts: JSON.stringify(layouts) } : {}),
      assignment: undefined,
      grants: undefined,
    };
    super("pulumi-nodejs:dynamic/berth:GpuPool", name, { ...inputs, __provider: STUB }, opts);
  }

  /** What a key was granted; unknown as long as `assignment` is. */
  of(key: string): pulumi.Output<Assignment[string]> {
    // An update that leaves the pool out (`--target`, `--exclude`) has its state as it is, which may have the lines alone.
    return pulumi
      .all([this.assignment, this.grants])
      .apply(([assignment, grants]) => assignmentOf({ assignment, grants })?.[key] ?? []);
  }
}

/** Without the properties that are undefined. */
function plain<T extends Ask | Inventory>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
