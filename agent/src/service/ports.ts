import type {
  EffectiveLimits,
  Grant,
  Inventory,
  Result,
  SeenContainer as SeenByLedger,
} from "../../../core/gpu";

/**
 * What the ledger service needs of the parts around it. Each port is small, so that a test can stand in for it.
 */

/** What holds for whom, from the last good limits document. */
export interface LimitsPort {
  /** Undefined: nobody of that name is known on this node. */
  of(user: string): EffectiveLimits | undefined;
  /** Set: the document on disk is not the one in force, and why. */
  readonly problem?: string;
  /** Called after the limits in force changed; returns how to stop. */
  onChange(listener: () => void): () => void;
}

/** One look at the GPUs. */
export interface InventoryReading {
  /** The last inventory that could be read whole; what the holders have, also while `problem` is set. */
  inventory: Inventory;
  /** When that was, in milliseconds since the epoch. */
  readAt: number;
  /** Set: the GPUs cannot be read at the moment (hangs, garbage, exit 255). Nothing new is granted then. */
  problem?: string;
}

export interface InventoryPort {
  /** Before the first look: the GPUs as they are remembered from before the restart; none, where nothing is. */
  remembered(): Inventory;
  /** Undefined until the first look ended. */
  current(): InventoryReading | undefined;
  /** Looks now, within its own deadline; never throws: a failed look is a reading with `problem`. */
  refresh(): Promise<InventoryReading>;
  /** Called after each look that changed the inventory or its problem; returns how to stop. */
  onChange(listener: (reading: InventoryReading) => void): () => void;
  /** Ends timers and programs that it started. */
  close(): Promise<void>;
}

/** A container on this node that has a grant or GPUs, running or stopped; of those outside Berth, running. */
export interface SeenContainer extends SeenByLedger {
  /** Docker's name of it. */
  name: string;
  /** Set: it should run, and Docker could not start it as its devices were not known yet; Docker's words. */
  heldBack?: string;
}

/** What happened to a container, in Docker's order. */
export type ContainerEvent =
  | { kind: "started"; container: string; seen: SeenContainer }
  | { kind: "stopped"; container: string }
  | { kind: "gone"; container: string }
  /** The stream of events was interrupted: only a whole look tells what was missed. */
  | { kind: "unsure" }
  /** Somebody looked at all containers, and the ledger has been told. */
  | { kind: "looked" };

/** Those that concern one container. */
export type OneContainerEvent = Extract<ContainerEvent, { container: string }>;

export interface ContainersPort {
  /** Looks at all containers; returns those that the ledger has to know. Throws when Docker does not answer. */
  listLive(): Promise<SeenContainer[]>;
  /** Events from now on; returns how to stop. */
  onEvent(listener: (event: ContainerEvent) => void): () => void;
  /** Starts a container; one that runs is fine. */
  start(container: string): Promise<void>;
  /** Stops a container within `seconds`, then kills it; a container that is gone or stopped is fine. */
  stop(container: string, seconds: number): Promise<void>;
  /** True while its processes run. Throws when Docker does not answer. */
  alive(container: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A container that was started with a grant. */
export interface CreatedContainer {
  id: string;
  name: string;
  grant?: Grant;
}

/** Who asks, for the creator. */
export interface CreateCaller {
  /** As `by` in events: `admin`, `token:ab12`. */
  actor: string;
  /** A person, who has to do with their own containers alone; left out: an operator or a program. */
  user?: string;
}

/** Makes containers and removes them. `Request`: a body that the route has checked, by `createSchema` of the containers. */
export interface CreatorPort<Request = unknown> {
  /** @param signal whoever asked has gone: nothing is left behind. */
  create(request: Request, caller: CreateCaller, signal?: AbortSignal): Promise<Result<CreatedContainer>>;
  /** Stops and removes a container that the creator made, and releases its grant. */
  remove(container: string, caller: CreateCaller): Promise<Result<{ id: string }>>;
}
