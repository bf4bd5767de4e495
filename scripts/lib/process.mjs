/**
 * @file Runs other programs: output line by line, deadlines, and Ctrl-C handed on so that they can end cleanly.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { plain } from "./format.mjs";

/** Ctrl-C or a request to end came. The exit code is the shell's: 128 + the signal's number. */
export class Interrupted extends Error {
  /** @param {NodeJS.Signals} signal */
  constructor(signal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + (constants.signals[signal] ?? 2);
  }
}

/** A program ended badly, or did not begin. `output` holds its last lines. */
export class CommandError extends Error {
  /**
   * @param {string} message
   * @param {number | null} code exit code; null when it did not begin or was killed
   * @param {string[]} output
   */
  constructor(message, code, output) {
    super(message);
    this.code = code;
    this.output = output;
  }
}

/**
 * A program that prints more characters than this on one stream is ended: what it printed is kept, a text has at most 2^29
 * characters (V8), and some of it comes from where others have the say.
 */
export const MOST_OUTPUT = 2 ** 27;

/** @typedef {{pid: number, group: boolean, first: NodeJS.Signals}} Live */
/** @type {Set<Live>} */
const live = new Set();
/** @type {NodeJS.Signals | undefined} */
let interruptedBy;
/** @type {(running: {pid: number, command: string}[]) => void} */
let onChange = () => {};
/** @type {Map<number, string>} */
const running = new Map();
let lastSignal = 0;
let signals = 0;

/**
 * Tells, at each beginning and end, which programs run: so that a killed run's can be found.
 * @param {(running: {pid: number, command: string}[]) => void} listener
 */
export function watchRunning(listener) {
  onChange = listener;
}

/**
 * @param {number | undefined} pid
 * @param {string} [command] undefined: it ended
 */
function noteRunning(pid, command) {
  if (pid === undefined) return;
  if (command === undefined) running.delete(pid);
  else running.set(pid, command);
  onChange([...running].map(([number, name]) => ({ pid: number, command: name })));
}

/** @returns {boolean} whether Ctrl-C came */
export function interrupted() {
  return interruptedBy !== undefined;
}

/** @throws {Interrupted} when Ctrl-C came */
export function throwIfInterrupted() {
  if (interruptedBy) throw new Interrupted(interruptedBy);
}

/**
 * Hands SIGINT, SIGTERM and SIGHUP on to the programs that run: SIGINT first; a second Ctrl-C, TERM; a third, KILL.
 * One press can come twice (from the terminal and from npm), so repeats within a second count once.
 * @param {(count: number) => void} [onSignal] called for each press that counts
 */
export function handleSignals(onSignal = () => {}) {
  for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => {
      const now = Date.now();
      if (now - lastSignal < 1000) return;
      lastSignal = now;
      signals += 1;
      interruptedBy ??= signal;
      onSignal(signals);
      for (const child of live)
        kill(child, signals === 1 ? child.first : signals === 2 ? "SIGTERM" : "SIGKILL");
    });
  }
}

/**
 * @param {Live} child
 * @param {NodeJS.Signals} signal
 */
