import { type Result, refuse } from "../../../core/gpu";
import type { Repository, RepositoryHost } from "../../../core/manager";
import { bracketed } from "../../../core/net";
import { remoteEnvironment, secretsOf } from "./environment";
import { removeAll } from "./files";
import { Git } from "./git";
import { Places } from "./places";
import { busy, noToken, notAllowed, tooSlow, unusable } from "./refusals";
import { Shelf } from "./shelf";
import {
  type Checkout,
  type CheckoutAsk,
  NotGiven,
  type RepositoryCacheOptions,
  type RepositoryLimits,
  type RepositoryUsage,
} from "./types";
import { Visit } from "./visit";

const DEFAULT_LIMITS: RepositoryLimits = {
  milliseconds: 15 * 60_000,
  repositoryBytes: 2 * 2 ** 30,
  treeBytes: 4 * 2 ** 30,
  treeFiles: 250_000,
  memoryBytes: 2 * 2 ** 30,
};
const AT_A_TIME = 8;
const MOST_WAITING = 256;
/** In bytes; those of the known hosts have less than 256. */
const LONGEST_TOKEN = 4096;

/**
 * Working trees of repositories, out of bare ones that are kept and brought up to date at each request. None gives anything to a
 * request before its host has listed the branches for that request's own token.
 */
export class RepositoryCache {
  private readonly git: Git;
  private readonly shelf: Shelf;
  private readonly limits: RepositoryLimits;
  private readonly places: Places;
  /** Of the repositories that somebody uses or waits for; each is one's at a time. */
  private readonly locks = new Map<string, Places>();
  private sound = false;

  constructor(private readonly options: RepositoryCacheOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.git = new Git(options, this.limits);
    this.shelf = new Shelf(options);
    this.places = new Places(options.atATime ?? AT_A_TIME, MOST_WAITING);
  }

  /** Before the first checkout: reads what is kept, without what a berthd before this one left half done. */
  recover(): Promise<void> {
    return this.shelf.load();
  }

  /** What keeps it from working, such as a node without git; undefined: nothing. */
  problem(): Promise<string | undefined> {
    return this.git.problem(AbortSignal.timeout(10_000));
  }

  usage(): RepositoryUsage {
    return { repositories: this.shelf.count, bytes: this.shelf.bytes, underWay: this.places.inUse };
  }

  /**
   * A working tree of the branch as the host has it now.
   *
   * @returns refusals: `bad-request` for a token that is none; `not-allowed` for a host that the operator does not name, or what
   * `resolve` refuses; `not-found` where the host does not give the repository or has no such branch; `over-limit` for what is too
   * large or takes too long; `busy` where too many wait; `closed` where the node cannot do it
   * @throws the signal's reason; nothing of the request is left then
   */
  async checkout(ask: CheckoutAsk): Promise<Result<Checkout>> {
    const late = AbortSignal.timeout(this.limits.milliseconds);
    try {
      const signal = AbortSignal.any([ask.signal, late]);
      return { ok: true, value: await this.placed({ ...ask, signal }) };
    } catch (error) {
      const why = late.aborted && !ask.signal.aborted ? tooSlow(ask.repository, this.limits) : error;
      if (why instanceof NotGiven) return refuse(why.refusal);
      throw why;
    }
  }

  /** Takes away what was not used for the longest time, until the rest is within the bounds; nothing that is in use. */
  async evict(): Promise<void> {
    while (this.shelf.bytes > this.options.maxBytes) {
      const key = this.shelf.oldest((one) => !this.locks.has(one));
      if (key === undefined) return;
      this.options.log.info({ repository: key }, "a repository is no longer kept: the cache has its size");
      await this.shelf.remove(key);
    }
  }

  /** Everything that can be refused is, before anything is touched; then it waits for one of the places. */
  private async placed(ask: CheckoutAsk): Promise<Checkout> {
    const host = this.hostOf(ask.repository);
    checkToken(ask.token);
    await this.checkGit(ask.signal);
    const giveBack = await this.places.take(ask.signal);
    if (!giveBack) throw busy();
    try {
      const tree = await this.alone(ask, () => this.treeOf(ask, host));
      return { ...tree, remove: () => removeAll(tree.folder).finally(giveBack) };
    } catch (error) {
      giveBack();
      throw error;
    } finally {
      await this.keepSize();
    }
  }

  /** Also after a fault, which may have left more than there was. What goes wrong with it is no fault of the request's. */
  private async keepSize(): Promise<void> {
    try {
      await this.evict();
    } catch (error) {
      this.options.log.warn(
        { reason: (error as Error).message },
        "the repository cache does not keep its size",
      );
    }
  }

  private async alone<T>({ repository, signal }: CheckoutAsk, act: () => Promise<T>): Promise<T> {
    const key = this.shelf.keyOf(repository);
    const lock = this.locks.get(key) ?? new Places(1, MOST_WAITING);
    this.locks.set(key, lock);
    let unlock: (() => void) | undefined;
    try {
      unlock = await lock.take(signal);
      if (!unlock) throw busy();
      return await act();
    } finally {
      unlock?.();
      if (lock.inUse === 0) this.locks.delete(key);
    }
  }

  private async treeOf(ask: CheckoutAsk, host: RepositoryHost): Promise<Omit<Checkout, "remove">> {
    const resolved = await this.options.resolve(host);
    if (!resolved.ok) throw new NotGiven(resolved.refusal);
    const { url } = ask.repository;
    const env = remoteEnvironment({ url, addresses: resolved.value, token: ask.token });
    const { signal, onLine, token } = ask;
    const asking = { url, env, secrets: secretsOf(token), signal, onLine };
    const { git, shelf, limits, options } = this;
    return new Visit(
      { git, shelf, limits, log: options.log, now: options.now ?? Date.now },
      ask,
      asking,
    ).tree();
  }

  private hostOf(repository: Repository): RepositoryHost {
    const { hosts } = this.options;
    const host = hosts.find((one) => originOf(one) === new URL(repository.url).origin);
    if (!host) throw notAllowed(repository, hosts.map(originOf));
    return host;
  }

  private async checkGit(signal: AbortSignal): Promise<void> {
    if (this.sound) return;
    const problem = await this.git.problem(signal);
    if (problem !== undefined) throw unusable(problem);
    this.sound = true;
  }
}

function checkToken(token: string | undefined): void {
  const bytes = Buffer.byteLength(token ?? "none");
  if (bytes === 0 || bytes > LONGEST_TOKEN) throw noToken(LONGEST_TOKEN);
}

function originOf({ host, port, insecure }: RepositoryHost): string {
  const scheme = insecure ? "http" : "https";
  return new URL(`${scheme}://${bracketed(host)}${port === undefined ? "" : `:${port}`}`).origin;
}
