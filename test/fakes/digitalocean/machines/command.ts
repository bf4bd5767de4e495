/** Programs of this computer, the `docker` command among them. */
import * as programs from "../../../lib/run";

export interface CommandOptions {
  /** For standard input; it is not shown in errors. */
  readonly input?: string;
  /** @default 120 */
  readonly seconds?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end, whatever its exit code. Rejects when it cannot be started, or not end in time. */
export function run(
  command: string,
  args: readonly string[],
  { seconds = 120, ...rest }: CommandOptions = {},
): Promise<programs.Ran> {
  return programs.run(command, args, { deadline: seconds * 1000, ...rest });
}

/** Runs a program that must succeed; gives what it printed, less the last line break. */
export async function must(
  command: string,
  args: readonly string[],
  { seconds = 120, ...rest }: CommandOptions = {},
): Promise<string> {
  return (await programs.must(command, args, { deadline: seconds * 1000, ...rest })).stdout.trimEnd();
}

export const docker = (...args: string[]): Promise<string> => must("docker", args);

/** The lines of a listing. */
export const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
