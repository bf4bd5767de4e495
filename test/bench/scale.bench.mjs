/**
 * @file 20 droplets and 200 people, on DigitalOcean's test API: how long a preview takes.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { run } from "../../scripts/lib/process.mjs";
import { report, seconds, timed } from "./stack.mjs";

const STACK = "benchscale";
const HOME = join(tmpdir(), "berth-benchscale");
const DROPLETS = 20;
const PEOPLE = 200;
/** Of the preview, in seconds. */
const PREVIEW_BOUND = 20;
const STEP_MS = 10 * 60_000;

const stackFile = join(ROOT, `Pulumi.${STACK}.yaml`);
/** Beside the other tests, so that what it loads is found. */
const bundle = join(ROOT, "test/bench", `.scale-api-${process.pid}.cjs`);
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
  api = spawn(process.execPath, [bundle], { stdio: ["ignore", "pipe", "inherit"] });
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
  const ended = line(api);
  api.kill("SIGTERM");
  const { requests } = await ended;
  report(
    {
      head: ["", "berth", "bound"],
      rows: [
        [`preview of ${resources} resources`, seconds(preview.seconds), seconds(PREVIEW_BOUND)],
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
    ],
  );
} finally {
  api?.kill("SIGKILL");
  for (const path of [HOME, bundle, stackFile]) rmSync(path, { recursive: true, force: true });
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
    "berth:ports": { users: { start: 9000, blocks: PEOPLE }, pool: { start: 29000, end: 29999 } },
    "berth:digitalocean": { region: "fra1", allowSshFrom: ["192.0.2.0/24"] },
    "pulumi:disable-default-providers": ["docker", "digitalocean"],
  };
}
