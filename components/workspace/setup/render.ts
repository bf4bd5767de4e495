import { join } from "node:path";
import { aptLibrary, defaultPaths, type StagePaths } from "../../host/library";
import { scriptsOf } from "../../host/script";
import { heredoc, quote, quoteAll } from "../../host/shell";
import { renderStage } from "../../host/stage";
import { environmentLines, type Program, planSteps, type SetupStep } from "./steps";
import type { SetupConfig } from "./types";

interface SetupOptions {
  /** The workspace's user, and the owner of all that is made. */
  user: string;
  /** The node's name, for messages. */
  node: string;
  /** The workspace's container, by name. */
  container: string;
  /** @default "/home/<user>" */
  home?: string;
  setup: SetupConfig;
  /**
   * What changes when the container is another one (its id): its text is part of the command, so that a
   * replaced container is furnished again.
   */
  instance?: string;
  /** Seconds to wait until the workspace says that it is ready. @default 180 */
  readySeconds?: number;
  /** For tests. */
  paths?: Partial<StagePaths>;
}

interface RenderedSetup {
  /** For `create` and `update` of a `command.remote.Command` on the node, as root or with sudo. No secret in it. */
  command: string;
  /** Secret: for its standard input. Undefined where the set-up has no credentials. */
  stdin: string | undefined;
}

const script = scriptsOf(join(__dirname, "programs"));

/** What stands in front of a program, in the same shell. */
const before: Partial<Record<Program, string>> = {
  apt: `state=/var/lib/berth-setup\nchanged() { :; }\n${aptLibrary}`,
  dotfiles: script("repository.sh"),
  clone: script("repository.sh"),
};

/** The bash of one program, whole. */
export function programText(program: Program): string {
  const parts = [script("common.sh"), before[program], script(`${program}.sh`), ""];
  return parts.filter((part) => part !== undefined).join("\n");
}

/**
 * One command on the node that furnishes a running workspace, step by step, and can be run again at any time.
 *
 * It is a host stage (log `/var/log/berth/setup-<user>.log`, a lock per user), but a step that fails does not keep
 * the later ones from being tried: the command fails at its end, with each failure in a line.
 * @throws StageOptionError for text that cannot be written safely, and for a set-up of more than 128 KiB.
 */
export function renderSetup(options: SetupOptions): RenderedSetup {
  const { user, node, container, setup } = options;
  const home = options.home ?? `/home/${user}`;
  const ready = options.readySeconds ?? 180;
  const name = `setup-${user}`;
  const steps = planSteps(setup);
  const lines = environmentLines(setup.credentials ?? {});
  const needed = [...new Set(steps.map((step) => step.program))];
  const prepare = [
    ...(options.instance === undefined ? [] : [`# instance: ${quote(options.instance, "setup.instance")}`]),
    `cat >"$work/attempt.sh" ${heredoc(
      [`user=${quote(user)} container=${quote(container)} home=${quote(home)}`, script("attempt.sh")].join(
        "\n",
      ),
    )}`,
    ...needed.map((program) => `cat >"$work/${program}.sh" ${heredoc(programText(program))}`),
    ': >"$work/failed"',
    ': >"$work/steps"',
    '. "$work/attempt.sh"',
    `wait_for ${ready} "container $container" ready`,
  ].join("\n");
  const command = renderStage({
    name,
    node,
    needsSecrets: lines.length > 0,
    uses: [],
    paths: { ...defaultPaths, lock: `/run/berth-${name}.lock`, ...options.paths },
    steps: [
      { name: `wait for ${container}`, body: prepare, deadlineSeconds: ready + 60 },
      ...steps.map((step) => ({
        name: step.name,
        body: attempt(step, user, lines.length > 0),
        deadlineSeconds: step.seconds + 60,
      })),
      { name: `set-up of ${user}`, body: '. "$work/attempt.sh"\nconclude' },
    ],
  });
  return { command, stdin: lines.length > 0 ? JSON.stringify({ env: `${lines.join("\n")}\n` }) : undefined };
}

function attempt(step: SetupStep, user: string, secrets: boolean): string {
  const words = [step.name, step.asRoot ? "root" : user, String(step.seconds), step.program, ...step.args];
  const input = step.program === "credentials" && secrets ? " < <(secret env)" : "";
  return `. "$work/attempt.sh"\nattempt ${quoteAll(words, `step "${step.name}"`)}${input}`;
}
