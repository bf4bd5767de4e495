/**
 * @file The stack of claim.bench.mjs: one local node with the container manager, whose containers are of the image that stands in. Its
 * names, network and ports are its own, so that it stands beside others. BERTH_BENCH_KEEP and BERTH_BENCH_SIDE: see stack.mjs.
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/paths.mjs";

const require = createRequire(import.meta.url);
require("ts-node").register({ transpileOnly: true, project: join(ROOT, "tsconfig.json") });
/** @type {typeof import("../lib/stack.js")} */
const { TestStack } = require("../lib/stack");

const MINUTE_MS = 60_000;
/** @type {Record<string, {name: string, third: number}>} */
const PLACES = {
  ours: { name: "benchclaimours", third: 2 },
  theirs: { name: "benchclaimtheirs", third: 3 },
};
const { name, third } = PLACES[process.env.BERTH_BENCH_SIDE ?? ""] ?? { name: "benchclaim", third: 1 };
const KEEP = process.env.BERTH_BENCH_KEEP;

const NODE = "docker-host";
/** This computer's address in the node's network, where the servers of the measurement listen. */
export const HERE = `10.92.${third}.1`;
export const ADDRESS = `10.92.${third}.10`;
export const GIT_PORT = 5940 + third;
export const MANAGER_PORT = 8080;
export const MANAGER = `http://${ADDRESS}:${MANAGER_PORT}`;
export const TENANTS = /** @type {const} */ (["claimer", "lister", "builder"]);

const image = "node:24-slim";
/** @param {object} size @param {number} targetSize */
const template = (size, targetSize = 0) => ({
  ...{ image, containerPorts: [3000], targetSize, minSize: Math.min(1, targetSize), maxCreating: 4, ...size },
});

/**
 * A node of two processors promises eight. `listed` has next to none: its containers do nothing.
 * @type {Record<"pool" | "empty" | "many" | "listed", ReturnType<typeof template>>}
 */
export const TEMPLATES = {
  pool: template({ memory: "64MiB", cpus: 0.15, pids: 64, health: { command: ["true"] } }, 24),
  empty: template({ memory: "48MiB", cpus: 1, pids: 64 }),
  many: template({ memory: "32MiB", cpus: 0.1, pids: 32 }),
  listed: template({ memory: "16MiB", cpus: 0.02, pids: 16 }),
};

const configuration = {
  "berth:nodes": [{ name: NODE, kind: "local", role: "head", address: ADDRESS, cpus: 2, memory: "6GiB" }],
  "berth:network": { cidr: `10.92.${third}.0/24` },
  "berth:registryPort": 5930 + third,
  "berth:ray": { enabled: false },
  "berth:ports": { containers: { start: 10000, end: 20000 } },
  "berth:manager": {
    port: MANAGER_PORT,
    tenants: TENANTS.map((tenant) => ({ name: tenant })),
    templates: Object.entries(TEMPLATES).map(([one, more]) => ({ name: one, ...more })),
    images: { default: image, standIn: [image] },
    repositories: { hosts: [{ host: HERE, port: GIT_PORT, insecure: true, internal: true }] },
  },
  "pulumi:disable-default-providers": ["docker", "digitalocean"],
};

const stack = new TestStack(name);
/** Made once the stack is whole, so that one whose making failed is made anew. */
const isUp = join(stack.home, "is-up");

export async function bringUp() {
  if (KEEP !== undefined && existsSync(isUp)) return;
  await stack.removeLeftovers();
  stack.makeHome();
  stack.writeConfiguration(configuration);
  await stack.ok(process.execPath, ["scripts/start.mjs", "--stack", name], { deadline: 30 * MINUTE_MS });
  writeFileSync(isUp, "");
}

export async function takeDown() {
  if (KEEP === "1") return;
  rmSync(isUp, { force: true });
  await stack.removeLeftovers();
}

/** @param {typeof TENANTS[number]} tenant @returns {Promise<string>} a secret */
export async function tokenOf(tenant) {
  const args = ["scripts/status.mjs", "--stack", name, "--env", NODE, "--tenant", tenant, "--json"];
  return JSON.parse((await stack.ok(process.execPath, args)).stdout).DOCKER_API_SECRET;
}

/**
 * Asks the manager, from this computer.
 * @param {string} method
 * @param {string} path
 * @param {object | undefined} body
 * @param {string} token
 * @returns {Promise<{status: number, body: any}>}
 */
export async function call(method, path, body, token) {
  const answer = await fetch(`${MANAGER}${path}`, {
    ...{ method, signal: AbortSignal.timeout(MINUTE_MS) },
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: await answer.json() };
}

/** Runs bash on the node. @param {string} script */
export const shell = (script) => stack.docker("exec", `berth-${name}-${NODE}`, "bash", "-euc", script);

/**
 * Runs a program of Node.js on the node, with berthd's own.
 * @param {string} program its text
 * @param {string} input
 * @returns {Promise<string>} what it printed
 */
export async function onNode(program, input) {
  const inside = ["exec", "--interactive", `berth-${name}-${NODE}`];
  const file = "/run/berth-claim.cjs";
  await stack.ok("docker", [...inside, "sh", "-c", `cat >${file}`], { input: program });
  const node = "/usr/local/lib/berth/agent/current/node";
  const ran = await stack.ok("docker", [...inside, node, file], { input, deadline: 40 * MINUTE_MS });
  return ran.stdout;
}
