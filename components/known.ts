import * as pulumi from "@pulumi/pulumi";
import { findPlaceholders } from "../config/placeholders";

/** A value of the plan; unknown as long as it holds a placeholder, which only a preview gets here with. */
export function known<T>(value: T): pulumi.Output<T> {
  const settled = findPlaceholders({ value }).length === 0;
  return pulumi.output<unknown>(settled ? value : pulumi.unknown) as pulumi.Output<T>;
}
