import * as pulumi from "@pulumi/pulumi";
import { operatorKey, placeStackFiles, type StackFiles, stackFiles } from "../secrets";
import { dockerSshOptions } from "./connection";

export interface NodeFiles {
  stack: string;
  node: string;
  /** Lines of a known_hosts file. */
  knownHosts: pulumi.Input<string>;
  /** The SSH options that name the files. @default `dockerSshOptions`, with the stack's own key */
  options?: (files: StackFiles) => string[];
  seed: pulumi.Output<string>;
}

/** The stack's files, with a file of known hosts for this node alone. */
export function nodeFiles(stack: string, node: string): StackFiles {
  const files = stackFiles(stack);
  return { ...files, knownHosts: `${files.knownHosts}-${node}` };
}

/**
 * Puts the stack's key and the node's line of known hosts on this computer's disk, in a file of the node's own, so
 * that a node which is not there yet leaves the others' connections as they are.
 *
 * @returns the SSH options that name the files; nothing secret.
 */
export function placeNodeFiles(of: NodeFiles): pulumi.Output<string[]> {
  const { stack, node, seed, options = dockerSshOptions } = of;
  const placed = pulumi.all([seed, of.knownHosts]).apply(([value, knownHosts]) => {
    const files = nodeFiles(stack, node);
    placeStackFiles(stack, {
      id_ed25519: operatorKey(value).privateKey,
      [`known_hosts-${node}`]: knownHosts,
    });
    return options(files);
  });
  // Only paths and options: nothing of the seed is left in it.
  return pulumi.unsecret(placed);
}
