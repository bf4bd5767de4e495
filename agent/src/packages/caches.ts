import { chmodSync, mkdirSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Result } from "../../../core/gpu";
import {
  PACKAGES_PATH,
  type PackageBounds,
  type PackagesOf,
  packagesBelow,
  packagesHaveRoom,
  packagesKey,
  packagesName,
  packagesToRemove,
} from "../../../core/manager";
import { InTurn, mapLimit } from "../waiting";
import { ContainerFolders, type FolderState } from "./folders";
import { noRoom, notKept } from "./refusals";
import { ENDS } from "./scripts";
import { Shelf } from "./shelf";
import { type ScriptError, Tools } from "./tools";
import type {
  Attached,
  Kept,
  PackageCachesOptions,
  PackageLimits,
  PackagesMount,
  PackagesUsage,
} from "./types";

const GIB = 2 ** 30;
const DEFAULT_BOUNDS: PackageBounds = {
  maxBytes: 20 * GIB,
  maxBytesOfOne: 10 * GIB,
  maxOfOne: 200,
  unusedMs: 7 * 24 * 3_600_000,
};
const DEFAULT_LIMITS: PackageLimits = {
  treeBytes: 2 * GIB,
  treeEntries: 250_000,
  copyMilliseconds: 5 * 60_000,
  freeBytes: 2 * GIB,
};
/** Mounting takes milliseconds, and removing what a tenant wrote as long as that is large. */
const MOUNT_MS = 30_000;
const REMOVE_MS = 10 * 60_000;
/** Containers whose packages are mounted or removed at the start of berthd. */
const AT_A_TIME = 4;
/** In the options of a mount, colons and commas have a meaning. */
const FOLDER = /^\/[A-Za-z0-9._/-]+$/;

/**
 * What stands at `/app/node_modules` of each managed container: below, never written, what an installation of the same owner, repository
 * and branch left; above it a folder of the container's own. So no container sees what another one writes.
 *
 * Where the node has no overlays, each container gets a copy instead.
 */
export class PackageCaches {
  private readonly folder: string;
  private readonly tools: Tools;
  private readonly folders: ContainerFolders;
  private readonly shelf: Shelf;
  private readonly bounds: PackageBounds;
  private readonly limits: PackageLimits;
  private way: FolderState["way"] | undefined;
  /** By container: what is done with it, one after another. */
  private readonly turns = new Map<string, InTurn>();
  /** By container: ends what is copied out of it. */
  private readonly copies = new Map<string, AbortController>();
  /** Containers that are gone, whose folders are still there. */
  private readonly leaving = new Set<string>();
  /** One copy into the caches at a time: the disk is everybody's. */
  private readonly copying = new InTurn();

