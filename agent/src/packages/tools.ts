import { spawn } from "node:child_process";
import { join } from "node:path";
import { replaceFile } from "../files";
import { SCRIPTS } from "./scripts";

/** In bytes, of what a script prints. */
const MOST_OUTPUT = 2 ** 18;
const MOST_SAID = 2 ** 12;

/** A script ended with something else than success. */
export class ScriptError extends Error {
  constructor(
    /** Null: it was killed. */
    readonly code: number | null,
    said: string,
  ) {
    super(said.trim() || `it ended with ${code ?? "a signal"}`);
  }
}

export interface ScriptRun {
  /** Until it is killed. */
  milliseconds: number;
  signal?: AbortSignal;
}

/**
 * What runs a program in the node's own mount namespace, for a berthd that systemd gave one of its own: a service for each, which
 * is no part of berthd's and has a bound of its own.
 */
export const throughSystemd = (slice: string): string[] => [
  ...["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec", `--slice=${slice}`],
  ...[
    "--setenv=LC_ALL=C",
    "--property=MemoryMax=1G",
    "--property=TasksMax=64",
    "--property=TimeoutStopSec=5",
  ],
  "--",
];

/** Runs the scripts of `scripts.ts` where the node's mounts are. */
export class Tools {
  private readonly folder: string;

  /**
   * @param top where their folder is
   * @param prefix a program and its arguments, which runs the program after them in the node's own mount namespace
   */
  constructor(
    top: string,
    private readonly prefix: readonly string[] = [],
  ) {
    this.folder = join(top, "scripts");
  }

  /** Puts them there, before the first runs. */
  write(): void {
    for (const [name, text] of Object.entries(SCRIPTS)) replaceFile(this.file(name), text, 0o600);
  }

  /**
   * @returns what it printed, at most 256 KiB
   * @throws ScriptError with the end of what it said; the signal's reason; a time-out's error
   */
  run(
    script: keyof typeof SCRIPTS,
    args: readonly string[],
    { milliseconds, signal }: ScriptRun,
  ): Promise<string> {
    const late = AbortSignal.timeout(milliseconds);
    const until = signal ? AbortSignal.any([signal, late]) : late;
    until.throwIfAborted();
    const [program = "", ...rest] = [...this.prefix, "bash", this.file(script), ...args];
    const child = spawn(program, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      // The script kills its process group.
      detached: true,
      env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      cwd: "/",
    });
    let output = "";
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      output = (output + part).slice(0, MOST_OUTPUT);
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      said = (said + part).slice(-MOST_SAID);
    });
    // It may end before it reads.
    child.stdin.on("error", () => {});
    const cut = () => child.stdin.end();
    until.addEventListener("abort", cut, { once: true });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        until.removeEventListener("abort", cut);
        cut();
        if (code === 0) resolve(output);
        else reject(until.aborted ? until.reason : new ScriptError(code, said));
      });
    });
  }

  private file(script: string): string {
    return join(this.folder, `${script}.sh`);
  }
}
