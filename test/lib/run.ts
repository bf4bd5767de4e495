/** @file How a test runs a program to its end. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";

const root = dirname(dirname(__dirname));

export interface Ran {
  /** -1 when a signal ended it. */
  code: number;
  stdout: string;
  stderr: string;
  /** Both streams, as they came. */
  text: string;
}

export interface RunOptions {
  /** Milliseconds. @default two minutes */
  deadline?: number;
  input?: string;
  /** The whole environment. @default this process's */
  env?: NodeJS.ProcessEnv;
  /** @default the repository */
  cwd?: string;
}

/** How long a program that was told to end at its deadline may take for it. */
const GRACE = 20_000;

/** What went wrong, with the end of what was said: Pulumi's diagnostics stand before the outputs. */
export function tail(text: string): string {
  // The preview's come before those of the update.
  const told = text.match(/^Diagnostics:\n[\s\S]*?(?=^(?:Outputs|Resources|Policies):)/gm)?.at(-1) ?? "";
  return `${told}${text.trimEnd().split("\n").slice(-40).join("\n")}`;
}

const named = (program: string, args: readonly string[]) => `${program} ${args.join(" ").slice(0, 300)}`;

/** Runs a program to its end; rejects when it cannot be started and when it takes longer than the deadline. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { deadline = 120_000, input = "", env = process.env, cwd = root } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env });
    const ran: Ran = { code: -1, stdout: "", stderr: "", text: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (part: string) => {
        ran[stream] += part;
        ran.text += part;
      });
    }
    child.stdin.on("error", () => {}); // It may end without reading.
    child.stdin.end(input);
    let late = false;
    let grace: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGTERM"); // A script hands it on to Pulumi, which then ends in order.
      grace = setTimeout(() => {
        child.kill("SIGKILL");
        // A program that it started may hold them open still.
        child.stdout.destroy();
        child.stderr.destroy();
      }, GRACE);
    }, deadline);
    const done = () => {
      clearTimeout(timer);
      clearTimeout(grace);
    };
    child.on("error", (error) => {
      done();
      reject(error);
    });
    child.on("close", (code) => {
      done();
      if (late) {
        const what = `${named(program, args)}: not done after ${deadline / 1000} s`;
        reject(new Error(`${what}\n${tail(ran.text)}`));
      } else resolve({ ...ran, code: code ?? -1 });
    });
  });
}

/** Runs a program that must end with 0, or with one of `okCodes`. */
export async function must(
  program: string,
  args: readonly string[],
  options: RunOptions & { okCodes?: readonly number[] } = {},
): Promise<Ran> {
  const { okCodes = [0], ...rest } = options;
  const ran = await run(program, args, rest);
  if (!okCodes.includes(ran.code)) {
    throw new Error(`${named(program, args)} ended with ${ran.code}:\n${tail(ran.text)}`);
  }
  return ran;
}
