/**
 * @file Programs that run beside others, joined by pipes: none outlives the work that started it.
 */
import { spawn } from "node:child_process";
import { plain } from "../lib/format.mjs";

/** Time for a program to end after it was asked to. */
const STOP_MS = 5000;

/** @type {Set<import("node:child_process").ChildProcess>} */
const live = new Set();
const SIGNALS = /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

function stopAll() {
  for (const child of live) child.kill("SIGTERM");
}

/**
 * @typedef {object} Child
 * @property {import("node:stream").Writable} stdin it ends when this process does, however that ends
 * @property {import("node:stream").Readable} stdout
 * @property {Promise<{code: number | null, problem: string}>} ended never rejects; `problem`: "" after exit code 0,
 *   else how it ended, with the last lines of its standard error
 * @property {() => string[]} said the last lines of its standard error
 * @property {() => Promise<void>} stop ends it, if it has not, and waits for that
 */

/**
 * Starts a program. Ctrl-C reaches it through this process alone.
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Child}
 */
export function start(command, args, env = process.env) {
  const child = spawn(command, args, {
    env,
    stdio: ["pipe", "pipe", "pipe"],
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  if (live.size === 0) for (const signal of SIGNALS) process.on(signal, stopAll);
  live.add(child);
  /** @type {string[]} */
  const lines = [];
  let open = "";
  child.stderr.setEncoding("utf8").on("data", (chunk) => {
    const parts = (open + chunk).split(/\r?\n/);
    open = parts.pop() ?? "";
    lines.push(...parts.map(plain).filter(Boolean));
    lines.splice(0, lines.length - 20);
  });
  // The other end may close first: the exit code tells what happened.
  child.stdin.on("error", () => {});
  const said = () => [...lines, ...(open ? [plain(open)] : [])];
  let over = false;
  /** @type {Child["ended"]} */
  const ended = new Promise((resolve) => {
    /** @param {number | null} code @param {string} how */
    const end = (code, how) => {
      if (over) return;
      over = true;
      live.delete(child);
      if (live.size === 0) for (const signal of SIGNALS) process.off(signal, stopAll);
      resolve({ code, problem: code === 0 ? "" : [`${command} ${how}`, ...said()].join("\n  | ") });
    };
    child.on("error", (error) => end(null, `did not begin: ${error.message}`));
    child.on("close", (code, signal) =>
      end(code, signal ? `was ended by ${signal}` : `ended with exit code ${code}`),
    );
  });
  const stop = async () => {
    if (over) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    // A helper of its own (ProxyCommand) may hold its pipes open for longer; they are of no interest any more.
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
    await ended;
    clearTimeout(timer);
  };
  return { stdin: child.stdin, stdout: child.stdout, ended, said, stop };
}
