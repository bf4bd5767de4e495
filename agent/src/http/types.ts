import type { ZodType } from "zod";
import type { EffectiveLimits, Grant, Inventory, Refusal, Result } from "../../../core/gpu";
import type { ExplainedLimit } from "../../../core/limits";
import type { Commands } from "../commands";
import type { NodeConfig } from "../config";
import type { ContainerLogs } from "../container-logs";
import type { Containers } from "../containers";
import type { EventFollower } from "../event-follow";
import type { Logger } from "../log";
import type { Manager } from "../manager";
import type { Metrics } from "../metrics";
import type { CreatorPort, LedgerService } from "../service";
import type { Setups } from "../setup";
import type { Streams } from "./streams";
import type { Tickets } from "./tickets";
import type { Tokens } from "./tokens";

/** The ledger with what only the API asks of it. */
export interface ApiLedger extends LedgerService {
  waiting(id: string): { user: string } | undefined;
  live(): Iterable<Grant>;
  bind(request: { id: string; token: number; container: string }, by?: string): Promise<Result<Grant>>;
  release(id: string, reason?: string, force?: boolean, by?: string): Promise<Result<Grant>>;
  applyDeclared(
    ...args: [...Parameters<LedgerService["applyDeclared"]>, by?: string]
  ): ReturnType<LedgerService["applyDeclared"]>;
}

/** What is measured on a GPU now. */
export interface GpuFigures {
  uuid: string;
  utilisation: number | null;
  memoryUsedMiB: number | null;
}

/** What the routes have of the container manager. */
export type TenantManager = Pick<
  Manager,
  | ("config" | "size" | "create" | "claim" | "list" | "get" | "remove" | "removeAny" | "stop" | "start")
  | ("pools" | "capacity" | "images" | "isLeaving")
>;

/** The container manager, with what works for it. A node whose manager has no `config` serves no tenant. */
export interface TenantParts {
  manager: TenantManager;
  setups: Pick<Setups, "ask">;
  /** In containers of people too. */
  commands: Pick<Commands, "exec" | "terminal" | "stats" | "owns">;
  logs: Pick<ContainerLogs, "follow" | "ownerOf">;
  /** Of pages that may open streams of containers with a ticket. */
  origins(): readonly string[];
}

/** What the routes work with. */
export interface RouteContext {
  ledger: ApiLedger;
  tokens: Tokens;
  tickets: Tickets;
  streams: Streams;
  events: Pick<EventFollower, "follow">;
  metrics: Metrics;
  node(): NodeConfig;
  figures(): readonly GpuFigures[];
  /** Puts a GPU out of use, or back; a refusal where that cannot be. */
  quarantine(uuid: string, reason: string): Refusal | undefined;
  restore(uuid: string): Refusal | undefined;
  explain(user: string): ExplainedLimit[];
  limitsProblem(): string | undefined;
  /** All of the node as they were last seen. */
  containers: Pick<Containers, "current" | "get" | "list">;
  /** Undefined: this node creates no containers. */
  creator?: { port: CreatorPort; schema: ZodType };
  /** Undefined: this berthd has no container manager, and does nothing in containers. */
  forTenants?: TenantParts;
  log: Pick<Logger, "warn">;
}

export type { EffectiveLimits, Grant, Inventory, Refusal };