  constructor(private readonly options: PackageCachesOptions) {
    const folder = resolve(options.folder);
    if (!FOLDER.test(folder))
      throw new Error(`${folder}: the folder of packages has letters, digits and . _ / - in its name alone`);
    this.folder = folder;
    this.tools = new Tools(folder, options.prefix);
    this.folders = new ContainerFolders(folder);
    this.shelf = new Shelf({ ...options, folder }, (one) => this.remove(one));
    this.bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  /**
   * Before all else, and before a set-up goes on: reads what is kept, mounts again what a restart of the node took away, and removes
   * the folders of containers that are gone.
   *
   * @param ids of the containers that are there
   */
  async recover(ids: Iterable<string>): Promise<void> {
    mkdirSync(join(this.folder, "empty"), { recursive: true, mode: 0o700 });
    this.tools.write();
    await this.shelf.load();
    this.way = await this.probe();
    const there = new Set(ids);
    await mapLimit(this.folders.ids(), AT_A_TIME, async (id) => {
      if (there.has(id)) await this.said(id, () => this.again(id));
      else await this.detach(id);
    });
    await this.evict();
  }

  /**
   * The mount of a container that is about to be made, also of one that nobody has yet. Makes its folder.
   *
   * @param id 8 hexadecimal digits
   */
  mountFor(id: string): PackagesMount {
    if (this.way === undefined) throw new Error("packages were not recovered yet");
    const { target } = this.folders.of(id);
    const state = this.folders.state(id) ?? { way: this.way };
    mkdirSync(target, { recursive: true });
    // Whoever works in the container: its image says which account that is, by a name that only the container knows. Not with the
    // sticky bit: the kernel would keep root and others from following each other's links there.
    chmodSync(target, 0o777);
    this.folders.note(id, state);
    return {
      source: target,
      target: PACKAGES_PATH,
      propagation: state.way === "overlay" ? "rslave" : "rprivate",
    };
  }

  /** Whether it was made with a folder of packages. */
  has(id: string): boolean {
    return this.folders.state(id) !== undefined;
  }

  /**
   * Puts what is kept below the packages of a container, once: later calls give what the first one did. A node that cannot do it
   * says so in its log, and the container begins with an empty folder.
   *
   * @throws where `mountFor` did not make the container's folder
   */
  attach(id: string, of: PackagesOf): Promise<Attached> {
    return this.turn(id, async () => {
      const state = this.stateOf(id);
      if (state.attached) return this.attached(state.attached, of);
      const below = this.below(of);
      const attached = {
        name: packagesName(of.repository),
        ...(below && { cache: below.cache, generation: below.number }),
      };
      this.folders.note(id, { ...state, attached });
      if (await this.said(id, () => this.put(id, { ...state, attached }))) return this.attached(attached, of);
      await this.shelf.giveBack(id);
      this.folders.note(id, state);
      return { name: attached.name };
    });
  }

  /**
   * Keeps a container's packages for later ones of the same owner, repository, branch and image: right after an installation,
   * before anything else runs in the container. What the main branch's installation left also stands below other branches'.
   *
   * @param of as it was given to `attach`
   * @param fingerprint what the packages depend on, such as a digest of the lock file: the same one again is not kept again
   * @returns refusals: `over-limit` for what is too large or takes too long; `busy` where somebody writes in it meanwhile; `full`
   * where there is no room; `closed` for what cannot be copied
   * @throws the signal's reason
   */
  keep(
    id: string,
    of: PackagesOf,
    { fingerprint, signal }: { fingerprint: string; signal?: AbortSignal },
  ): Promise<Result<Kept>> {
    return this.turn(id, async () => {
      this.stateOf(id);
      if (this.below(of)?.fingerprint === fingerprint)
        return { ok: true, value: { kept: false, why: "unchanged" } };
      const gone = new AbortController();
      this.copies.set(id, gone);
      const until = signal ? AbortSignal.any([signal, gone.signal]) : gone.signal;
      try {
        return await this.oneCopy(() => this.copy(id, of, fingerprint, until), until);
      } catch (error) {
        until.throwIfAborted();
        return notKept(error, this.limits);
      } finally {
        this.copies.delete(id);
      }
    });
  }

  /**
   * When a container is gone: takes its folder away, with all that it wrote there. May be called again. What cannot be removed is
   * said in the log, and tried again by `evict`.
   */
  async detach(id: string): Promise<void> {
    this.copies.get(id)?.abort(new Error(`the container ${id} is gone`));
    await this.turn(id, async () => {
      this.leaving.add(id);
      if (await this.said(id, () => this.takeAway(id))) this.leaving.delete(id);
    });
    this.turns.delete(id);
  }

  /** From time to time: removes what is too old or too much; nothing that stands below a container's packages. */
  async evict(): Promise<void> {
    for (const id of [...this.leaving]) await this.detach(id);
    await this.removeKept();
  }

  /** Removes all that is kept of an owner's. @throws Error where a container stands on one still */
  async removeOf(owner: string): Promise<void> {
    for (const id of [...this.leaving]) await this.detach(id);
    const own = this.shelf.all.filter((one) => one.owner === owner);
    const used = own.filter(({ inUse }) => inUse);
    for (const one of own) if (!one.inUse) await this.shelf.remove(one);
    if (used.length > 0)
      throw new Error(`containers stand on ${used.length} of the kept packages of ${owner}`);
  }

  /** Whether something is kept, also before `recover`. */
  get hasKept(): boolean {
    return this.shelf.hasSome;
  }

  usage(): PackagesUsage {
    const caches = this.shelf.all.map(({ cache: _, number, fingerprint: __, ...one }) => ({
      ...one,
      generation: number,
    }));
    return {
      bytes: caches.reduce((sum, { bytes }) => sum + bytes, 0),
      caches,
      containers: this.folders.ids().length,
    };
  }

  private turn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const turn = this.turns.get(id) ?? new InTurn();
    this.turns.set(id, turn);
    return turn.run(work);
  }

  private stateOf(id: string): FolderState {
    const state = this.folders.state(id);
    if (!state) throw new Error(`the container ${id} has no folder of packages`);
    return state;
  }

  private below(of: PackagesOf) {
    return packagesBelow(of)
      .map((cache) => this.shelf.newest(cache))
      .find((one) => one !== undefined);
  }

  private attached(attached: NonNullable<FolderState["attached"]>, of: PackagesOf): Attached {
    const { name, cache = "", generation = 0 } = attached;
    const below = this.shelf.get(cache, generation);
    if (!below) return { name };
    const branch = cache === packagesKey(of) ? "own" : "main";
    return { name, from: { generation, branch, fingerprint: below.fingerprint } };
  }

