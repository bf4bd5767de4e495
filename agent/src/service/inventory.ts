import type { Inventory } from "../../../core/gpu";
import type { InventoryChange, WatchState } from "../inventory";
import type { InventoryPort, InventoryReading } from "./ports";

/** What follows the GPUs: an `InventoryWatch`. */
export interface Watch {
  readonly state: WatchState;
  quarantine(uuid: string, reason: string): boolean;
  unquarantine(uuid: string): { ok: true } | { ok: false; reason: string };
  refresh(): Promise<unknown>;
  start(): Promise<WatchState>;
  stop(): void;
}

const nothing: Inventory = { source: "none", gpus: [] };

/** The watch of the GPUs as the ledger sees it. `make` is given what is to be told of changes. */
export function watchedInventory(
  make: (onChange: (change: InventoryChange) => void) => Watch,
): InventoryPort & { readonly watch: Watch } {
  const listeners = new Set<(reading: InventoryReading) => void>();
  const watch = make(({ state }) => {
    for (const listener of listeners) listener(reading(state));
  });
  let started = false;
  /** True: the first look ended. */
  let looked = false;
  return {
    watch,
    remembered: () => watch.state.inventory,
    current: () => (looked ? reading(watch.state) : undefined),
    refresh: async () => {
      const first = !started;
      started = true;
      await (first ? watch.start() : watch.refresh());
      looked = true;
      return reading(watch.state);
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => watch.stop(),
  };
}

function reading({ inventory, readAt, closed }: WatchState): InventoryReading {
  return {
    inventory: inventory ?? nothing,
    readAt: readAt ?? 0,
    ...(closed !== undefined && { problem: closed }),
  };
}
