/** The caches of packages, as far as this node has them: without them containers are made all the same, and fetch all they need. */
import type { PackagesOf } from "../../core/manager";
import type { PackageCaches as CachesOfManager } from "./manager";
import { PackageCaches, type PackageCachesOptions, type PackagesMount, type PackagesUsage } from "./packages";
import type { SetupPackages } from "./setup";

export class ManagerPackages implements CachesOfManager, SetupPackages {
  private readonly caches: PackageCaches;
  private usable = false;

  constructor(options: PackageCachesOptions) {
    this.caches = new PackageCaches(options);
  }

  /**
   * Before the first mount. May be called again where it failed.
   *
   * @param ids of the containers that are there
   * @throws Error what has to run with the node's mounts cannot be run
   */
  async recover(ids: Iterable<string>): Promise<void> {
    await this.caches.recover(ids);
    this.usable = true;
  }

  get isUsable(): boolean {
    return this.usable;
  }

  mountFor(id: string): PackagesMount | undefined {
    return this.usable ? this.caches.mountFor(id) : undefined;
  }

  /** What was made meanwhile without a folder, or has a volume in its place, has nothing to be taken away. */
  async detach(id: string): Promise<void> {
    if (this.has(id)) await this.caches.detach(id);
  }

  async attach(id: string, of: PackagesOf): Promise<{ from?: unknown }> {
    return this.has(id) ? this.caches.attach(id, of) : {};
  }

  async keep(...args: Parameters<SetupPackages["keep"]>): ReturnType<SetupPackages["keep"]> {
    return this.has(args[0]) ? this.caches.keep(...args) : { ok: true, value: undefined };
  }

  /** Undefined: this node has none. */
  usage(): PackagesUsage | undefined {
    return this.usable ? this.caches.usage() : undefined;
  }

  async evict(): Promise<void> {
    if (this.usable) await this.caches.evict();
  }

  owners(): string[] {
    return this.usable ? this.caches.usage().caches.map(({ owner }) => owner) : [];
  }

  isUnread(): boolean {
    return !this.usable && this.caches.hasKept;
  }

  /** @throws Error not all can be removed now */
  async removeOf(owner: string): Promise<void> {
    if (!this.usable) throw new Error("kept packages cannot be looked at now");
    await this.caches.removeOf(owner);
  }

  private has(id: string): boolean {
    return this.usable && this.caches.has(id);
  }
}
