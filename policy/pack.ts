import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type {
  Policies,
  PolicyResourceOptions,
  ReportViolation,
  ResourceValidationArgs,
} from "@pulumi/policy";
import { read } from "./input";
import {
  type Facts,
  plainSecretsInStackFile,
  type Rule,
  resourceRules,
  type Seen,
  secrets,
  stackRules,
} from "./rules";

const STACK = "pulumi:pulumi:Stack";

interface Args {
  type: string;
  urn: string;
  props: Record<string, unknown>;
  opts: Pick<PolicyResourceOptions, "protect">;
}

const seen = ({ type, urn, props, opts }: Args): Seen => ({
  type,
  urn,
  props: read(props),
  protect: opts.protect,
});

/** A rule on one resource as a policy. */
const policy = (rule: Rule, facts: Facts) => ({
  name: rule.name,
  description: rule.description,
  enforcementLevel: "mandatory" as const,
  validateResource: (args: ResourceValidationArgs, report: ReportViolation) => {
    for (const found of rule.check(seen(args), facts)) report(found);
  },
});

/**
 * The rule about secrets. A validation gets every input in plain text, whether it is secret or not; a remediation, which
 * the engine runs right before, gets the marks too. So it looks there, changes nothing, and the validation reports.
 *
 * @param folder the project's, with the stack files
 */
function secretsPolicy(facts: Facts, folder: string) {
  const found = new Map<string, string[]>();
  return {
    name: secrets.name,
    description: secrets.description,
    enforcementLevel: "remediate" as const,
    remediateResource: (args: ResourceValidationArgs): void => {
      const file = join(folder, `Pulumi.${facts.stack}.yaml`);
      const inFile =
        args.type === STACK && existsSync(file)
          ? plainSecretsInStackFile(facts.stack, readFileSync(file, "utf8"))
          : [];
      found.set(args.urn, [...inFile, ...secrets.check(seen(args), facts)]);
    },
    validateResource: ({ urn }: ResourceValidationArgs, report: ReportViolation) => {
      const all = found.get(urn) ?? [
        `the engine did not show which inputs are secret: run the pack with a Pulumi CLI of 3.250 or newer, and with "${secrets.name}" at its own enforcement level`,
      ];
      found.delete(urn);
      for (const one of all) report(one);
    },
  };
}

/**
 * All policies of the pack, each of them mandatory.
 *
 * @param facts of the stack
 * @param folder the project's, with the stack files
 */
export function policies(facts: Facts, folder: string): Policies {
  return [
    ...resourceRules.map((rule) => policy(rule, facts)),
    secretsPolicy(facts, folder),
    ...stackRules.map((rule) => ({
      name: rule.name,
      description: rule.description,
      enforcementLevel: "mandatory" as const,
      validateStack: ({ resources }: { resources: Args[] }, report: ReportViolation) => {
        for (const found of rule.check(resources.map(seen), facts)) report(found);
      },
    })),
  ];
}
