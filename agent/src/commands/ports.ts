/** What commands need of the containers that they run in. */
import type { ManagedContainer as Managed } from "../manager";

/** A tenant's container, as far as commands have to do with it. */
export type ManagedContainer = Pick<Managed, "id" | "owner" | "container" | "state" | "env">;

export interface ManagedContainers {
  /** As `find` of the manager. */
  find(owner: string, id: string): ManagedContainer | undefined;
}

/** Containers of people, as they were last seen. */
export interface PeoplesContainers {
  /** By its whole id or its name. */
  get(container: string): { id: string; kind: string; owner?: string } | undefined;
}
