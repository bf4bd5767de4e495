/**
 * A host stage: one idempotent bash script for one concern, run over one SSH connection. Pure.
 *
 * Contract with whoever runs it: standard output is one line, `BERTH_FACTS {json}`; everything else goes to
 * `/var/log/berth/<stage>.log` on the node (0600). A failure ends with a non-zero status and, on standard error,
 * `stage base, step "install packages" failed: see /var/log/berth/base.log on NODE` and the log's last lines.
 */
import {
  aptLibrary,
  coreLibrary,
  defaultPaths,
  filesLibrary,
  type StagePaths,
  secretsLibrary,
} from "./library";
import { checkLabel, checkWhole, hasControl, quote, StageOptionError } from "./shell";

export interface StageStep {
  /** What people read when it fails, such as `install packages`. */
  name: string;
  /** Bash, run with `set -euo pipefail` in a subshell, so a variable does not outlive its step. */
  body: string;
  /** Seconds after which the step and all that it started are ended. @default 300 */
  deadlineSeconds?: number;
}

export interface StageOptions {
  /** Names the log and the messages, such as `base`. */
  name: string;
  /** The node's name, for messages. */
  node: string;
  steps: readonly StageStep[];
  /** Facts known at rendering; the steps add theirs with `fact KEY TEXT` and `fact_json KEY JSON`. */
  facts?: Readonly<Record<string, string | number | boolean>>;
  /** True: standard input is a JSON object, read with `secret KEY`. Its values never reach log, argv or disk. */
  needsSecrets?: boolean;
  /** Parts of the library that the steps call. @default ["files"] */
  uses?: readonly StageLibrary[];
  /** Seconds to wait for another stage on the same node. @default 900 */
  lockSeconds?: number;
  /** For tests. */
  paths?: StagePaths;
}

/** `files`: place, unplace, pending, settled. `apt`: apt_install, apt_lists, apt_update (needs files). */
export type StageLibrary = "files" | "apt";

/**
 * Linux's limit on one argument (MAX_ARG_STRLEN, 32 pages), its final NUL included, since sshd passes the text as
 * one; less room for a comment that a caller may add behind.
 */
export const MAX_COMMAND_BYTES = 128 * 1024 - 1 - 256;

const END = "BERTH_STAGE";

/**
 * The whole command, for `create` of a `command.remote.Command`.
 *
 * It works from any login shell of the Bourne family (sh, dash, bash, ksh, zsh, busybox), as root or as a user
 * with passwordless sudo, and leaves standard input to the script.
 * @throws StageOptionError for a name or text that cannot be written, and for a command above 128 KiB.
 */
export function renderStage(options: StageOptions): string {
  const name = checkLabel(options.name, "stage.name");
  const body = [...prelude(options), ...options.steps.flatMap(stepFunction), ...calls(options)].join("\n");
  if (body.split("\n").includes(END)) {
    throw new StageOptionError(`stage ${name}`, END, "a script without a line that is its own end mark");
  }
  // --norc: bash reads ~/.bashrc for a command that comes over SSH, and that may print.
  const command = `exec bash --norc -c "$(cat <<'${END}'\n${body}\n${END}\n)"`;
  const bytes = Buffer.byteLength(command, "utf8");
  if (bytes > MAX_COMMAND_BYTES) {
    throw new StageOptionError(
      `stage ${name}`,
      `${bytes} bytes`,
      `a command of at most ${MAX_COMMAND_BYTES} bytes, Linux's limit for one argument less 256; shorten its lists or files`,
    );
  }
  return command;
}

/** The bash inside a rendered command, for checks of its syntax. */
export function stageBody(command: string): string {
  const start = command.indexOf("\n");
  const end = command.lastIndexOf(`\n${END}\n`);
  if (start < 0 || end < 0) throw new Error("not the text of a rendered stage");
  return command.slice(start + 1, end);
}

