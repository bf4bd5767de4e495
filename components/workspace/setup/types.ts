/**
 * What a person's workspace is furnished with (phase 2), and an operator's way into a workspace (phase 3).
 *
 * The set-up only ever adds. Taking an entry away removes what is wholly Berth's (the credentials block, the git
 * defaults, the tmux sessions it started) and leaves what has become the person's (dotfiles, clones, the venv,
 * installed packages). Taking the whole `setup` away leaves everything as it is.
 */
import type { PlannedNode, Problem, UserPlan } from "../../../config";

export type SetupConfig = NonNullable<UserPlan["setup"]>;

export type RepositoryConfig = NonNullable<SetupConfig["repositories"]>[number];

/** An operator's interactive SSH login on a node goes on in a workspace there, as its user. */
export type AutoExecConfig = NonNullable<PlannedNode["autoExec"]>;

/** One thing that cannot be used: where it stands, what stands there (never a secret), what would be right. */
export type SetupProblem = Omit<Problem, "problem">;

export const defaults = {
  /** Where clones go. */
  repositories: "~/workspace",
  venv: "~/venv",
  cwd: "~",
} as const;
