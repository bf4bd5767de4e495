import * as pulumi from "@pulumi/pulumi";
import { findPlaceholders } from "../config";

/** A value of the plan; unknown as long as it holds a placeholder, which only a preview gets here with. */
export function known<T>(value: T): pulumi.Output<T> {
  const settled = findPlaceholders({ value }).length === 0;
  return pulumi.output<unknown>(settled ? value : pulumi.unknown) as pulumi.Output<T>;
}

/**
 * What is read from a command's answer. An update that leaves the command out (`--target`, `--exclude`) before it ever ran
 * gives it no outputs. What would be read is unknown then, as in a preview, and what needs it is left out as well.
 */
export function answer<T>(stdout: pulumi.Output<string>, read: (text: string) => T): pulumi.Output<T> {
  return stdout.apply((text: string | undefined) => (text === undefined ? pulumi.unknown : read(text)) as T);
}