function prelude(options: StageOptions): string[] {
  const paths = options.paths ?? defaultPaths;
  const uses = options.uses ?? ["files"];
  const node = checkLabel(options.node, "stage.node");
  return [
    `# Berth, host stage "${options.name}" of ${node}. Rendered: a change here is lost.`,
    "set -euo pipefail",
    "umask 077",
    `stage=${quote(options.name)} node=${quote(node)}`,
    `logs=${quote(paths.logs)} state=${quote(paths.state)} lock=${quote(paths.lock)}`,
    `lock_seconds=${checkWhole(options.lockSeconds ?? 900, "stage.lockSeconds", 1, 86400)}`,
    'if [ "$(id -u)" -ne 0 ]; then',
    "  if ! sudo -n true 2>/dev/null; then",
    '    echo "stage $stage on $node: $(id -un) is not root and has no sudo without a password" >&2',
    "    exit 1",
    "  fi",
    `  exec sudo -n env "SSH_CONNECTION=\${SSH_CONNECTION:-}" bash --norc -c "$BASH_EXECUTION_STRING"`,
    "fi",
    "export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "unset BASH_ENV ENV CDPATH",
    coreLibrary,
    ...(uses.includes("files") || uses.includes("apt") ? [filesLibrary] : []),
    ...(uses.includes("apt") ? [aptLibrary] : []),
    ...(options.needsSecrets
      ? [
          secretsLibrary,
          "secrets=''",
          "IFS= read -r -d '' secrets || true",
          'if [ -z "$secrets" ]; then',
          '  echo "stage $stage on $node: its secrets are missing on standard input" >&2',
          "  exit 1",
          "fi",
        ]
      : []),
    "exec </dev/null",
  ];
}

function stepFunction(step: StageStep, index: number): string[] {
  return [`step_${index + 1}() {`, step.body.trim() || ":", "}"];
}

function calls(options: StageOptions): string[] {
  return [
    "begin",
    ...Object.entries(options.facts ?? {}).map(([key, value]) =>
      typeof value === "string"
        ? `fact ${quote(key)} ${quote(value, `fact ${key}`)}`
        : `fact_json ${quote(key)} ${JSON.stringify(value)}`,
    ),
    ...options.steps.map((step, index) => {
      if (hasControl(step.name)) throw new StageOptionError("step.name", step.name, "one line of text");
      const seconds = checkWhole(
        step.deadlineSeconds ?? 300,
        `step "${step.name}".deadlineSeconds`,
        1,
        86400,
      );
      return `step ${quote(step.name)} ${seconds} step_${index + 1}`;
    }),
    "step_name='report the facts'",
    "report",
  ];
}

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** The mark that facts stand behind. */
export const FACTS_MARK = "BERTH_FACTS ";

/**
 * The facts of a stage, from its standard output.
 * @throws Error when the output is anything but one marked line: a login banner on standard output, a cut connection.
 */
export function parseFacts(stdout: string): Record<string, Json> {
  const lines = stdout.split("\n").filter((line) => line.trim() !== "");
  const [line, ...others] = lines.filter((text) => text.startsWith(FACTS_MARK));
  if (line === undefined || others.length > 0 || lines.length > 1) {
    const got =
      lines.length === 0 ? "nothing" : `${lines.length} lines, ${others.length + (line ? 1 : 0)} marked`;
    throw new Error(
      `a host stage must print one line, "${FACTS_MARK}{...}", and nothing else: it printed ${got}. ` +
        "A login banner or a profile that prints for non-interactive logins must be silenced",
    );
  }
  const text = line.slice(FACTS_MARK.length);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`a host stage printed facts that are no JSON: ${text.slice(0, 200)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`a host stage printed facts that are no JSON object: ${text.slice(0, 200)}`);
  }
  return value as Record<string, Json>;
}

/** A fact of the kind that is wanted, or the empty one of that kind. */
export const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
export const number = (value: Json | undefined): number => (typeof value === "number" ? value : 0);
export const texts = (value: Json | undefined): string[] => (Array.isArray(value) ? value.map(text) : []);
