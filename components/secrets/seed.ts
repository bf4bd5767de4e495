import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/** Works in sh and in cmd alike: Node.js is there wherever this program runs. */
const RANDOM_SEED = `node -e "process.stdout.write(require('crypto').randomBytes(32).toString('base64url'))"`;

/** @example { protect: true } */
export interface SeedArgs {
  /** Raise it to replace every derived secret of the stack. @default 1 */
  generation?: number;
  /** True: an update that would lose it is refused. @default false */
  protect?: boolean;
}

/**
 * The stack's seed: 32 random bytes made once, kept encrypted in the state. Every password, token and
 * key that Berth makes is derived from it (see derive.ts).
 *
 * Creates: one `command:local:Command`.
 * Needs: nothing but the Node.js that runs the program.
 * Footprint: nothing on a node; the seed, encrypted, in the stack's state.
 */
export class Seed extends pulumi.ComponentResource {
  /** Secret; base64url. */
  readonly value: pulumi.Output<string>;

  constructor(name: string, args: SeedArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("berth:secrets:Seed", name, {}, opts);
    const made = new command.local.Command(
      name,
      {
        create: RANDOM_SEED,
        logging: "none",
        addPreviousOutputInEnv: false,
        triggers: [args.generation ?? 1],
      },
      { parent: this, protect: args.protect ?? false, additionalSecretOutputs: ["stdout", "stderr"] },
    );
    this.value = pulumi.secret(made.stdout.apply((text) => text.trim()));
    this.registerOutputs({ value: this.value });
  }
}
