import { spawn } from "node:child_process";
import { localEnvironment } from "./environment";
import { Said } from "./said";
import type { RepositoryCacheOptions, RepositoryLimits } from "./types";

/** In bytes, of what git prints to be read here at once, such as a commit or a branch's name. */
const MOST_OUTPUT = 2 ** 16;
/** The first that dials the addresses it is told (`http.curloptResolve`). */
const FLOOR = [2, 38] as const;

/** Git ended with something else than success. */
export class GitError extends Error {}

export interface GitRun {
  signal: AbortSignal;
  /** @default that of what is done on this node alone */
  env?: NodeJS.ProcessEnv;
  /** Left out of what git says. @default none */
  secrets?: readonly string[];
  onLine?(line: string): void;
  /** Gets the output in parts; what it throws ends git. @default the output is the answer */
  onOutput?(part: Buffer): void;
}

/**
 * Runs git: as an account of its own, bounded by the kernel, in a process group that is killed as a whole. Git ends with berthd too,
 * however that ends; of its helpers the one that waits for the host may stay for a minute (`http.lowSpeedTime`), and writes nothing.
 */
export class Git {
  constructor(
    private readonly options: Pick<RepositoryCacheOptions, "git" | "account" | "prefix">,
    private readonly limits: Pick<RepositoryLimits, "repositoryBytes" | "memoryBytes" | "milliseconds">,
  ) {}

  /**
   * @returns what it printed, at most 64 KiB
   * @throws GitError with the end of what it said; the signal's reason; what `onOutput` throws
   */
  run(args: readonly string[], run: GitRun): Promise<string> {
    run.signal.throwIfAborted();
    const [program = "", ...rest] = this.command(args);
    const child = spawn(program, rest, {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: run.env ?? localEnvironment(),
      cwd: "/",
    });
    const said = new Said(run.secrets ?? [], run.onLine);
    const output = new Output(args[0] ?? "");
    let failure: unknown;
    const kill = (why: unknown) => {
      failure ??= why;
      if (child.pid !== undefined) killGroup(child.pid);
    };
    const take = run.onOutput ?? ((part: Buffer) => output.push(part));
    child.stdout.on("data", (part: Buffer) => {
      try {
        if (failure === undefined) take(part);
      } catch (error) {
        kill(error);
      }
    });
    child.stderr.on("data", (part: Buffer) => said.push(part));
    const abort = () => kill(run.signal.reason);
    run.signal.addEventListener("abort", abort, { once: true });
    return new Promise((resolve, reject) => {
      child.once("error", (error) => {
        failure ??= error;
      });
      // A helper that still waits for the host has nobody to tell any more.
      child.once("exit", () => child.pid !== undefined && killGroup(child.pid));
      // When all that git started have closed their ends as well: nobody works in its folder any more.
      child.once("close", (code, signal) => {
        run.signal.removeEventListener("abort", abort);
        said.end();
        if (failure !== undefined) reject(failure);
        else if (code !== 0) reject(new GitError(said.text || `git ended with ${signal ?? code}`));
        else resolve(output.text);
      });
    });
  }

  /** What is wrong with the git that is there; undefined: nothing. */
  async problem(signal: AbortSignal): Promise<string | undefined> {
    try {
      const version = await this.run(["version"], { signal });
      const [, major, minor] = /^git version (\d+)\.(\d+)/.exec(version) ?? [];
      const enough = Number(major) > FLOOR[0] || (Number(major) === FLOOR[0] && Number(minor) >= FLOOR[1]);
      return enough ? undefined : `${version.trim()} does not dial the addresses that it is told`;
    } catch (error) {
      signal.throwIfAborted();
      return `git does not run: ${(error as Error).message}`;
    }
  }

  private command(args: readonly string[]): string[] {
    const { account, prefix = [], git = "git" } = this.options;
    const as = account
      ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups", "--inh-caps=-all"]
      : [];
    const { repositoryBytes, memoryBytes, milliseconds } = this.limits;
    const bounds = [
      `--fsize=${repositoryBytes}`,
      `--as=${memoryBytes}`,
      `--cpu=${Math.ceil(milliseconds / 1000)}`,
    ];
    return [
      ...prefix,
      ...["setpriv", "--no-new-privs", "--pdeathsig=KILL", ...as],
      ...["prlimit", "--core=0", "--nofile=1024", ...bounds],
      // After berthd and the work of tenants. Where the node's memory ends, git ends first: it would have berthd's own protection from that.
      ...["nice", "-n", "10", "choom", "-n", "500", "--"],
      // berthd's own keeps all that it writes from others; a working tree has the usual modes.
      ...["sh", "-c", 'umask 022 && exec "$@"', "sh", git, ...args],
    ];
  }
}

/** What a program printed, as far as it may. */
class Output {
  private readonly parts: Buffer[] = [];
  private bytes = 0;

  constructor(private readonly command: string) {}

  get text(): string {
    return Buffer.concat(this.parts).toString("utf8");
  }

  push(part: Buffer): void {
    this.bytes += part.length;
    if (this.bytes > MOST_OUTPUT)
      throw new GitError(`git ${this.command} printed more than ${MOST_OUTPUT} bytes`);
    this.parts.push(part);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // All of them ended in the meantime.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
