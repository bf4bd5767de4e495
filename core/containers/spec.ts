import { type Ownership, ownerLabels } from "./labels";
import { type ContainerKind, containerPolicies } from "./policy";

/**
 * A container that Berth makes, without what the policy of its kind says. Two renderers turn it into what an engine takes:
 * `engineBody` into a call of the Engine API, `dockerArgs` into the arguments of a `docker.Container`.
 *
 * @typeParam Text A text, or what becomes one: an `Input<string>` in a Pulumi program.
 * @typeParam Texts A list of texts, likewise.
 */
export interface ContainerSpec<Text = string, Texts = readonly string[]> {
  kind: ContainerKind;
  name: string;
  /** By id or digest. */
  image: Text;
  hostname?: string;
  entrypoint?: readonly string[];
  command?: readonly string[];
  /** @default the image's */
  user?: string;
  /** @default the image's */
  workdir?: string;
  tty?: boolean;
  /** Whose it is, as its labels say with the component of its kind. */
  owner: Omit<Ownership, "component">;
  /** Further labels, by name. @default none */
  labels?: Readonly<Record<string, Text>>;
  /** `NAME=value`; begin with `environment` where an image may ask for GPUs. */
  env?: Texts;
  /** CDI names, one for each granted unit. @default no device */
  devices?: Texts;
  /** Whoever is in it is root by sudo, so programs may gain rights. @default as the policy says */
  sudo?: boolean;
  /** `down`: it stays stopped, also after a restart of the engine. @default as the policy says */
  state?: "down";
  /** @default the engine's own */
  cgroupParent?: string;
  /** @default all of the engine's */
  cpus?: number;
  /** No swap beyond it. @default no limit */
  memoryBytes?: number;
  memoryReservationBytes?: number;
  /** @default the engine's */
  shmBytes?: number;
  /** `docker.Container` has no such property; a stage of the workspace sets it. @default as the policy says */
  pids?: number;
  mounts?: readonly Mount<Text>[];
  ports?: readonly PublishedPort<Text>[];
  /** Where the policy names no network. `address`: its IPv4 address there. */
  network?: { name: Text; address?: string };
  health?: HealthCheck;
  /** Seconds between TERM and KILL. @default the engine's */
  stopSeconds?: number;
}

/** Whether the engine starts a container again by itself. */
export const restartOf = ({ kind, state }: Pick<ContainerSpec, "kind" | "state">) =>
  state === "down" ? "no" : containerPolicies[kind].restart;

/** All labels of a container. */
export const labelsOf = <Text, Texts>({ kind, owner, labels }: ContainerSpec<Text, Texts>) => ({
  ...ownerLabels({ ...owner, component: containerPolicies[kind].component }),
  ...labels,
});

export interface Mount<Text = string> {
  type: "bind" | "volume";
  /** A path of the engine's host, or a volume's name. */
  source: Text;
  target: string;
  readOnly?: boolean;
  /** Of a bind: what is mounted below the source later is seen too. @default the engine's own */
  propagation?: "rslave" | "rprivate";
}

/** A port of the container that one address of the engine's host publishes. */
export interface PublishedPort<Text = string> {
  container: number;
  host: number;
  address: Text;
  protocol: "tcp" | "udp";
}

export interface HealthCheck {
  command: readonly string[];
  /** Seconds. */
  interval: number;
  timeout: number;
  startPeriod: number;
  retries: number;
}
