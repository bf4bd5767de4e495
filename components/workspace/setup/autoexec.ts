import { defaultPaths, type StagePaths } from "../../host/library";
import { loginProblem } from "../../host/login";
import { heredoc, quote } from "../../host/shell";
import { renderStage } from "../../host/stage";
import type { AutoExecConfig } from "./types";

interface AutoExecOptions {
  /** The node's name, for messages. */
  node: string;
  /** Undefined: the node has the option no more (or never had), and the file goes. */
  autoExec?: AutoExecConfig & {
    /** The user's workspace, by container name. */
    container: string;
    /** @default "/home/<user>" */
    home?: string;
  };
  /** For tests. */
  paths?: Partial<StagePaths>;
}

/** Read by login shells alone: `ssh NODE COMMAND`, scp, sftp and rsync start none. */
export const AUTO_EXEC_FILE = "/etc/profile.d/berth-auto-exec.sh";

/**
 * Commands on the node that make an operator's interactive SSH login land in a workspace, as its user.
 *
 * `create` (also the update) places one file that is Berth's alone, `delete` removes it; the login's own dotfiles
 * are not touched. Ways out: `ssh -t NODE berth_no_exec=1 bash -l` (or `ssh -t NODE bash`) stays on the node, and so
 * does a login while the container does not run.
 */
export function renderAutoExec(options: AutoExecOptions): { create: string; delete: string } {
  const stage = { name: "auto-exec", node: options.node, paths: { ...defaultPaths, ...options.paths } };
  const remove = renderStage({
    ...stage,
    steps: [{ name: "leave logins alone", body: `unplace ${AUTO_EXEC_FILE}` }],
  });
  if (!options.autoExec) return { create: remove, delete: remove };
  const { login } = options.autoExec;
  const create = renderStage({
    ...stage,
    steps: [
      {
        name: "look at the login",
        body: `${loginProblem(login, "autoExec")}\nif [ -n "$login_problem" ]; then fail "$login_problem"; fi`,
      },
      {
        name: "lead logins into the workspace",
        body: `place 0644 ${AUTO_EXEC_FILE} ${heredoc(autoExecFile(options.autoExec))}`,
      },
    ],
  });
  return { create, delete: remove };
}

/** The file itself: POSIX sh, read by any login shell, leaving nothing behind where it does not apply. */
export function autoExecFile(option: NonNullable<AutoExecOptions["autoExec"]>): string {
  const login = quote(option.login);
  const user = quote(option.user);
  const container = quote(option.container);
  const home = quote(option.home ?? `/home/${option.user}`);
  return `# Written by Berth: the option autoExec of this node. A change here is lost.
# An interactive SSH login goes on in a workspace. To stay on the node: ssh -t NODE berth_no_exec=1 bash -l
berth_auto_exec() {
  case $- in *i*) ;; *) return 0 ;; esac
  if [ -n "\${berth_no_exec:-}" ] || [ -n "\${DOCKER_CONTAINER:-}" ]; then return 0; fi
  if [ -z "\${SSH_CONNECTION:-}" ] || [ ! -t 0 ] || [ ! -t 1 ]; then return 0; fi
  if [ "$(id -un)" != ${login} ]; then return 0; fi
  if [ -w /var/run/docker.sock ]; then set -- docker; else set -- sudo -n docker; fi
  if [ "$(timeout 10 "$@" inspect -f '{{.State.Running}}' ${container} 2>/dev/null </dev/null)" != true ]; then
    printf 'berth: the workspace %s does not run; this is the node\\n' ${container} >&2
    return 0
  fi
  printf 'berth: the workspace of %s. To stay on the node: ssh -t NODE berth_no_exec=1 bash -l\\n' ${user} >&2
  # shellcheck disable=SC2016 # for the workspace's own shell
  exec "$@" exec -it -u ${user} -w ${home} -e DOCKER_CONTAINER=1 -e HOME=${home} -e USER=${user} -e LOGNAME=${user} \\
    -e "TERM=\${TERM:-xterm}" ${container} \\
    sh -c 'shell=$(getent passwd "$(id -un)" | cut -d: -f7); export SHELL="\${shell:-/bin/bash}"; exec "$SHELL" -l'
}
berth_auto_exec
unset -f berth_auto_exec
`;
}
