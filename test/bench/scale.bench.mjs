/**
 * @file 20 droplets and 200 people, on DigitalOcean's test API: how long a preview takes, and how much longer than the
 * API's own delays an `up` of the droplets takes.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { run } from "../../scripts/lib/process.mjs";
import { toolEnvironment } from "../../scripts/lib/pulumi-env.mjs";
import { report, seconds, timed } from "./stack.mjs";

const STACK = "benchscale";
const HOME = join(tmpdir(), "berth-benchscale");
const DROPLETS = 20;
const PEOPLE = 200;
/** Of the preview, in seconds. */
const PREVIEW_BOUND = 20;
const STEP_MS = 10 * 60_000;
/** Of `up`, in chains of delays. */
const UP_BOUND = 1.3;
/** About what DigitalOcean takes, in milliseconds: a machine until it is active, a volume until it hangs on it. */
const DELAYS = { firewall: 1000, create: 30_000, attach_volume: 5000 };
/** The longest chain, in seconds: the firewall, then a droplet, then its volume. */
const CHAIN = (DELAYS.firewall + DELAYS.create + DELAYS.attach_volume) / 1000;

const stackFile = join(ROOT, `Pulumi.${STACK}.yaml`);
/** Beside the other tests, so that what it loads is found. */
const bundle = join(ROOT, "test/bench", `.scale-api-${process.pid}.cjs`);
/** The program of `up`, a project of its own. */
const project = join(ROOT, "test/bench", `.scale-up-${process.pid}`);
/** @type {import("node:child_process").ChildProcess | undefined} */
let api;

try {
  await build({
    entryPoints: [join(ROOT, "test/bench/scale-api.ts")],
    bundle: true,
    platform: "node",
    packages: "external",
    outfile: bundle,
    logLevel: "error",
  });
  api = spawn(process.execPath, [bundle, JSON.stringify(DELAYS)], { stdio: ["ignore", "pipe", "inherit"] });
  const { url, token } = await line(api);
  const foreign =
    /^(PULUMI_(BACKEND_URL|ACCESS_TOKEN|CONFIG_PASSPHRASE|CONFIG_PASSPHRASE_FILE|STACK)|DIGITALOCEAN_.*)$/;
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const outer = {
    ...own,
    BERTH_HOME: HOME,
    NO_COLOR: "1",
    DIGITALOCEAN_TOKEN: token,
    DIGITALOCEAN_API_URL: url,
  };
  mkdirSync(HOME, { recursive: true, mode: 0o700 });
  writeFileSync(stackFile, JSON.stringify({ config: configuration() }));
  const berth = (/** @type {string[]} */ args) =>
    run(process.execPath, [join(ROOT, "scripts/pulumi.mjs"), ...args, "--stack", STACK], {
      env: outer,
      cwd: ROOT,
      deadlineMs: STEP_MS,
    });
  // The first makes the stack and fills the caches of code.
  await berth(["preview"]);
  const preview = await timed(() => berth(["preview"]));
  const resources = Number(/\+ (\d+) to create/.exec(preview.value.stdout)?.[1] ?? 0);
  const up = await droplets(outer);
  const ended = line(api);
  api.kill("SIGTERM");
  const { requests } = await ended;
  report(
    {
      head: ["", "berth", "bound"],
      rows: [
        [`preview of ${resources} resources`, seconds(preview.seconds), seconds(PREVIEW_BOUND)],
        [`up of ${DROPLETS} droplets (delays ${seconds(CHAIN)})`, seconds(up), seconds(CHAIN * UP_BOUND)],
        ["requests to the API", `${requests}`, ""],
      ],
    },
    [
      {
        name: "scale-preview",
        ratio: preview.seconds / PREVIEW_BOUND,
        bound: 1,
        detail: { resources, requests, seconds: preview.seconds },
      },
      { name: "scale-up", ratio: up / CHAIN, bound: UP_BOUND, detail: { chain: CHAIN, seconds: up } },
    ],
  );
} finally {
  api?.kill("SIGKILL");
  for (const path of [HOME, bundle, stackFile, project]) rmSync(path, { recursive: true, force: true });
}

/**
 * `up` of what waits for the API, by `pulumi` itself; then all of it down again.
 * @param {NodeJS.ProcessEnv} outer
 * @returns {Promise<number>} seconds
 */
async function droplets(outer) {
  const { env } = toolEnvironment(outer);
  mkdirSync(project);
  writeFileSync(join(project, "tsconfig.json"), '{ "extends": "../../../tsconfig.json" }');
  writeFileSync(join(project, "Pulumi.yaml"), "name: berth\nruntime: nodejs\nmain: ../scale-program.ts\n");
  writeFileSync(join(project, "Pulumi.up.yaml"), JSON.stringify({ config: configuration() }));
  const pulumi = (/** @type {string[]} */ ...args) =>
    run("pulumi", [...args, "--non-interactive"], { env, cwd: project, deadlineMs: STEP_MS });
  await pulumi("stack", "init", "up");
  const { seconds } = await timed(() => pulumi("up", "--yes", "--skip-preview", "--stack", "up"));
  await pulumi("destroy", "--yes", "--skip-preview", "--stack", "up");
  return seconds;
}

/**
 * The next line that a process prints, as JSON.
 * @param {import("node:child_process").ChildProcess} child
 */
async function line(child) {
  if (!child.stdout) throw new Error("unreachable: its output is a pipe");
  const [part] = await once(child.stdout, "data", { signal: AbortSignal.timeout(60_000) });
  return JSON.parse(String(part).split("\n")[0] ?? "");
}

function configuration() {
  const nodes = Array.from({ length: DROPLETS }, (_, i) => ({
    name: `n${i}`,
    kind: "digitalocean",
    role: i === 0 ? "head" : "worker",
    size: "s-8vcpu-16gb",
    cpus: 8,
    memory: "14GiB",
    volumes: [{ name: `data-${i}`, size: "100GiB", mount: "/mnt/storage" }],
  }));
  const users = Array.from({ length: PEOPLE }, (_, index) => ({
    ...{ name: `user${index}`, node: `n${index % DROPLETS}`, index },
    ...{ cpus: 0.5, memory: "1GiB", memoryReservation: "256MiB" },
  }));
  return {
    "berth:nodes": nodes,
    "berth:users": users,
    "berth:ports": { users: { start: 9000, blocks: PEOPLE }, containers: { start: 29000, end: 29999 } },
    // Its own place lies in those blocks.
    "berth:agent": { port: 8900 },
    "berth:digitalocean": { region: "fra1", allowSshFrom: ["192.0.2.0/24"] },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}
