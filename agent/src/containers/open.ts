import type { Inventory } from "../../../core/gpu";
import { Engine, type EngineOptions } from "../docker";
import type { Log } from "./log";
import { Containers, type ObserveOptions } from "./observe";
import { procProcesses } from "./processes";

export interface OpenOptions
  extends EngineOptions,
    Pick<ObserveOptions, "probeSeconds" | "lookSeconds" | "retryMs"> {
  inventory: () => Inventory;
  log: Log;
}

/** dockerd of this node, and its containers. Nothing is asked until `containers.follow()` or a look. */
export function openContainers({ inventory, log, ...options }: OpenOptions): {
  engine: Engine;
  containers: Containers;
} {
  const engine = new Engine(options);
  const processes = procProcesses(engine.socket);
  const containers = new Containers({ ...options, engine, processes, inventory, log });
  return { engine, containers };
}
