import type { Refusal, Result } from "../../../core/gpu";
import type { Repository, RepositoryHost } from "../../../core/manager";

export interface CheckoutAsk {
  repository: Repository;
  /** Whose turns it takes, such as a tenant's name; one has a few at a time. */
  owner: string;
  /** A name that git takes for a branch's; see `parseBranch`. @default the one that the host's HEAD names */
  branch?: string;
  /** Of the repository's host; used for this one alone, and kept nowhere: 8 to 4096 bytes. @default none: the repository is public */
  token?: string;
  /** Ends it: git and all that it started are killed, and what they left is taken away. */
  signal: AbortSignal;
  /** What goes on, and what the host says of it, without the token: lines of at most 4 KiB, at most a few hundred. */
  onLine(line: string): void;
}

/** A working tree of one's own. Who gets it takes it away with `remove`, whatever happens: there are a few at a time, fewer of one owner. */
export interface Checkout {
  /** 40 hexadecimal digits. */
  commit: string;
  branch: string;
  /** The branch that the host named at the last time it was asked; undefined: it names none. */
  defaultBranch?: string;
  /**
   * Has `.git` with all branches and tags, and the repository's address, without a token, as `origin`. Modules and LFS files are
   * not in it, and each file is as the commit has it: `.git/info/attributes` turns `ident`, line ends and encodings off. Links in it
   * lead wherever their author wished: nobody but git follows them. Its packs are the cache's own files under another name: copy it,
   * and neither change owners or modes in it nor mount it where somebody could write.
   */
  folder: string;
  /** The names of the regular files at its top: no folders, and no links. */
  files: string[];
  /** May be called again. */
  remove(): Promise<void>;
}

export interface RepositoryUsage {
  repositories: number;
  /** On the disk, of the repositories that are kept. */
  bytes: number;
  /** Working trees that nobody has removed, and repositories under way. */
  underWay: number;
}

/** What one repository may cost. */
export interface RepositoryLimits {
  /** From the first question to the whole working tree. @default 15 minutes */
  milliseconds: number;
  /** Before that, for a turn. @default 15 minutes */
  waitMilliseconds: number;
  /** For counting the commit's files, of which git lists more than there are objects. @default 1 minute */
  listMilliseconds: number;
  /** Of the repository on disk, and of each file that git writes. @default 2 GiB */
  repositoryBytes: number;
  /** Of the files of the commit. @default 4 GiB */
  treeBytes: number;
  /** Folders count too. @default 250000 */
  treeFiles: number;
  /** Of one process of git. @default 2 GiB */
  memoryBytes: number;
}

export interface RepositoryCacheOptions {
  /** Its own; made if it is not there. It holds `HOST/OWNER/NAME.git`, `.work` for what is under way, and `.template`. */
  folder: string;
  /** @default git */
  git?: string;
  /** Who git runs as; berthd is root then. @default berthd's own */
  account?: { uid: number; gid: number };
  /** What starts the programs, such as `systemd-run --scope`: a program and arguments before those of git. @default nothing */
  prefix?: readonly string[];
  /** What all repositories together may have on the disk. Those longest not used go first; one in use stays. */
  maxBytes: number;
  /** How many there may be. @default 4096 */
  maxRepositories?: number;
  hosts: readonly RepositoryHost[];
  /** The addresses that the host's name has now, those that may be dialled. Git dials them alone. */
  resolve(host: RepositoryHost): Promise<Result<string[]>>;
  limits?: Partial<RepositoryLimits>;
  /** Working trees at a time. @default 8 */
  atATime?: number;
  /** Of those, for one owner. @default 3 */
  atATimeOfOne?: number;
  log: { info(data: object, message: string): void; warn(data: object, message: string): void };
  /** Milliseconds since the epoch. @default Date.now */
  now?(): number;
}

/** Why there is no working tree, on its way to whoever asked. */
export class NotGiven extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message);
  }
}