  /** Also again, when it was mounted already. */
  private async put(id: string, { way, attached }: FolderState): Promise<void> {
    const { cache = "", generation = 0 } = attached ?? {};
    const below = this.shelf.get(cache, generation);
    if (below) await this.shelf.use(id, below);
    const { target, upper, work, aside } = this.folders.of(id);
    const tree = below ? this.shelf.tree(below) : join(this.folder, "empty");
    if (way === "overlay") {
      await this.tools.run("attach", [tree, upper, work, target], { milliseconds: MOUNT_MS });
      return;
    }
    const milliseconds = this.limits.copyMilliseconds;
    await this.tools.run("fill", [tree, aside, target], { milliseconds });
  }

  /** Waits for those before it no longer than its signal lets it; a copy that has begun ends by itself then. */
  private oneCopy<T>(copy: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      let begun = false;
      const leave = () => {
        if (!begun) reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.copying
        .run(() => {
          signal.throwIfAborted();
          begun = true;
          return copy();
        })
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", leave));
    });
  }

  /** After a restart of berthd or of the node. */
  private async again(id: string): Promise<void> {
    const state = this.stateOf(id);
    if (!state.attached) return;
    const { cache, generation } = state.attached;
    const below = this.shelf.get(cache ?? "", generation ?? 0);
    if (state.way === "overlay") return this.put(id, state);
    if (below) await this.shelf.use(id, below);
  }

  private async copy(
    id: string,
    of: PackagesOf,
    fingerprint: string,
    signal: AbortSignal,
  ): Promise<Result<Kept>> {
    await this.removeKept();
    if (!(await this.hasRoom(of.owner))) return noRoom();
    const work = await this.shelf.work();
    try {
      const { treeBytes, treeEntries, copyMilliseconds: milliseconds } = this.limits;
      const args = [this.folders.of(id).target, join(work, "tree"), String(treeBytes), String(treeEntries)];
      const said = await this.tools.run("copy", args, { milliseconds, signal });
      const [bytes = 0, entries = 0] = said.trim().split(" ").map(Number);
      // The folder itself is one.
      if (entries <= 1) return { ok: true, value: { kept: false, why: "empty" } };
      const { owner, repository, branch } = of;
      const note = { owner, name: packagesName(repository), branch, fingerprint, bytes, entries };
      const generation = await this.shelf.put(packagesKey(of), work, note);
      await this.removeKept();
      return { ok: true, value: { kept: true, generation, bytes, entries } };
    } finally {
      await this.remove(work);
    }
  }

  private async removeKept(): Promise<void> {
    for (;;) {
      // Anew each time: a container may have got one meanwhile.
      const [one] = packagesToRemove(this.shelf.all, { ...this.bounds, now: this.now() });
      if (!one) return;
      const { owner, name, branch, number } = one;
      this.options.log.info({ owner, name, branch, generation: number }, "kept packages are removed");
      await this.shelf.remove(one);
    }
  }

  private async hasRoom(owner: string): Promise<boolean> {
    if (!packagesHaveRoom(this.shelf.all, owner, this.bounds)) return false;
    const { bavail, bsize } = await statfs(this.folder);
    return bavail * bsize >= this.limits.freeBytes + this.limits.treeBytes;
  }

  private async probe(): Promise<FolderState["way"]> {
    try {
      await this.tools.run("probe", [this.folder], { milliseconds: MOUNT_MS });
      return "overlay";
    } catch (error) {
      const { code, message } = error as ScriptError;
      if (code !== ENDS.notShared && code !== ENDS.noOverlay) throw error;
      const reason =
        code === ENDS.notShared
          ? "mounts in it do not reach containers: it is in no shared mount"
          : `overlays cannot be had there: ${message}`;
      this.options.log.warn({ folder: this.folder, reason }, "each container gets a copy of kept packages");
      return "copy";
    }
  }

  /** What goes wrong with one container is no fault of others'. */
  private async said(id: string, act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      this.options.log.warn(
        { id, reason: (error as Error).message },
        "a container's packages are not as they should be",
      );
      return false;
    }
  }

  private async takeAway(id: string): Promise<void> {
    const { target, folder } = this.folders.of(id);
    const said = await this.tools.run("detach", [target, folder], { milliseconds: REMOVE_MS });
    if (said !== "") this.options.log.warn({ id }, "the packages of a container that is gone were in use");
    await this.shelf.giveBack(id);
  }

  private async remove(folder: string): Promise<void> {
    await this.tools.run("remove", [folder], { milliseconds: REMOVE_MS });
  }

  private now(): number {
    return (this.options.now ?? Date.now)();
  }
}
