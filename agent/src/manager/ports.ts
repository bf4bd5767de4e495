/** What the parts of the container manager have of each other. */
import type { OwnImage } from "../../../core/manager";

/** A tenant's container, as the parts that work in it see it. */
export interface ManagedContainer {
  /** The creation, 8 hexadecimal digits: what the API calls id. */
  id: string;
  /** The tenant. */
  owner: string;
  name: string;
  /** Docker's id, 64 hexadecimal digits. */
  container: string;
  image: string;
  /** Of its first port; 0: it publishes none. */
  hostPort: number;
  /** Ports of the node, by those of the container. */
  ports: Readonly<Record<number, number>>;
  state: "making" | "ready" | "leaving";
  template?: string;
  /**
   * For whatever is run in it. Neither Docker nor an image made of the container has it: a container of the pool was made before
   * anybody said what it is to be.
   */
  env: Readonly<Record<string, string>>;
}

export interface ManagedContainers {
  /** Somebody else's, and one of the pool that nobody has, is not told from none; nor is one that is still being made. */
  find(owner: string, id: string): ManagedContainer | undefined;
  /** Each by its API id, once its row is gone. @returns how to stop */
  onGone(listener: (id: string) => void): () => void;
}

export interface Setups {
  phaseOf(id: string): { phase: string; status: string; message?: string } | undefined;
  /** Before a container is removed: ends a set-up under way. */
  end(id: string): Promise<void>;
  /** A container that was stopped was started again. */
  started?(id: string): void;
  /** All main images of a tenant. */
  imagesOf?(owner: string): readonly OwnImage[];
  /** A container of the tenant's is made from an image, which may be any. */
  useImage?(owner: string, image: string): void;
}

export interface CacheMount {
  /** A folder of the node. */
  source: string;
  target: string;
  propagation: "rslave" | "rprivate";
}

/** What the manager has of the dependency caches. */
export interface PackageCaches {
  /** Undefined: this node has none now. */
  mountFor(id: string): CacheMount | undefined;
  /** Once a container is gone. */
  detach(id: string): Promise<void>;
}

/** What the manager has of what containers print. */
export interface Logs {
  /** @param owner whose it is, also when the container is gone */
  open(id: string, owner?: string): void;
  end(id: string): Promise<void>;
}
