/** `command:local:Command`: a command on the operator's computer. */
import { spawn } from "node:child_process";
import { type Property, ProviderError, type ResourceType } from "@berth/plugin-base";
import {
  lineLogger,
  type Outcome,
  outputsOf,
  previousOutputs,
  requireSuccess,
  streamsOf,
  stringMap,
} from "./outcome";
import { commandInputs, commandType, type Runner } from "./remote-command";

const noAssets: Property = {
  type: "array",
  unsupported: "Berth's own command plugin collects no files; print them, or install the official plugin",
};

/** Between TERM and KILL when a command is ended. */
const GRACE_MS = 2_000;
/** Bytes kept of each of stdout and stderr. */
const MAX_OUTPUT = 16 * 1024 * 1024;

export function localCommand(): ResourceType {
  const run: Runner = async (step, command, bag, ctx) => {
    const given = bag.values.interpreter;
    const interpreter = Array.isArray(given) && given.length > 0 ? given.map(String) : defaultInterpreter();
    const shown = streamsOf(bag);
    const out = lineLogger(ctx);
    const err = lineLogger(ctx);
    const outcome = await runLocally(
      [...interpreter, command],
      {
        cwd: typeof bag.values.dir === "string" ? bag.values.dir : process.cwd(),
        env: { ...process.env, ...stringMap(bag.values.environment), ...previousOutputs(bag.values) },
        stdin: typeof bag.values.stdin === "string" ? bag.values.stdin : "",
        onStdout: shown.stdout ? out.chunk : undefined,
        onStderr: shown.stderr ? err.chunk : undefined,
      },
      ctx.signal,
    );
    out.end();
    err.end();
    requireSuccess(outcome, step, "this computer", bag.values);
    return outputsOf(outcome);
  };
  return commandType(
    {
      ...commandInputs,
      environment: { type: "map", items: { type: "string" } },
      addPreviousOutputInEnv: { type: "boolean" },
      dir: { type: "string" },
      interpreter: { type: "array", items: { type: "string" } },
      assetPaths: noAssets,
      archivePaths: noAssets,
    },
    run,
  );
}

function defaultInterpreter(): string[] {
  return process.platform === "win32" ? ["cmd", "/C"] : ["/bin/sh", "-c"];
}

interface LocalOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: string;
  readonly onStdout?: (chunk: Buffer) => void;
  readonly onStderr?: (chunk: Buffer) => void;
}

/**
 * Runs a program in a process group of its own, so that an abort ends what it started as well.
 *
 * @throws ProviderError if it cannot be started, was aborted, or writes too much.
 */
export function runLocally(
  argv: readonly string[],
  options: LocalOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const [program, ...args] = argv as [string, ...string[]];
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new ProviderError("the command was not started: cancelled"));
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env,
      detached: process.platform !== "win32",
      stdio: ["pipe", "pipe", "pipe"],
    });
    const chunks: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] };
    const bytes = { out: 0, err: 0 };
    let failure: ProviderError | undefined;
    let timer: NodeJS.Timeout | undefined;
    const kill = (name: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(process.platform === "win32" ? child.pid : -child.pid, name);
      } catch {
        // The whole group has ended already.
      }
    };
    const end = (error: ProviderError): void => {
      if (failure !== undefined) return;
      failure = error;
      kill("SIGTERM");
      timer = setTimeout(() => kill("SIGKILL"), GRACE_MS);
    };
    const stop = (): void => end(new ProviderError("the command on this computer was ended"));
    const take = (which: "out" | "err", tell?: (chunk: Buffer) => void) => (chunk: Buffer) => {
      bytes[which] += chunk.length;
      if (bytes[which] > MAX_OUTPUT) {
        return end(new ProviderError(`the command wrote more than ${MAX_OUTPUT} bytes to its std${which}`));
      }
      chunks[which].push(chunk);
      tell?.(chunk);
    };
    child.stdout.on("data", take("out", options.onStdout));
    child.stderr.on("data", take("err", options.onStderr));
    child.stdin.on("error", () => {}); // it does not read its stdin; its exit code says whether that matters
    child.once("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", stop);
      clearTimeout(timer);
      reject(new ProviderError(`cannot start ${program} in ${options.cwd}: ${error.code ?? error.message}`));
    });
    child.once("close", (code, name) => {
      signal.removeEventListener("abort", stop);
      clearTimeout(timer);
      if (failure !== undefined) return reject(failure);
      const outcome = { stdout: Buffer.concat(chunks.out), stderr: Buffer.concat(chunks.err), code };
      resolve(name === null ? outcome : { ...outcome, signal: name });
    });
    signal.addEventListener("abort", stop, { once: true });
    child.stdin.end(options.stdin);
  });
}
