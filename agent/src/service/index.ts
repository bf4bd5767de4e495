export type { WriteTurn } from "./ledger-turn";
export type {
  ContainerEvent,
  ContainersPort,
  CreateCaller,
  CreatedContainer,
  CreatorPort,
  InventoryPort,
  InventoryReading,
  LimitsPort,
  SeenContainer,
} from "./ports";
export type {
  DeclaredView,
  GrantFilter,
  Health,
  HistoryFilter,
  LedgerEvent,
  LedgerService,
  QueueEntry,
  ReserveRequest,
} from "./types";
