/** Programs of this computer, the `docker` command among them. */
import { spawn } from "node:child_process";

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** For standard input; it is not shown in errors. */
  readonly input?: string;
  /** @default 120 */
  readonly seconds?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end, whatever its exit code. Rejects when it cannot be started, or not end in time. */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<Result> {
  const { input = "", seconds = 120, env = process.env } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { env, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    // A program that does not read its input has closed it: its exit code says what became of it.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, seconds * 1000);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`${command} could not be started: ${error.message}`));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const line = `${command} ${args.join(" ")}`.slice(0, 300);
      if (late) reject(new Error(`${line}: not ended within ${seconds} s\n${stderr}`));
      else if (code === null) reject(new Error(`${line}: ended by ${signal}\n${stderr}`));
      else resolve({ code, stdout, stderr });
    });
  });
}

/** Runs a program that must succeed; gives what it printed, less the last line break. */
export async function must(
  command: string,
  args: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code === 0) return stdout.trimEnd();
  throw new Error(`${command} ${args.join(" ").slice(0, 300)}: exit ${code}\n${stderr}${stdout}`.trimEnd());
}

export const docker = (...args: string[]): Promise<string> => must("docker", args);

/** The lines of a listing. */
export const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
