/**
 * The part of a stack that waits for DigitalOcean: the account, droplets, volumes, as the whole program makes them from
 * the same configuration. What stands on the machines is left out, as the test API makes none.
 */
import * as pulumi from "@pulumi/pulumi";
import { Account } from "../../components/digitalocean";
import { DropletNode } from "../../components/node";
import { Seed } from "../../components/secrets";
import { validateSetup } from "../../components/workspace/setup";
import { loadConfig } from "../../config";

// There is no machine that could change its host key.
pulumi.runtime.registerStackTransformation(({ type, name, props, opts }) =>
  type === "command:local:Command" && /host-key/.test(name)
    ? { props: { ...props, create: "true" }, opts }
    : undefined,
);

const { plan } = loadConfig(pulumi.getStack(), pulumi.runtime.allConfig(), validateSetup, {
  placeholders: "refuse",
});
const { stack, production, digitalocean: shared } = plan;
if (!shared) throw new Error("this program is for droplets");
const seed = new Seed("seed").value;
const account = new Account("account", { plan, shared, seed });
for (const node of plan.nodes)
  if (node.kind === "digitalocean")
    new DropletNode(node.name, {
      ...{ stack, plan: node, account, seed, production },
      ...{ sshKeys: shared.sshKeys, tags: shared.tags },
    });
