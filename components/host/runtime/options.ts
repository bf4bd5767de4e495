/** What the runtime stage is told: shapes of `berth:runtime`, which `config` has checked. */
import type { MigConfig, RuntimeInput } from "../../../config";

type Nvidia = NonNullable<RuntimeInput["nvidia"]>;

export type DockerOptions = NonNullable<RuntimeInput["docker"]>;

/** The NVIDIA driver: what is there is used, or a missing one is installed from NVIDIA's CUDA repository. */
export type DriverOptions = NonNullable<Nvidia["driver"]>;

export type MigEntry = MigConfig[number] & {
  /** With `all` and `all-PROFILE`: GPUs without the profile stay as they are. @default they are an error */
  optional?: boolean;
};

export interface NvidiaOptions extends Omit<Nvidia, "mig"> {
  /** How GPUs are divided; those not named stay as they are. @default none is touched */
  mig?: readonly MigEntry[];
}

export interface RuntimeOptions {
  /** Networks that Docker's own must not meet, beside the workspaces': the cluster's, the operator's. @default [] */
  avoidNetworks?: readonly string[];
  /**
   * Registries spoken to without TLS, `ADDRESS:PORT`: the stack's own, from which images are pulled by digest,
   * so the content is checked whoever serves it. @default []
   */
  insecureRegistries?: readonly string[];
  /** Whom the Docker provider signs in as; gets into the group `docker`. @default "root" */
  login?: string;
  /** @default what is installed, else the distribution's */
  docker?: DockerOptions;
  /** `auto`: NVIDIA's toolkit where a GPU is found; `off`: never. @default "auto" */
  gpu?: "auto" | "off";
  /** @default the driver as it is, no MIG, persistence on */
  nvidia?: NvidiaOptions;
}
