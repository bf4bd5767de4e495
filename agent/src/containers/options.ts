import type { Mount } from "../../../core/containers";
import type { EffectiveLimits } from "../../../core/gpu";
import type { PortRange } from "../../../core/net";
import type { Engine } from "../docker";
import type { Operations } from "../operations";
import type { LedgerService } from "../service/types";
import type { Log } from "./log";
import type { Containers } from "./observe";

/** What the creator asks of the ledger. */
export type Ledger = Pick<
  LedgerService,
  | ("closed" | "reserve" | "usable" | "bind" | "bindOwn" | "unbind" | "releaseOf")
  | ("grant" | "grantOf" | "limitsOf" | "containerGone")
>;

/** What the container manager says of a container that it has made. It has noted it, and brings its own note to an end. */
export interface Making {
  /** Names the creation, and the container. */
  creation: string;
  /** Whose name the container's begins with: Docker's name server tells each container of the network what the others are called. */
  namedAfter: string;
  /** In place of those of the request's user, who may be nobody: the manager has looked for room itself. */
  limits: EffectiveLimits;
  /** Addresses that its ports may be published on. */
  addresses: readonly string[];
  mounts: readonly Mount[];
}

export interface CreatorOptions {
  engine: Engine;
  containers: Containers;
  ledger: Ledger;
  log: Log;
  stack: string;
  node: string;
  operations: Operations;
  /** Whether the stack declares somebody as a user of this node; containers of those who left are removed. */
  isUser(name: string): boolean;
  /** Addresses that ports may be published on. @default ["127.0.0.1"] */
  addresses?: readonly string[];
  /** Host ports that containers may be published on. */
  ports(): PortRange;
  /** Whether a creation is of the container manager's, which removes its containers itself. @default none is */
  isManaged?(creation: string): boolean;
  /** Whether a host port is one of the manager's, also while its container is stopped. @default none is */
  isTaken?(port: number): boolean;
  /** Images, by id or digest, of which persons may make containers beside those of the stack on this node. @default none */
  images?(): readonly string[];
  /** The cgroup that holds all of a user; undefined: dockerd's own. */
  cgroupParent?(user: string, group: string, driver: string): string | undefined;
  /** How long the processes of a removed container may take to end, in seconds. @default 30 */
  endSeconds?: number;
}
