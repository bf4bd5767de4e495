import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import type { DigitaloceanPlan, Plan } from "../../config";
import { physicalName } from "../../core/containers";
import { operatorKey } from "../secrets";
import { type Transform, transformed } from "../transform";
import { checkCatalogue } from "./catalogue";
import { inboundRules, outboundRules } from "./firewall";

/** @example { plan, shared: { region: "fra1", vpcCidr: "10.110.0.0/20", tags: [], sshKeys: [], allowSshFrom: [] }, seed } */
export interface AccountArgs {
  plan: Plan;
  shared: DigitaloceanPlan;
  /** The stack's seed. */
  seed: pulumi.Output<string>;
  /**
   * Changes children.
   * @default none
   * @example { project: () => ({ args: { purpose: "GPU cluster of the lab" } }) }
   */
  transform?: {
    vpc?: Transform<digitalocean.VpcArgs>;
    firewall?: Transform<digitalocean.FirewallArgs>;
    project?: Transform<digitalocean.ProjectArgs>;
  };
}

/**
 * What the droplets of a stack share: the account's access, a private network, the operator's key, the firewall, and
 * the project.
 *
 * Creates: a `digitalocean` provider, a VPC, an SSH key, a tag, a cloud firewall on that tag, and a project where one is named.
 * Needs: a token with read and write access, in DIGITALOCEAN_TOKEN or as the secret `digitalocean:token`; it has to
 * hold the scopes of these resources and tag:read, tag:create and tag:delete, by which a create that was cut off is found again.
 * Footprint: nothing on a node. These objects in the account, which cost nothing and go with the stack.
 */
export class Account extends pulumi.ComponentResource {
  readonly provider: digitalocean.Provider;
  readonly vpc: digitalocean.Vpc;
  readonly key: digitalocean.SshKey;
  readonly tag: digitalocean.Tag;
  readonly firewall: digitalocean.Firewall;
  readonly project?: digitalocean.Project;

  constructor(name: string, args: AccountArgs, opts?: pulumi.ComponentResourceOptions) {
    super("berth:digitalocean:Account", name, {}, opts);
    const { plan, shared, seed, transform } = args;
    const config = new pulumi.Config("digitalocean");
    const token = config.getSecret("token");
    const apiEndpoint = config.get("apiEndpoint");
    this.provider = new digitalocean.Provider(
      name,
      { ...(token ? { token } : {}), ...(apiEndpoint ? { apiEndpoint } : {}) },
      { parent: this },
    );
    if (token || process.env.DIGITALOCEAN_TOKEN || process.env.DIGITALOCEAN_ACCESS_TOKEN)
      checkCatalogue(plan, this.provider);
    const child = { parent: this, provider: this.provider };
    const physical = physicalName(plan.stack);
    this.vpc = new digitalocean.Vpc(
      ...transformed(
        transform?.vpc,
        `${name}-vpc`,
        { name: physical, region: shared.region, ipRange: shared.vpcCidr },
        child,
      ),
    );
    // Named by the key's owner, as the account's list shows it among people's keys.
    this.key = new digitalocean.SshKey(
      `${name}-ssh-key`,
      { name: physical, publicKey: pulumi.unsecret(seed.apply((value) => operatorKey(value).publicKey)) },
      child,
    );
    this.tag = new digitalocean.Tag(`${name}-tag`, { name: physical }, child);
    this.firewall = new digitalocean.Firewall(
      ...transformed(
        transform?.firewall,
        `${name}-firewall`,
        { name: physical, tags: [this.tag.name], inboundRules: inboundRules(plan), outboundRules },
        child,
      ),
    );
    if (shared.project !== undefined)
      this.project = new digitalocean.Project(
        ...transformed(
          transform?.project,
          `${name}-project`,
          {
            name: shared.project,
            purpose: "GPU cluster of Berth",
            environment: plan.production ? "Production" : "Development",
          },
          child,
        ),
      );
    this.registerOutputs({});
  }
}
