/**
 * What a person's workspace is furnished with (phase 2), and an operator's way into a workspace (phase 3).
 *
 * The set-up only ever adds. Taking an entry away removes what is wholly Berth's (the credentials block, the git
 * defaults, the tmux sessions it started) and leaves what has become the person's (dotfiles, clones, the venv,
 * installed packages). Taking the whole `setup` away leaves everything as it is.
 */

/** A git repository: `https://…`, `ssh://…`, `git@host:path`, `file:///…` or an absolute path; no password in it. */
export type GitUrl = string;

/** `~/…` (the workspace user's home) or an absolute path inside the workspace. */
export type WorkspacePath = string;

export interface RepositoryConfig {
  url: GitUrl;
  /** @default "~/workspace/<last part of the URL, without .git>" */
  path?: WorkspacePath;
  /** Checked out by the first clone only. @default the repository's own default branch */
  branch?: string;
}

export interface ServiceConfig {
  /** The tmux session's name, such as `exec` or `server`: `tmux attach -t exec`. */
  name: string;
  /** One line for `bash -c`, run by a login shell with `~/.env` loaded. */
  command: string;
  /** @default "~" */
  cwd?: WorkspacePath;
}

export interface SetupConfig {
  /** Environment variables by name, written to `~/.env` (0600). The values are secrets. */
  credentials?: Record<string, string>;
  /** Debian packages. They live in the container, so a replaced container gets them again. */
  aptPackages?: string[];
  /** Dotfiles for chezmoi. Files that the person edited since are kept; originals are copied away first. */
  dotfiles?: { repository: GitUrl; branch?: string };
  /** Defaults for git, for the whole container; the person's own `~/.gitconfig` wins over them. */
  git?: { name?: string; email?: string; config?: Record<string, string> };
  /** Cloned where missing. A clone that is there is never fetched, switched or reset. */
  repositories?: RepositoryConfig[];
  python?: {
    /** Such as `3.13`. @default the image's Python */
    version?: string;
    /** @default "~/venv" */
    venv?: WorkspacePath;
    /** Requirements as pip takes them, such as `torch==2.9.*`. */
    packages?: string[];
    /** A requirements file, such as `~/workspace/project/requirements.txt`; clones come first. */
    requirements?: WorkspacePath;
  };
  /** tmux sessions, started when missing and at each start of the container, restarted when they change. */
  services?: ServiceConfig[];
}

/** An operator's interactive SSH login on a node goes on in a workspace there, as its user. */
export interface AutoExecConfig {
  /** The login on the node, such as `root` or `ubuntu`. */
  login: string;
  /** The workspace's user. */
  user: string;
}

/** One thing that cannot be used: where it stands, what stands there (never a secret), what would be right. */
export interface SetupProblem {
  path: string;
  value: unknown;
  allowed: string;
}

export const defaults = {
  /** Where clones go. */
  repositories: "~/workspace",
  venv: "~/venv",
  cwd: "~",
} as const;
