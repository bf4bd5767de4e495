import * as pulumi from "@pulumi/pulumi";
import type { BaremetalNodePlan } from "../../config";
import { type PreflightOptions, patience, renderPreflight, renderRetire } from "../host";
import { known } from "../known";
import { nodeCommand } from "../node-command";
import { operatorKey } from "../secrets";
import { type Connection, sshConnection } from "./connection";
import { nodeFiles, placeNodeFiles } from "./files";
import { baremetalAccess } from "./ssh-access";
import type { Node } from "./types";

/** @example { stack: "metal", plan: server, preflight: preflightOptions(plan, server), seed } */
export interface BaremetalNodeArgs {
  stack: string;
  plan: BaremetalNodePlan;
  /** What the plan will ask of the server, for the report of what will change. */
  preflight: Omit<PreflightOptions, "node">;
  /** The stack's seed. */
  seed: pulumi.Output<string>;
}

/**
 * A node that is a server which exists already. It is adopted as it stands: its users, disks and containers stay
 * theirs.
 *
 * Creates: one `command:remote:Command`, `NAME-adoption`. It looks at the server before anything is changed, and refuses one that
 * cannot be adopted; when the node leaves the stack, it takes away what Berth put there, and nothing else.
 * Needs: SSH to the server with a key, as root or a user with passwordless sudo; Debian 12 or Ubuntu 22.04, or newer.
 * Footprint: on the server `/var/lib/berth/before.json`, which says what was there before, and `/var/log/berth/preflight.log`; both
 * go with the resource. On this computer the stack's key and the node's known hosts (`secrets/files.ts`).
 */
export class BaremetalNode extends pulumi.ComponentResource implements Node {
  readonly plan: BaremetalNodePlan;
  readonly address: pulumi.Output<string>;
  readonly privateAddress: pulumi.Output<string>;
  readonly hostKey: pulumi.Output<string>;
  readonly connection: Connection;
  readonly sshOptions: pulumi.Output<string[]>;
  /** Everything on the node comes after it, and goes before it. */
  readonly adopted: pulumi.Resource;

  constructor(name: string, args: BaremetalNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:node:BaremetalNode", name, {}, opts);
    const { plan, stack, seed } = args;
    this.plan = plan;
    this.address = known(plan.address);
    this.privateAddress = known(plan.privateAddress);
    this.hostKey = known(plan.hostKey);
    const access = baremetalAccess(plan, nodeFiles(stack, plan.name), seed.apply(operatorKey));
    this.connection = sshConnection(access.target);
    this.sshOptions = placeNodeFiles({
      stack,
      node: plan.name,
      knownHosts: known([plan.address, plan.hostKey, plan.jump]).apply(() => access.knownHosts.join("")),
      options: () => access.sshOptions,
      seed,
    });
    this.adopted = nodeCommand(
      `${name}-adoption`,
      { connection: { ...this.connection, ...patience } },
      {
        create: known(args.preflight).apply((asked) => renderPreflight({ ...asked, node: plan.name })),
        delete: known(args.preflight.storage ?? {}).apply((storage) =>
          renderRetire({ node: plan.name, stack, sshPort: plan.sshPort, storage }),
        ),
      },
      { parent: this },
    );
    this.registerOutputs({ address: plan.address });
  }
}