function kill(child, signal) {
  // A killed leader leaves its group behind; TERM and KILL go to all of it.
  const whole = child.group || signal !== child.first;
  try {
    process.kill(whole && process.platform !== "win32" ? -child.pid : child.pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/**
 * @typedef {object} RunOptions
 * @property {NodeJS.ProcessEnv} [env] default: this process's
 * @property {string} [cwd]
 * @property {string} [input] written to its standard input, which is empty otherwise
 * @property {number} [deadlineMs] it is ended after so long; default none
 * @property {(line: string, stream: "stdout" | "stderr") => void} [onLine] each line, without colours
 * @property {boolean} [interruptGroup] Ctrl-C goes to the whole group (default) or only to the program, which then
 *   ends its own helpers in order (Pulumi)
 * @property {NodeJS.Signals} [interruptWith] what Ctrl-C sends it; default SIGINT
 * @property {boolean} [quietInterrupt] run even though Ctrl-C came: for cleaning up
 * @property {number[]} [okCodes] exit codes that are no error; default [0]
 * @property {number} [mostOutput] characters on one stream after which it is ended; default {@link MOST_OUTPUT}
 * @property {(pid: number) => void} [onStart]
 */

/**
 * Runs a program to its end. It leads a group of its own, so that Ctrl-C reaches it once, from here.
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{code: number, stdout: string, stderr: string}>}
 * @throws {CommandError | Interrupted}
 */
export async function run(command, args, options = {}) {
  if (!options.quietInterrupt) throwIfInterrupted();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: process.platform !== "win32",
      // npm and pulumi are .cmd files on Windows, which only a shell can run.
      shell: process.platform === "win32" && !command.endsWith(".exe"),
      windowsHide: true,
    });
    const entry = {
      pid: child.pid ?? 0,
      group: options.interruptGroup ?? true,
      first: options.interruptWith ?? "SIGINT",
    };
    if (child.pid !== undefined) {
      live.add(entry);
      noteRunning(child.pid, command);
      options.onStart?.(child.pid);
    }
    let late = false;
    let flooded = false;
    /** @type {NodeJS.Timeout[]} */
    const timers = [];
    if (options.deadlineMs !== undefined) {
      timers.push(
        setTimeout(() => {
          late = true;
          kill(entry, "SIGTERM");
          timers.push(setTimeout(() => kill(entry, "SIGKILL"), 10_000));
        }, options.deadlineMs),
      );
    }
    /** @type {string[]} */
    const tail = [];
    /** @param {"stdout" | "stderr"} name */
    const collect = (name) => {
      let whole = "";
      let open = "";
      /** @param {string} raw */
      const line = (raw) => {
        const text = plain(raw);
        tail.push(text);
        if (tail.length > 40) tail.shift();
        options.onLine?.(text, name);
      };
      child[name]?.setEncoding("utf8").on("data", (chunk) => {
        if (whole.length + chunk.length > (options.mostOutput ?? MOST_OUTPUT)) {
          if (!flooded) kill(entry, "SIGKILL");
          flooded = true;
          return;
        }
        whole += chunk;
        const lines = (open + chunk).split(/\r?\n/);
        open = lines.pop() ?? "";
        for (const text of lines) line(text);
      });
      return () => {
        if (open) line(open);
        return whole;
      };
    };
    const stdout = collect("stdout");
    const stderr = collect("stderr");
    const name = [command.split(/[\\/]/).pop(), args[0]].join(" ").trim();
    const finish = () => {
      live.delete(entry);
      noteRunning(child.pid);
      for (const timer of timers) clearTimeout(timer);
    };
    child.on("error", (error) => {
      finish();
      reject(new CommandError(`${name}: did not begin: ${error.message}`, null, tail));
    });
    child.on("close", (code, signal) => {
      finish();
      const result = { code: code ?? -1, stdout: stdout(), stderr: stderr() };
      if (interruptedBy && !options.quietInterrupt) reject(new Interrupted(interruptedBy));
      else if (late) {
        const after = Math.round((options.deadlineMs ?? 0) / 1000);
        reject(new CommandError(`${name}: not done after ${after} s, so it was ended`, null, tail));
      } else if (flooded) {
        reject(new CommandError(`${name}: printed more than can be read, so it was ended`, null, tail));
      } else if (code !== null && (options.okCodes ?? [0]).includes(code)) resolve(result);
      else reject(new CommandError(`${name}: ended with ${signal ?? `exit code ${code}`}`, code, tail));
    });
    if (options.input !== undefined) {
      child.stdin?.on("error", () => {}); // It may end without reading all of it.
      child.stdin?.end(options.input);
    }
  });
}

/**
 * As `run`, but gives undefined instead of an error (Ctrl-C is still one): for asking whether something is there.
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options] `deadlineMs` 10 s by default
 * @returns {Promise<string | undefined>} its standard output, trimmed
 */
export async function ask(command, args, options = {}) {
  try {
    return (await run(command, args, { deadlineMs: 10_000, ...options })).stdout.trim();
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

/**
 * Waits until `probe` gives something other than undefined or false, asking again every `everyMs`.
 * @template T
 * @param {() => Promise<T | undefined | false>} probe
 * @param {{deadlineMs: number, everyMs?: number}} options
 * @returns {Promise<T | undefined>} undefined when the deadline passed
 * @throws {Interrupted}
 */
export async function waitFor(probe, { deadlineMs, everyMs = 250 }) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    throwIfInterrupted();
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() >= end) return undefined;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
