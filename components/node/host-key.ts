import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { DigitaloceanNodePlan } from "../../config";
import { renderHostKey } from "../host";
import { nodeHostKey, operatorKey, ownHostKey } from "../secrets";

/** @example { plan: droplet, address: "192.0.2.10", machine, seed } */
export interface OwnHostKeyArgs {
  plan: DigitaloceanNodePlan;
  address: pulumi.Input<string>;
  /** The machine: another one gets its key anew. */
  machine: pulumi.CustomResource;
  /** The stack's seed. */
  seed: pulumi.Output<string>;
}

const SCRIPT = "node scripts/host-key.mjs";

/**
 * Gives a machine a host key that is not in its user data, over a connection that the key of the user data proves.
 *
 * Creates: one local command. The key of the user data is accepted once for each machine: what runs again later (the
 * stage has another text, the machine another address) asks for the machine's own.
 * @returns the public key that the machine shows from then on; unknown as long as it does not.
 */
export function giveOwnHostKey(
  name: string,
  { plan, address, machine, seed }: OwnHostKeyArgs,
  opts: pulumi.ComponentResourceOptions,
): pulumi.Output<string> {
  const job = pulumi.all([seed, address, machine.id]).apply(([value, host, id]) => {
    const own = ownHostKey(value, plan.name);
    return JSON.stringify({
      node: plan.name,
      machine: id,
      host,
      port: plan.sshPort,
      user: plan.sshUser,
      privateKey: operatorKey(value).privateKey,
      made: nodeHostKey(value, plan.name).publicKey,
      own: own.publicKey,
      command: renderHostKey({ node: plan.name, publicKey: own.publicKey }),
      secrets: { privateKey: own.privateKey },
    });
  });
  const script = pulumi.interpolate`${SCRIPT} # machine ${machine.id}`;
  const given = new command.local.Command(
    name,
    {
      create: script,
      stdin: pulumi.secret(job),
      logging: "none",
      // What it printed the last time says which machine has its key by now.
      addPreviousOutputInEnv: true,
    },
    {
      ...opts,
      dependsOn: [machine],
      deletedWith: machine,
      additionalSecretOutputs: ["stdout", "stderr"],
      customTimeouts: { create: "30m", update: "30m" },
    },
  );
  return pulumi.unsecret(
    pulumi.all([seed, given.id]).apply(([value]) => ownHostKey(value, plan.name).publicKey),
  );
}
