/** What a finished command becomes: outputs, console lines, or an error that gives nothing away. Pure. */
import {
  type Bag,
  type Context,
  isSecretPath,
  type Props,
  ProviderError,
  redact,
  type Value,
} from "@berth/plugin-base";

export type Step = "create" | "update" | "delete";

export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly code: number | null;
  readonly signal?: string;
}

/** Lines and bytes of stderr in an error: enough for a stack trace, not for a log. */
const TAIL_LINES = 20;
const TAIL_BYTES = 4_096;
/** Longer lines are cut on the console; they are whole in the outputs. */
const LINE_LIMIT = 2_000;

/** The command that a step runs; `update` falls back to `create`. Undefined: nothing runs. */
export function commandFor(step: Step, props: Props): string | undefined {
  const text = (key: string): string | undefined => {
    const value = props[key];
    return typeof value === "string" ? value : undefined;
  };
  return step === "update" ? (text("update") ?? text("create")) : text(step);
}

/** `stdout` and `stderr` as the official plugin keeps them: one newline at the end taken off. */
export function outputsOf(outcome: Outcome): { stdout: string; stderr: string } {
  const text = (bytes: Buffer): string => bytes.toString("utf8").replace(/\n$/, "");
  return { stdout: text(outcome.stdout), stderr: text(outcome.stderr) };
}

/** The environment that a step sees, besides its own: what the last step printed. */
export function previousOutputs(props: Props): Record<string, string> {
  if (props.addPreviousOutputInEnv === false) return {};
  const env: Record<string, string> = {};
  if (typeof props.stdout === "string" && props.stdout !== "") env.PULUMI_COMMAND_STDOUT = props.stdout;
  if (typeof props.stderr === "string" && props.stderr !== "") env.PULUMI_COMMAND_STDERR = props.stderr;
  return env;
}

/** The map of strings in a property; empty if absent. */
export function stringMap(value: Value | undefined): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/**
 * Fails unless the command ended with status 0. The error holds where, the step, the status and the last
 * lines of stderr, with stdin, environment values and the command itself masked in them.
 *
 * @param where `root@host:22`, or `this computer`.
 */
export function requireSuccess(outcome: Outcome, step: Step, where: string, props: Props): void {
  if (outcome.code === 0) return;
  const status =
    outcome.code === null
      ? `was ended by signal ${outcome.signal ?? "unknown"}`
      : `ended with exit code ${outcome.code}`;
  const tail = redact(tailOf(outcome.stderr.toString("utf8")), hiddenIn(props, step));
  const said = tail === "" ? "it wrote nothing to stderr" : `last lines of stderr:\n${tail}`;
  throw new ProviderError(`the ${step} command on ${where} ${status}; ${said}`);
}

function hiddenIn(props: Props, step: Step): string[] {
  const strings = Object.values(stringMap(props.environment)).filter((value) => value.length >= 4);
  const command = commandFor(step, props);
  if (command !== undefined && command.length >= 4) strings.push(command);
  if (typeof props.stdin === "string") {
    strings.push(
      ...[props.stdin.trim(), ...props.stdin.split("\n").map((line) => line.trim())].filter(
        (line) => line.length >= 8,
      ),
    );
  }
  return strings.sort((a, b) => b.length - a.length);
}

function tailOf(text: string): string {
  const lines = text.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  return lines.length > TAIL_BYTES ? `…${lines.slice(-TAIL_BYTES)}` : lines;
}

/** Which streams go to the console while a command runs. */
export function streamsOf(bag: Bag): { stdout: boolean; stderr: boolean } {
  // With a secret going in, what comes out may repeat it, whole or changed; then nothing is shown.
  const secretIn = ["create", "update", "delete", "stdin", "environment"].some(
    (key) =>
      bag.values[key] !== undefined &&
      bag.secrets.some((path) => path[0] === key && isSecretPath(path, bag.secrets)),
  );
  if (secretIn) return { stdout: false, stderr: false };
  const logging = bag.values.logging ?? "stdoutAndStderr";
  return {
    stdout: logging === "stdout" || logging === "stdoutAndStderr",
    stderr: logging === "stderr" || logging === "stdoutAndStderr",
  };
}

/** Shows whole lines on the console as they come. Call `end` for the last, unfinished one. */
export function lineLogger(ctx: Context): { chunk: (bytes: Buffer) => void; end: () => void } {
  const decoder = new TextDecoder();
  let rest = "";
  const show = (line: string): void => {
    const text = line.trimEnd();
    if (text !== "") ctx.log("info", text.slice(0, LINE_LIMIT), { ephemeral: true });
  };
  return {
    chunk: (bytes) => {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = (lines.pop() ?? "").slice(-LINE_LIMIT);
      lines.forEach(show);
    },
    end: () => show(rest),
  };
}
