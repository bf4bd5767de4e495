/** What the set-up of managed containers needs of the parts around it, and what it gives to them. */
import type { Result } from "../../../core/gpu";
import type { Repository, SetupPhase, SetupStatus } from "../../../core/manager";

/** A container that the manager made for a tenant. */
export interface ManagedContainer {
  /** Berth's id: 8 hexadecimal characters. */
  id: string;
  owner: string;
  name: string;
  /** Docker's id: 64 hexadecimal characters. */
  container: string;
  /** What it was made from. */
  image: string;
  /** Of its first port; 0: none is published. */
  hostPort: number;
  /** Ports of the node, by those of the container. */
  ports: Readonly<Record<number, number>>;
  state: "making" | "ready" | "leaving";
  template?: string;
  /** For whatever is run in it; a set-up's own go before these. */
  env: Readonly<Record<string, string>>;
}

export interface ManagedContainers {
  /** Somebody else's, and one of the pool that nobody has, is not told from none. */
  find(owner: string, id: string): ManagedContainer | undefined;
  /** Each by its id, once its row is gone. @returns how to stop */
  onGone(listener: (id: string) => void): () => void;
}

/** What a container's packages are of. */
export interface SetupPackagesOf {
  owner: string;
  repository: Repository;
  branch: string;
  /** The one whose packages serve where `branch` has none of its own. */
  mainBranch?: string;
  /** That the container began with, or for one that is made of a main image, what that began with. */
  image: string;
}

/** The caches of packages that stand below containers. Where there is none, all is fetched. */
export interface SetupPackages {
  /** Puts what is kept below the container's packages. @returns `from`: something was */
  attach(id: string, of: SetupPackagesOf): Promise<{ from?: unknown }>;
  /** Keeps what an installation left. @param how `fingerprint`: of what the packages depend on */
  keep(
    id: string,
    of: SetupPackagesOf,
    how: { fingerprint: string; signal: AbortSignal },
  ): Promise<Result<unknown>>;
}

/** How far a container's set-up is. */
export interface SetupView {
  phase: SetupPhase;
  status: SetupStatus;
  message: string;
  /** `owner/name`. */
  repo: string;
  branch?: string;
  commit?: string;
  /** Of the last message: see `callbackUrl`. */
  sequence: number;
}

/** An image of a repository's main branch, as its owner sees it. */
export interface MainImage {
  /** `sha256:…` */
  id: string;
  /** `owner-repo:main`. Two may be shown alike. */
  shown: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  usedAt: number;
  /**
   * It is outdated: the image that it was made from. A container begins with that one, so that its set-up makes the main image anew.
   */
  instead?: string;
}

/** What those who make and remove containers need of set-ups. */
export interface SetupsOfContainers {
  phaseOf(id: string): SetupView | undefined;
  /** Before a container is removed: ends a set-up under way, and what is kept running. */
  end(id: string): Promise<void>;
  /** A container was started: its start command runs again, without the wait for the next look. */
  started(id: string): void;
  imagesOf(owner: string): MainImage[];
  /** A container is made from the image. One of the owner's main images counts as used now; of others there is nothing to note. */
  useImage(owner: string, image: string): void;
}
