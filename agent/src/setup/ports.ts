/** What the set-up of managed containers needs of the parts around it, and what it tells. */
import type { Result } from "../../../core/gpu";
import type { PackagesOf, SetupPhase, SetupStatus } from "../../../core/manager";

/** The caches of packages that stand below containers. Where there is none, all is fetched. */
export interface SetupPackages {
  /** Puts what is kept below the container's packages. @returns `from`: something was */
  attach(id: string, of: PackagesOf): Promise<{ from?: unknown }>;
  /** Keeps what an installation left. @param how `fingerprint`: of what the packages depend on */
  keep(
    id: string,
    of: PackagesOf,
    how: { fingerprint: string; signal: AbortSignal },
  ): Promise<Result<unknown>>;
}

/** How far a container's set-up is. */
export interface SetupView {
  phase: SetupPhase;
  status: SetupStatus;
  message: string;
  /** `owner/name`. */
  repo: string;
  branch?: string;
  commit?: string;
  /** Of the last message: see `callbackUrl`. */
  sequence: number;
}
