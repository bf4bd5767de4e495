import * as pulumi from "@pulumi/pulumi";

/**
 * What a transform may not change: scripts, berthd and the state find the resource by it, and the policy pack tells by the labels
 * whose it is.
 */
const IDENTITY = ["name", "labels", "parent", "provider"] as const;

type Identity = (typeof IDENTITY)[number];

/**
 * Changes a resource that a component is about to register: the escape hatch for what Berth has no key for.
 *
 * It gets the resource's inputs, its options and its name in Pulumi, such as `berth-workspace-alice`, and returns what is to be
 * different. An input replaces the component's own. So does an option, except that the items of a list (`ignoreChanges`,
 * `dependsOn`, `additionalSecretOutputs`) are added to the component's own. `{}` changes nothing.
 *
 * The result is the operator's: Berth does not check it, the policy pack does.
 *
 * @example
 * const moreLogs: Transform<docker.ContainerArgs> = (args, opts, name) =>
 *   name === "berth-workspace-alice" ? { args: { logOpts: { "max-size": "50m", "max-file": "4" } } } : {};
 */
export type Transform<Args> = (
  args: Readonly<Args>,
  opts: Readonly<pulumi.CustomResourceOptions>,
  name: string,
) => { args?: Partial<Omit<Args, Identity>>; opts?: Omit<pulumi.CustomResourceOptions, Identity> };

/**
 * What the constructor of a resource takes, with what `transform` changes in it.
 * @throws RunError where it changes what it may not, or returns nothing: Pulumi runs a program without looking at its types
 */
export function transformed<Args extends object>(
  transform: Transform<Args> | undefined,
  name: string,
  args: Args,
  opts: pulumi.CustomResourceOptions,
): [name: string, args: Args, opts: pulumi.CustomResourceOptions] {
  if (!transform) return [name, args, opts];
  const changed = transform(args, opts, name) as ReturnType<typeof transform> | undefined;
  if (!changed)
    throw new pulumi.RunError(
      `the transform of ${name} returns nothing: return {} where it is to change nothing`,
    );
  const kept = [...differing(args, changed.args), ...differing(opts, changed.opts)];
  if (kept.length > 0)
    throw new pulumi.RunError(
      `the transform of ${name} changes ${kept.join(", ")}, by which the resource is found: leave it out`,
    );
  return [name, { ...args, ...changed.args }, changed.opts ? pulumi.mergeOptions(opts, changed.opts) : opts];
}

const differing = (own: object, more: object = {}): string[] =>
  IDENTITY.filter((key) => key in more && Reflect.get(more, key) !== Reflect.get(own, key));
