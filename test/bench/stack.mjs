/**
 * @file The stack that is measured: its own BERTH_HOME, names, network and port, so that it stands beside others.
 *
 * With BERTH_BENCH_KEEP=1 a stack that is up is taken as it is and left up, for work on the measurements. With
 * `--against` each checkout has a stack of its own, which stays up from its first turn (`1`) to its last (`last`).
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { table } from "../../scripts/lib/format.mjs";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { run } from "../../scripts/lib/process.mjs";
import { toolEnvironment } from "../../scripts/lib/pulumi-env.mjs";

/** `--against`: whose turn it is. Ours has a name of its own, as the other checkout may know nothing of turns. */
const side = process.env.BERTH_BENCH_SIDE;
/** Whether another checkout is measured in turn. */
export const IN_TURN = side !== undefined;
/** @type {Record<string, {name: string, network: string, port: number}>} */
const PLACES = {
  ours: { name: "benchours", network: "10.93.0", port: 5922 },
  theirs: { name: "benchtheirs", network: "10.94.0", port: 5923 },
};
const place = PLACES[side ?? ""] ?? { name: "bench", network: "10.92.0", port: 5921 };

export const STACK = place.name;
export const SUBNET = `${place.network}.0/24`;
export const REGISTRY_ADDRESS = `${place.network}.2`;
export const REGISTRY_PORT = place.port;
/** `1`: a stack that is up is taken as it is and left up; `last`: taken as it is, then down. */
const KEEP = process.env.BERTH_BENCH_KEEP;
export const HOME = join(tmpdir(), `berth-${STACK}`);
const STACK_FILE = join(ROOT, `Pulumi.${STACK}.yaml`);

export const NODES = [
  { name: "node-0", role: "head", address: `${place.network}.10`, user: "alice" },
  { name: "node-1", role: "worker", address: `${place.network}.11`, user: "bob" },
];

/** A step that takes longer than this is broken, not slow. */
export const STEP_MS = 30 * 60_000;

/** What the scripts start from: of the person's own environment, all but Pulumi's backend and passphrase. */
const outer = outerEnvironment();

/** What plain `pulumi` needs, as `npm run env` gives it. */
export const env = toolEnvironment(outer).env;

/** @returns {NodeJS.ProcessEnv} */
function outerEnvironment() {
  // They would be used instead of the stack's own.
  const foreign = /^PULUMI_(BACKEND_URL|ACCESS_TOKEN|CONFIG_PASSPHRASE|CONFIG_PASSPHRASE_FILE|STACK)$/;
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  return { ...own, PATH: path, BERTH_HOME: HOME, NO_COLOR: "1" };
}

/**
 * Runs one of the scripts that people call.
 * @param {string} script such as "pulumi.mjs"
 * @param {string[]} args
 */
export const script = (script, args) =>
  run(process.execPath, [join(ROOT, "scripts", script), ...args], {
    env: outer,
    cwd: ROOT,
    deadlineMs: STEP_MS,
  });

/**
 * @param {string[]} args
 * @param {import("../../scripts/lib/process.mjs").RunOptions} [options]
 * @returns {Promise<string>} standard output, trimmed
 */
export const docker = async (args, options = {}) =>
  (await run("docker", args, { env, deadlineMs: STEP_MS, ...options })).stdout.trim();

/**
 * @param {string} container
 * @param {string} text bash
 */
export const shell = (container, text) => docker(["exec", "-i", container, "bash", "-c", text]);

/** Made once the stack is whole, so that one whose making failed is made anew. */
const IS_UP = join(HOME, "is-up");

/** Whether the last run left the stack up. */
export const isUp = () => KEEP !== undefined && existsSync(IS_UP);

/** The stack, from nothing. */
export async function makeAnew() {
  await takeDown();
  prepare();
  await script("start.mjs", ["--stack", STACK]);
  writeFileSync(IS_UP, "");
}

export function prepare() {
  mkdirSync(HOME, { recursive: true, mode: 0o700 });
  const nodes = NODES.map(
    ({ name, role, address }) =>
      `    - { name: ${name}, kind: local, role: ${role}, address: ${address}, cpus: 2, memory: 6GiB }\n`,
  );
  const users = NODES.map(
    ({ name, user }, index) => `    - { name: ${user}, node: ${name}, index: ${index} }\n`,
  );
  writeFileSync(
    STACK_FILE,
    `config:\n  berth:nodes:\n${nodes.join("")}  berth:users:\n${users.join("")}` +
      `  berth:network: { cidr: ${SUBNET} }\n  berth:registryPort: ${REGISTRY_PORT}\n` +
      "  pulumi:disable-default-providers: [docker, digitalocean]\n",
  );
}

/** The stack down and forgotten, the caches kept. */
export async function takeDown() {
  rmSync(IS_UP, { force: true });
  if (existsSync(HOME)) await script("pulumi.mjs", ["destroy", "--stack", STACK, "--yes", "--remove"]);
}

export async function cleanUp() {
  if (KEEP === "1") return;
  await takeDown();
  rmSync(HOME, { recursive: true, force: true });
  rmSync(STACK_FILE, { force: true });
}

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<{seconds: number, value: T}>} wall clock
 */
export async function timed(work) {
  const began = performance.now();
  const value = await work();
  return { seconds: (performance.now() - began) / 1000, value };
}

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** @typedef {{name: string, ratio: number, bound: number, detail: object}} Figure */

/**
 * Prints figures as people, or with --json programs, read them; sets the exit code where a bound is broken.
 * @param {{head: string[], rows: string[][]}} shown
 * @param {Figure[]} figures
 */
export function report({ head, rows }, figures) {
  const json = process.argv.includes("--json");
  if (!json)
    process.stdout.write(`${table(head, rows)}\nLoad of this computer: ${loadavg()[0]?.toFixed(1)}\n`);
  for (const figure of figures) {
    const ratio = Number(figure.ratio.toFixed(2));
    const broken = !(ratio <= figure.bound);
    if (broken) process.exitCode = 1;
    if (json) process.stdout.write(`${JSON.stringify({ ...figure, ratio, load: loadavg()[0] })}\n`);
    else {
      if (broken) process.stdout.write(`${figure.name}: above the bound of ${figure.bound}\n`);
      process.stdout.write(`bench ${figure.name} ratio ${ratio}\n`);
    }
  }
}

/** @param {number} value */
export const seconds = (value) => `${value.toFixed(1)} s`;
