/** What is done in a container for its set-up. */
import { DockerError, type Engine, type ExecLine, type ExecOptions, type ExecResult } from "../docker";
import type { Account } from "./archive";
import { SetupFailed, tooLong } from "./failed";
import { AWAIT, CLEAR, ENDS, INSTALL, LAUNCH, MAKE, STOP, SUPERVISE } from "./scripts";

export interface InsideOptions {
  engine: Pick<Engine, "exec">;
  /** Where the start command writes to: the container's own output. @default /proc/1/fd/1 */
  output?: string;
  /** Below it each supervisor has a folder. @default /tmp */
  stateFolder?: string;
  /** Variables of what is to end with berthd: of all but the start command. @default none */
  environment?: Readonly<Record<string, string>>;
}

/** A line that is run, or kept running, in a container. */
export interface StartCommand {
  /** The container, by Berth's id. */
  id: string;
  /** The container, by Docker's. */
  container: string;
  line: string;
  env: Readonly<Record<string, string>>;
  workdir: string;
}

/** How a start command is: it listens, it runs, or it has ended, with an exit code. */
export type Started = { kind: "listens" } | { kind: "runs" } | { kind: "ended"; exitCode: number };

/** For what takes the time of a process, on a node that is busy. */
const SHORT_MS = 60_000;
/** Old files may be many. */
const CLEAR_MS = 5 * 60_000;
const MOST_OUTPUT = 4096;

export class Inside {
  constructor(private readonly options: InsideOptions) {}

  /** Makes room for a repository. @returns whose its files are to be */
  async clear(container: string, workdir: string, signal: AbortSignal): Promise<Account> {
    const first = await this.tryClear(container, workdir, signal);
    if (first.exitCode !== ENDS.notOwn) return accountOf(checked(first, workdir));
    const { uid, gid } = accountOf(first);
    const how = { user: "0", env: this.options.environment };
    const made = await this.run(container, MAKE, [workdir, `${uid}:${gid}`], { signal }, how);
    checked(made, workdir);
    return accountOf(checked(await this.tryClear(container, workdir, signal), workdir));
  }

  private tryClear(container: string, workdir: string, signal: AbortSignal): Promise<ExecResult> {
    const env = this.options.environment;
    return this.run(container, CLEAR, [workdir], { signal, timeoutMs: CLEAR_MS }, { env });
  }

  /** Runs an installation, and tells each of its lines. */
  async install(
    { id, container, line, env, workdir }: StartCommand,
    options: { timeoutMs: number; signal: AbortSignal; onLine(line: ExecLine): Promise<void> },
  ): Promise<void> {
    const args = [this.stateOf(id), line];
    const how = { env: { ...env, ...this.options.environment }, workdir };
    const { exitCode, timedOut } = await this.run(container, INSTALL, args, options, how);
    if (timedOut) throw tooLong("the installation", options.timeoutMs);
    if (exitCode !== 0)
      throw new SetupFailed(
        `the installation ended with exit code ${exitCode}; its output is in the container's log`,
      );
  }

  /** Has the start command kept running, unless it is already. */
  async launch({ id, container, line, env, workdir }: StartCommand): Promise<void> {
    const { output = "/proc/1/fd/1" } = this.options;
    const how = { env: { ...env, BERTH_START: line }, workdir };
    const done = await this.run(container, LAUNCH, [this.stateOf(id), output, SUPERVISE], {}, how);
    if (done.exitCode !== 0) throw new SetupFailed(`the start command cannot be started: ${wordsOf(done)}`);
  }

  /** Waits until something listens on one of the container's ports, or the start command has ended. */
  async started(
    { id, container }: Pick<StartCommand, "id" | "container">,
    { ports, seconds, signal }: { ports: readonly number[]; seconds: number; signal?: AbortSignal },
  ): Promise<Started> {
    const hex = ports.map((port) => port.toString(16).toUpperCase().padStart(4, "0"));
    const timeoutMs = seconds * 1000 + SHORT_MS;
    const bounds = { timeoutMs, ...(signal !== undefined && { signal }) };
    const args = [this.stateOf(id), String(seconds), ...hex];
    const done = await this.run(container, AWAIT, args, bounds, { env: this.options.environment });
    if (done.exitCode === ENDS.ended) return { kind: "ended", exitCode: Number.parseInt(done.stdout, 10) };
    if (done.exitCode !== 0 && done.exitCode !== ENDS.silent)
      throw new SetupFailed(`it cannot be seen whether the start command runs: ${wordsOf(done)}`);
    return { kind: done.exitCode === 0 ? "listens" : "runs" };
  }

  /** Ends what is kept running, and an installation that nobody waits for any more. A container that is gone or stopped is fine. */
  async stop(id: string, container: string): Promise<void> {
    try {
      await this.run(container, STOP, [this.stateOf(id)], {});
    } catch (error) {
      if (!(error instanceof DockerError) || error.outcome !== "refused") throw error;
    }
  }

  private stateOf(id: string): string {
    return `${this.options.stateFolder ?? "/tmp"}/.berth-start-${id}`;
  }

  private run(
    container: string,
    script: string,
    args: readonly string[],
    { timeoutMs = SHORT_MS, ...options }: ExecOptions,
    how: { user?: string; env?: Readonly<Record<string, string>> | undefined; workdir?: string } = {},
  ): Promise<ExecResult> {
    const { env, ...more } = how;
    const argv = ["/bin/sh", "-c", script, "berth", ...args];
    const command = { argv, ...more, ...(env !== undefined && { env }) };
    return this.options.engine.exec(container, command, { timeoutMs, maxBytes: MOST_OUTPUT, ...options });
  }
}

function checked(done: ExecResult, workdir: string): ExecResult {
  if (done.timedOut) throw tooLong(`making room in ${workdir}`, CLEAR_MS);
  if (done.exitCode === 0) return done;
  throw new SetupFailed(`the container has no room for the repository at ${workdir}: ${wordsOf(done)}`);
}

function accountOf({ stdout }: ExecResult): Account {
  const [uid = Number.NaN, gid = Number.NaN] = stdout.trim().split("\n").map(Number);
  if (!Number.isInteger(uid) || !Number.isInteger(gid))
    throw new SetupFailed("the container does not say which account its files are of: its image has no 'id'");
  return { uid, gid };
}

/** What a script of berthd's own said; no secret gets into that. */
const wordsOf = ({ stderr, stdout, exitCode }: ExecResult) =>
  stderr.trim() || stdout.trim() || `exit code ${exitCode}`;
