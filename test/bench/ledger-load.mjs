/**
 * @file Many clients at once, each asking for a GPU and giving it back, over and over: of berthd over its socket, of
 * commands that are started for each call, and of processes that live on.
 */
import { spawn } from "node:child_process";
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { Connection } from "./connection.mjs";

/**
 * @typedef {object} Load
 * @property {number} rate allocations with their release, a second
 * @property {number} p50 of one call, in milliseconds
 * @property {number} p99
 * @property {number} calls
 */

/**
 * @param {number[]} took milliseconds, one for each call; two calls are an allocation with its release
 * @param {number} seconds
 * @returns {Load}
 */
export function loadOf(took, seconds) {
  const sorted = [...took].sort((a, b) => a - b);
  return { rate: took.length / 2 / seconds, p50: at(sorted, 0.5), p99: at(sorted, 0.99), calls: took.length };
}

/**
 * @param {number[]} sorted
 * @param {number} share
 */
function at(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/**
 * What the disk needs to make 4 KiB durable, with nothing else going on.
 * @param {string} folder on the disk that is measured
 * @param {number} count
 * @returns {number[]} milliseconds
 */
export function fsyncs(folder, count) {
  const path = join(folder, "fsync.bin");
  const file = openSync(path, "w");
  const page = Buffer.alloc(4096, 1);
  const took = [];
  try {
    for (let index = 0; index < count; index++) {
      writeSync(file, page);
      const began = performance.now();
      fsyncSync(file);
      took.push(performance.now() - began);
    }
  } finally {
    closeSync(file);
    rmSync(path);
  }
  return took;
}

/**
 * @param {(client: number) => {socket: string, user?: string}} where
 * @param {{clients: number, warmUp: number, seconds: number, pauseMs?: number}} options `pauseMs`: what each client waits
 *   before each call, on average; default 0: as fast as it goes
 */
export async function loadBerthd(where, { clients, warmUp, seconds, pauseMs = 0 }) {
  /** @type {number[]} */
  const took = [];
  const begin = performance.now() + warmUp * 1000;
  const end = begin + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const { socket, user } = where(client);
      const connection = new Connection({ path: socket });
      const body = { user, ask: { kind: "mig", count: 1, profile: "1g.10gb" }, purpose: "bench" };
      /** @param {string} method @param {string} path @param {object} [content] */
      const call = async (method, path, content) => {
        if (pauseMs > 0) await after(2 * pauseMs * Math.random());
        const began = performance.now();
        const answer = await connection.ask(method, path, content);
        const now = performance.now();
        if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
        if (began >= begin && now <= end) took.push(now - began);
        return answer.body;
      };
      while (performance.now() < end) {
        const grant = await call("POST", "/api/grants", body);
        await call("DELETE", `/api/grants/${grant.id}`);
      }
      connection.end();
    }),
  );
  return loadOf(took, seconds);
}

/**
 * A command for each call. Each client ends what it has begun, so that every one of them counts on a slow computer too;
 * the rate is of the whole time.
 * @param {(client: number, turn: number) => string[]} allocate
 * @param {(client: number, turn: number, printed: string) => string[]} release
 * @param {{clients: number, seconds: number, env: (client: number) => NodeJS.ProcessEnv}} options
 */
export async function loadCommands(allocate, release, { clients, seconds, env }) {
  /** @type {number[]} */
  const took = [];
  const first = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      /** @param {string[]} command */
      const call = async (command) => {
        const began = performance.now();
        const printed = await output(command, env(client));
        took.push(performance.now() - began);
        return printed;
      };
      for (let turn = 0; performance.now() < first + seconds * 1000; turn++) {
        const printed = await call(allocate(client, turn));
        await call(release(client, turn, printed));
      }
    }),
  );
  return loadOf(took, (performance.now() - first) / 1000);
}

/**
 * Processes that live on, each doing `loop` of ledger_flock.py.
 * @param {(client: number) => string[]} command
 * @param {{clients: number, seconds: number}} options
 */
export async function loadProcesses(command, { clients, seconds }) {
  const children = Array.from({ length: clients }, (_, client) => {
    const [program = "", ...args] = command(client);
    return spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  });
  try {
    const said = children.map((child) => {
      const one = { text: "", ready: Promise.resolve(), ended: Promise.resolve(0) };
      one.ready = new Promise((done, failed) => {
        child.stdout.on("data", (part) => {
          one.text += part;
          if (one.text.startsWith("ready\n")) done();
        });
        child.once("error", failed);
        child.once("exit", (code) => failed(new Error(`the rival ended with ${code} before it began`)));
      });
      one.ended = new Promise((done) => child.once("close", (code) => done(code ?? 1)));
      return one;
    });
    await Promise.all(said.map(({ ready }) => ready));
    for (const child of children) child.stdin.end("go\n");
    const codes = await Promise.all(said.map(({ ended }) => ended));
    if (codes.some((code) => code !== 0))
      throw new Error(`rivals ended with ${[...new Set(codes)].join(", ")}`);
    const took = said.flatMap(({ text }) => JSON.parse(text.slice("ready\n".length)));
    return loadOf(took, seconds);
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

/**
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string>}
 */
function output([program = "", ...args], env) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    let said = "";
    child.stdout.on("data", (part) => {
      text += part;
    });
    child.stderr.on("data", (part) => {
      said += part;
    });
    child.once("error", failed);
    child.once("close", (code) =>
      code === 0
        ? done(text)
        : failed(new Error(`${program} ${args.join(" ")} ended with ${code}: ${text}${said}`)),
    );
  });
}
