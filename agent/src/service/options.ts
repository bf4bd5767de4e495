import type { Refusal, Strategy } from "../../../core/gpu";
import type { EventLog } from "../events";
import type { Busy } from "../inventory";
import type { Logger } from "../log";
import type { Store } from "../store";
import type { ContainersPort, InventoryPort, LimitsPort } from "./ports";

/** What the ledger works with. */
export interface LedgerOptions {
  store: Store;
  events: EventLog;
  inventory: InventoryPort;
  containers: ContainersPort;
  limits: LimitsPort & { readonly closed?: string };
  /** What the stack says now: it may change while berthd runs. */
  node(): {
    strategy: Strategy;
    allocation: "exclusive" | "shared";
    memoryLimitMiB?: number;
    reserveSeconds: number;
  };
  log: Logger;
  now?: () => number;
  onCommit?(seconds: number): void;
  onBeat?(): void;
  onRefusal?(code: Refusal["code"]): void;
  /** New grants can be made from now on. */
  onOpen?(): void;
  /** What else is wrong, for `health`. */
  problems?(): string[];
  /** Why else nothing may be granted now; asked before each turn. */
  busy?(): Busy | undefined;
  /** The database cannot be trusted any more: the process must end, and the next start rebuilds it. */
  onFatal(error: Error): void;
  /** Milliseconds. @default 1000 */
  tickEvery?: number;
  /** Milliseconds between two whole looks at the containers. @default 60000 */
  lookEvery?: number;
}
