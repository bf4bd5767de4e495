/** What commands need of the containers that berthd manages. */

/** A container that somebody works in. */
export interface ManagedContainer {
  /** What the API calls id: 8 hex characters. */
  id: string;
  owner: string;
  /** Docker's id, 64 hex characters. */
  container: string;
  /** `making`: its commands wait until it runs. `leaving`: it is being removed. */
  state: "making" | "ready" | "leaving";
  /** For whatever is run in it. */
  env: Readonly<Record<string, string>>;
}

export interface ManagedContainers {
  /** Somebody else's, and one that nobody has yet, is not told from none. */
  find(owner: string, id: string): ManagedContainer | undefined;
}

/** Containers of people, as they were last seen. */
export interface PeoplesContainers {
  /** By its whole id or its name. */
  get(container: string): { id: string; kind: string; owner?: string } | undefined;
}
