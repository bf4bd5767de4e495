/** What the runtime stage is told. */

export interface DockerOptions {
  /**
   * Whose packages: the distribution's `docker.io`, or Docker's own `docker-ce` from download.docker.com.
   * An engine that is there stays; one from another source than asked for is refused.
   * @default the distribution's where no engine is installed
   */
  from?: "distribution" | "docker";
  /** Version of docker-ce, such as `29.3.1`, kept by an apt pin; only with `from: "docker"`. @default the newest */
  version?: string;
  /**
   * Whether versions with known ways out of a container are taken.
   * @default true for the distribution's packages (mended under old numbers), false for all others
   */
  allowBelowFloor?: boolean;
}

/** The NVIDIA driver: what is there is used, or a missing one is installed from NVIDIA's CUDA repository. */
export type DriverOptions =
  | { install: false }
  | {
      install: true;
      /** Branch (`580`) or version (`580.105.08`). @default the repository's newest */
      version?: string;
      /** @default "open" */
      modules?: "open" | "proprietary";
      /** Fingerprint of the repository's signing key. @default the known one of Debian 12, Ubuntu 22.04 and 24.04 */
      key?: string;
    };

export interface MigEntry {
  /** `all` GPUs that can be divided, an index as nvidia-smi shows it, or a UUID. */
  gpu: string | number;
  /** `all-PROFILE` (as many as fit), `all-disabled`, or instances by profile. */
  layout: string | Readonly<Record<string, number>>;
  /** With `all` and `all-PROFILE`: GPUs without the profile stay as they are. @default they are an error */
  optional?: boolean;
}

export interface NvidiaOptions {
  /** @default { install: false } */
  driver?: DriverOptions;
  /** How GPUs are divided; those not named stay as they are. @default none is touched */
  mig?: readonly MigEntry[];
  /** The Debian package of nvidia-mig-parted where no repository has one. */
  migParted?: { url: string; sha256: string };
  /** The driver stays loaded and initialised while nothing uses a GPU. @default true */
  persistenced?: boolean;
}

export interface RuntimeOptions {
  /** Networks that Docker's own must not meet: the cluster's, the workspaces', the operator's. @default [] */
  avoidNetworks?: readonly string[];
  /** Where Docker takes networks from. @default the first free of three private ranges */
  addressPool?: { base: string; size: number };
  /**
   * Registries spoken to without TLS, `ADDRESS:PORT`: the stack's own, from which images are pulled by digest,
   * so the content is checked whoever serves it. @default []
   */
  insecureRegistries?: readonly string[];
  /** Networks that Docker must leave alone whatever else is given. @default WORKSPACE_NETWORK */
  workspaceNetwork?: string;
  /** Whom the Docker provider signs in as; gets into the group `docker`. @default "root" */
  login?: string;
  /** @default what is installed, else the distribution's */
  docker?: DockerOptions;
  /** `auto`: NVIDIA's toolkit where a GPU is found; `off`: never. @default "auto" */
  gpu?: "auto" | "off";
  /** @default the driver as it is, no MIG, persistence on */
  nvidia?: NvidiaOptions;
}
