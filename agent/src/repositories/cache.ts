import { type Result, refuse } from "../../../core/gpu";
import { parseToken, type Repository, type RepositoryHost } from "../../../core/manager";
import { bracketed } from "../../../core/net";
import { within } from "../waiting";
import { remoteEnvironment, secretsOf } from "./environment";
import { removeAll } from "./files";
import { Git } from "./git";
import { noTurn, notAllowed, tooSlow, unusable } from "./refusals";
import { Shelf } from "./shelf";
import { type Turn, Turns } from "./turns";
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
  waitMilliseconds: 15 * 60_000,
  listMilliseconds: 60_000,
  repositoryBytes: 2 * 2 ** 30,
  treeBytes: 4 * 2 ** 30,
  treeFiles: 250_000,
  memoryBytes: 2 * 2 ** 30,
};
const AT_A_TIME = 8;
const AT_A_TIME_OF_ONE = 3;
/** Each is looked at when berthd starts, and whoever may name repositories of a large host has no end of small ones. */
const MOST_KEPT = 4096;

/**
 * Working trees of repositories, out of bare ones that are kept and brought up to date at each request. None gives anything to a
 * request before its host has listed the branches for that request's own token.
 */
export class RepositoryCache {
  private readonly git: Git;
  private readonly shelf: Shelf;
  private readonly limits: RepositoryLimits;
  private readonly turns: Turns;
  private sound = false;

  constructor(private readonly options: RepositoryCacheOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.git = new Git(options, this.limits);
    this.shelf = new Shelf(options);
    const { atATime = AT_A_TIME, atATimeOfOne = AT_A_TIME_OF_ONE } = options;
    this.turns = new Turns({ atATime, atATimeOfOne });
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
    return { repositories: this.shelf.count, bytes: this.shelf.bytes, underWay: this.turns.underWay };
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
    try {
      return { ok: true, value: await this.given(ask) };
    } catch (error) {
      if (error instanceof NotGiven) return refuse(error.refusal);
      throw error;
    }
  }

  /** Takes away what was not used for the longest time, until the rest is within the bounds; nothing that is in use. */
  async evict(): Promise<void> {
    const { maxBytes, maxRepositories = MOST_KEPT } = this.options;
    while (this.shelf.bytes > maxBytes || this.shelf.count > maxRepositories) {
      const key = this.shelf.oldest((one) => !this.turns.isInUse(one));
      if (key === undefined) return;
      this.options.log.info({ repository: key }, "a repository is no longer kept: the cache is full");
      await this.shelf.remove(key);
    }
  }

  /** Everything that can be refused is, before anything is touched; then it waits for its turn, and the host's time begins. */
  private async given(ask: CheckoutAsk): Promise<Checkout> {
    const host = this.hostOf(ask.repository);
    checkToken(ask.token);
    const turn = await this.turnOf(ask);
    try {
      const { milliseconds } = this.limits;
      const tooLong = () => tooSlow(ask.repository, this.limits);
      const tree = await within({ milliseconds, signal: ask.signal, tooLong }, (signal) =>
        this.treeOf({ ...ask, signal }, host),
      );
      return { ...tree, remove: () => removeAll(tree.folder).finally(turn.giveBack) };
    } catch (error) {
      turn.giveBack();
      throw error;
    } finally {
      turn.unlock();
      await this.keepSize();
    }
  }

  private turnOf({ repository, owner, signal }: CheckoutAsk): Promise<Turn> {
    const milliseconds = this.limits.waitMilliseconds;
    const key = this.shelf.keyOf(repository);
    return within({ milliseconds, signal, tooLong: () => noTurn(repository, this.limits) }, async (until) => {
      await this.checkGit(until);
      return this.turns.take({ key, owner, signal: until });
    });
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
  const good = token === undefined ? undefined : parseToken(token);
  if (good?.ok === false) throw new NotGiven(good.refusal);
}

function originOf({ host, port, insecure }: RepositoryHost): string {
  const scheme = insecure ? "http" : "https";
  return new URL(`${scheme}://${bracketed(host)}${port === undefined ? "" : `:${port}`}`).origin;
}
