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
  DeclaredView,
  GrantFilter,
  Health,
  HistoryFilter,
  LedgerEvent,
  LedgerService,
  QueueEntry,
  ReserveRequest,
} from "./types";
