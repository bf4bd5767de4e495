import * as pulumi from "@pulumi/pulumi";
import { resourceOptsDefaults } from "./utilities";

/** A provider has no configuration. */
export type ProviderArgs = Record<never, never>;

/** An explicit provider, for programs that turn default providers off. */
export class Provider extends pulumi.ProviderResource {
  /** @internal */
  public static readonly __pulumiType = "cloudinit";

  /** Works across several copies of the SDK in one program, where `instanceof` does not. */
  public static override isInstance(obj: unknown): obj is Provider {
    const type = (obj as { __pulumiType?: unknown } | null | undefined)?.__pulumiType;
    return type === `pulumi:providers:${Provider.__pulumiType}`;
  }

  constructor(name: string, _args?: ProviderArgs, opts?: pulumi.ResourceOptions) {
    super(Provider.__pulumiType, name, {}, pulumi.mergeOptions(resourceOptsDefaults(), opts ?? {}));
  }
}
