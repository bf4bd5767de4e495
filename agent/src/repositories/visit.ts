import { within } from "../waiting";
import { type Asking, Bare } from "./bare";
import { removeAll, removeLeftovers } from "./files";
import { type Git, GitError } from "./git";
import type { References } from "./references";
import { failed, nameOf, noBranch, notGiven, tooLarge, tooSlowList } from "./refusals";
import type { Shelf } from "./shelf";
import { lookAtTree, makeTree } from "./tree";
import type { Checkout, CheckoutAsk, RepositoryCacheOptions, RepositoryLimits } from "./types";

type Tree = Omit<Checkout, "remove">;

export interface VisitOptions extends Pick<RepositoryCacheOptions, "log"> {
  git: Git;
  shelf: Shelf;
  limits: RepositoryLimits;
  now(): number;
}

/** One request for a repository, which nobody else uses meanwhile. */
export class Visit {
  private readonly key: string;

  constructor(
    private readonly options: VisitOptions,
    private readonly ask: CheckoutAsk,
    private readonly asking: Asking,
  ) {
    this.key = options.shelf.keyOf(ask.repository);
  }

  /** @throws NotGiven; GitError never; the signal's reason. Nothing of it is left then. */
  async tree(): Promise<Tree> {
    const { ask } = this;
    ask.onLine(`asking ${ask.repository.host} for ${nameOf(ask.repository)}`);
    const said = await this.list();
    const branch = ask.branch ?? said.defaultBranch;
    if (branch === undefined || !said.at.has(`refs/heads/${branch}`)) throw noBranch(ask, said);
    try {
      const commit = (await this.fromKept(said, branch)) ?? (await this.fromNew(said, branch));
      const tree = await this.treeOf(said, commit, branch);
      ask.onLine(`branch ${branch} is at ${commit}`);
      return tree;
    } catch (error) {
      throw error instanceof GitError ? failed(ask.repository, error.message) : error;
    }
  }

  private async list(): Promise<References> {
    const head = this.ask.branch === undefined || !this.options.shelf.has(this.key);
    try {
      return await Bare.list(this.options.git, this.asking, head);
    } catch (error) {
      throw error instanceof GitError ? notGiven(this.ask.repository, error.message) : error;
    }
  }

  /** The branch's commit, which is in its place then. Undefined: none is kept, or git finds fault with it. */
  private async fromKept(said: References, branch: string): Promise<string | undefined> {
    const { shelf, log, now } = this.options;
    if (!shelf.has(this.key)) return undefined;
    const bare = this.bare(shelf.place(this.key));
    try {
      const fresh = await bare.has(said, this.ask.signal);
      said.forget();
      if (!fresh) await this.fetch(bare);
      const commit = await this.settle(bare, said, branch);
      await shelf.used(this.key, now(), !fresh);
      return commit;
    } catch (error) {
      await this.tidy(bare);
      if (!(error instanceof GitError)) throw error;
      log.warn({ repository: this.key, reason: error.message }, "a repository is taken anew from its host");
      return undefined;
    }
  }

  /**
   * After a fault, or an end in the middle. A fetch may have left objects that no branch leads to: were they kept, each one that is cut
   * off at that point would leave more.
   */
  private async tidy(bare: Bare): Promise<void> {
    const { shelf } = this.options;
    if (!shelf.has(this.key)) return;
    const before = shelf.bytesOf(this.key);
    await removeLeftovers(bare.folder);
    const after = await shelf.measure(this.key);
    if (after > before && (await bare.isUnclean())) await shelf.remove(this.key);
  }

  /** In a folder of its own, so that a repository in its place is whole, and an old one stays until then. */
  private async fromNew(said: References, branch: string): Promise<string> {
    const { shelf, now } = this.options;
    said.forget();
    const folder = await shelf.work();
    try {
      const bare = this.bare(folder);
      await bare.make(this.ask.signal);
      await this.fetch(bare);
      const commit = await this.settle(bare, said, branch);
      await shelf.put(this.key, folder, now());
      return commit;
    } finally {
      await removeAll(folder);
    }
  }

  private async fetch(bare: Bare): Promise<void> {
    this.ask.onLine("fetching what is new");
    await bare.fetch(this.asking);
  }

  /** Notes the main branch, and says which commit the asked one is at. */
  private async settle(bare: Bare, said: References, branch: string): Promise<string> {
    const { signal } = this.ask;
    if (said.defaultBranch !== undefined) await bare.setDefaultBranch(said.defaultBranch, signal);
    return bare.commitOf(branch, signal);
  }

  /** What git finds wrong here is in the commit itself, such as a name that the disk does not take: the host would give the same again. */
  private async treeOf(said: References, commit: string, branch: string): Promise<Tree> {
    const { git, shelf, limits } = this.options;
    const { signal, repository } = this.ask;
    if (shelf.bytesOf(this.key) > limits.repositoryBytes) {
      await shelf.remove(this.key);
      throw tooLarge(repository, limits);
    }
    const from = shelf.place(this.key);
    const milliseconds = limits.listMilliseconds;
    const files = await within(
      { milliseconds, signal, tooLong: () => tooSlowList(repository, limits) },
      (until) => lookAtTree(git, { from, commit }, limits, until),
    );
    const defaultBranch = said.defaultBranch ?? (await this.bare(from).defaultBranch(signal));
    const folder = await shelf.work();
    try {
      await makeTree(git, { from, branch, url: repository.url, folder, template: shelf.template }, signal);
    } catch (error) {
      await removeAll(folder);
      throw error;
    }
    return { commit, branch, defaultBranch, folder, files };
  }

  private bare(folder: string): Bare {
    return new Bare(this.options.git, folder);
  }
}
