export type {
  ContainerEvent,
  ContainersPort,
  InventoryPort,
  InventoryReading,
  LaunchCaller,
  LaunchedContainer,
  LauncherPort,
  LimitsPort,
  SeenContainer,
} from "./ports";
export type {
  GrantFilter,
  Health,
  HistoryFilter,
  LedgerEvent,
  LedgerService,
  PoolView,
  QueueEntry,
  ReserveRequest,
} from "./types";
