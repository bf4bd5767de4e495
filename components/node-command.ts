import * as command from "@pulumi/command";
import type * as pulumi from "@pulumi/pulumi";

/** Where a command runs. */
export interface CommandPlace {
  connection: command.types.input.remote.ConnectionArgs;
  /** The machine, where it is a resource: the command goes with it. */
  machine?: pulumi.CustomResource;
}

type Text = pulumi.Input<string>;

/** Without `update`, as `create` says what is wanted: a changed text runs it again, in place. */
export interface CommandTexts {
  create: Text;
  delete?: Text;
  stdin?: Text;
}

/** A command on a node, over SSH. What it prints is secret, and shown nowhere. */
export const nodeCommand = (
  name: string,
  { connection, machine }: CommandPlace,
  texts: CommandTexts,
  opts: pulumi.CustomResourceOptions,
) =>
  new command.remote.Command(
    name,
    { connection, logging: "none", addPreviousOutputInEnv: false, ...texts },
    { deletedWith: machine, additionalSecretOutputs: ["stdout", "stderr"], ...opts },
  );
