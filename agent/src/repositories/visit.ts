import { type Asking, Bare } from "./bare";
import { removeAll, removeLeftovers } from "./files";
import { type Git, GitError } from "./git";
import type { References } from "./references";
import { failed, nameOf, noBranch, notGiven, tooLarge } from "./refusals";
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
    const tree = (await this.fromKept(said, branch)) ?? (await this.fromNew(said, branch));
    ask.onLine(`branch ${branch} is at ${tree.commit}`);
    return tree;
  }

  private async list(): Promise<References> {
    const head = this.ask.branch === undefined || !this.options.shelf.has(this.key);
    try {
      return await Bare.list(this.options.git, this.asking, head);
    } catch (error) {
      throw error instanceof GitError ? notGiven(this.ask.repository, error.message) : error;
    }
  }

  /** Undefined: none is kept, or git finds fault with it. */
  private async fromKept(said: References, branch: string): Promise<Tree | undefined> {
    const { shelf, log } = this.options;
    if (!shelf.has(this.key)) return undefined;
    const folder = shelf.place(this.key);
    try {
      const bare = this.bare(folder);
      const fresh = await bare.has(said, this.ask.signal);
      if (!fresh) await this.fetch(bare);
      return await this.treeOf(bare, said, branch, !fresh);
    } catch (error) {
      if (shelf.has(this.key)) await removeLeftovers(folder);
      if (!(error instanceof GitError)) throw error;
      log.warn({ repository: this.key, reason: error.message }, "a repository is taken anew from its host");
      return undefined;
    }
  }

  /** In a folder of its own, so that a repository in its place is whole, and an old one stays until then. */
  private async fromNew(said: References, branch: string): Promise<Tree> {
    const { shelf } = this.options;
    const folder = shelf.work();
    try {
      const bare = this.bare(folder);
      await bare.make(this.ask.signal);
      await this.fetch(bare);
      await shelf.put(this.key, folder);
      return await this.treeOf(this.bare(shelf.place(this.key)), said, branch, true);
    } catch (error) {
      throw error instanceof GitError ? failed(this.ask.repository, error.message) : error;
    } finally {
      await removeAll(folder);
    }
  }

  private async fetch(bare: Bare): Promise<void> {
    this.ask.onLine("fetching what is new");
    await bare.fetch(this.asking);
  }

  private async treeOf(bare: Bare, said: References, branch: string, changed: boolean): Promise<Tree> {
    const { git, shelf, limits, now } = this.options;
    const { signal, repository } = this.ask;
    if (said.defaultBranch !== undefined) await bare.setDefaultBranch(said.defaultBranch, signal);
    await shelf.used(this.key, now(), changed);
    if (shelf.bytesOf(this.key) > limits.repositoryBytes) {
      await shelf.remove(this.key);
      throw tooLarge(repository, limits);
    }
    const { commit, files } = await lookAtTree(git, { from: bare.folder, branch }, limits, signal);
    const folder = shelf.work();
    try {
      await makeTree(
        git,
        { from: bare.folder, branch, url: repository.url, folder, template: shelf.template },
        signal,
      );
    } catch (error) {
      await removeAll(folder);
      throw error;
    }
    const defaultBranch = said.defaultBranch ?? (await bare.defaultBranch(signal));
    return { commit, branch, defaultBranch, folder, files };
  }

  private bare(folder: string): Bare {
    return new Bare(this.options.git, folder);
  }
}
