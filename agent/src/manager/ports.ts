/** What the parts of the container manager have of each other. */
import type { OwnImage, SetupPhase, SetupStatus } from "../../../core/manager";
import type { PackagesMount } from "../packages";

/** A tenant's container, as the parts that work in it see it. */
export interface ManagedContainer {
  /** The creation, 8 hexadecimal digits: what the API calls id. */
  id: string;
  /** The tenant. */
  owner: string;
  name: string;
  /** Docker's id, 64 hexadecimal digits; empty as long as it is `making`. */
  container: string;
  /** What it was made from. */
  image: string;
  /** Of its first port; 0: it publishes none. */
  hostPort: number;
  /** Ports of the node, by those of the container. */
  ports: Readonly<Record<number, number>>;
  /** Nothing can be run in it but where it is `ready`. */
  state: "making" | "ready" | "leaving";
  template?: string;
  /**
   * For whatever is run in it. Neither Docker nor an image made of the container has it: a container of the pool was made before
   * anybody said what it is to be.
   */
  env: Readonly<Record<string, string>>;
}

export interface ManagedContainers {
  /** Somebody else's, and one of the pool that nobody has, is not told from none. */
  find(owner: string, id: string): ManagedContainer | undefined;
  /** Each by its API id, once its row is gone. @returns how to stop */
  onGone(listener: (id: string) => void): () => void;
}

/** What the manager has of set-ups. */
export interface Setups {
  /** How far a container's last set-up is; undefined: there was none. */
  phaseOf(id: string): { phase: SetupPhase; status: SetupStatus; message?: string } | undefined;
  /** Before a container is removed: ends a set-up under way, and what is kept running. */
  end(id: string): Promise<void>;
  /** A container was started: its start command runs again, without the wait for the next look. */
  started(id: string): void;
  /** All main images of a tenant. */
  imagesOf(owner: string): readonly OwnImage[];
  /** A container is made from the image. One of the owner's main images counts as used now; of others there is nothing to note. */
  useImage(owner: string, image: string): void;
}

/** What the manager has of the caches of packages. */
export interface PackageCaches {
  /** Undefined: this node has none now. */
  mountFor(id: string): PackagesMount | undefined;
  /** Once a container is gone. */
  detach(id: string): Promise<void>;
}

/** What the manager has of what containers print. */
export interface Logs {
  /** @param owner whose it is, also when the container is gone */
  open(id: string, owner?: string): void;
  end(id: string): Promise<void>;
  /** Undefined: it is nobody's. */
  ownerOf(id: string): string | undefined;
}
