import { z } from "zod";
import { text } from "../values";

/**
 * Shape of `berth:runtime` and of a node's own: what runs containers there, and its GPUs. Checked in check.ts.
 * A node's part (`docker`, `gpu`, `nvidia`) replaces the stack's part of that name whole.
 */

const docker = z.strictObject({
  /** Whose packages. Left out: the distribution's where none is installed, and whatever is there is kept. */
  from: z.enum(["distribution", "docker"]).optional(),
  /** Version of docker-ce, such as `29.3.1`; with `from: docker` alone. The newest when left out. */
  version: text.optional(),
  /**
   * True: a runc, containerd or Docker with known ways out of a container is taken, and told of. False: never.
   * Left out: taken from the distribution, which mends old versions under their old number, refused otherwise.
   */
  allowBelowFloor: z.boolean().optional(),
});

const driver = z.discriminatedUnion("install", [
  z.strictObject({ install: z.literal(false) }),
  z.strictObject({
    install: z.literal(true),
    /** Branch (`580`) or version (`580.105.08`); the newest when left out. */
    version: text.optional(),
    /** `open` fits GPUs from Turing on, and is the only one from Blackwell on. */
    modules: z.enum(["open", "proprietary"]).default("open"),
    /** Fingerprint of the key that signs NVIDIA's repository, where Berth does not know it. */
    key: text.optional(),
  }),
]);

const layout = z.union(
  [text, z.record(z.string(), z.int().min(1).max(8))],
  '"all-1g.10gb", "all-disabled", or instances by profile such as { "1g.10gb": 2, "3g.40gb": 1 }',
);

const mig = z.array(
  z.strictObject({
    /** `all`, the index as nvidia-smi shows it, or the UUID. */
    gpu: z.union([text, z.int().min(0).max(255)], '"all", an index, or a UUID such as "GPU-8f1a…"'),
    layout,
  }),
);

const nvidia = z.strictObject({
  driver: driver.optional(),
  mig: mig.optional(),
  /** Where nvidia-mig-parted comes from when no package repository of the node has it. */
  migParted: z.strictObject({ url: text, sha256: text }).optional(),
  /** Keeps the driver's state while nothing uses the GPU. */
  persistenced: z.boolean().optional(),
});

export const runtime = z.strictObject({
  docker: docker.optional(),
  /** `off`: the node's GPUs are left alone. */
  gpu: z.enum(["auto", "off"]).optional(),
  nvidia: nvidia.optional(),
});

export type RuntimeConfig = z.output<typeof runtime>;
/** As it stands in a stack's file: what has a default may be left out. */
export type RuntimeInput = z.input<typeof runtime>;
export type DockerConfig = NonNullable<RuntimeConfig["docker"]>;
export type NvidiaConfig = NonNullable<RuntimeConfig["nvidia"]>;
export type MigConfig = NonNullable<NvidiaConfig["mig"]>;
