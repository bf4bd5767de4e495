/**
 * @file `npm start` with everything cached, until all containers are healthy, against the sum of what nobody can
 * leave out, measured in the same run on the same computer: bare node containers until systemd runs, the same apt
 * packages by one shell script, a plain push and pull of the same images, and a plain start of the same containers.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { handleSignals, waitFor } from "../../scripts/lib/process.mjs";
import * as stack from "./stack.mjs";

const require = createRequire(import.meta.url);
require("ts-node").register({ transpileOnly: true, project: join(ROOT, "tsconfig.json") });

const BOUND = 1.5;
/** Of what the floor makes; never a stack's name. */
const FLOOR = "berth-bench-floor";
const REGISTRY = `127.0.0.1:${stack.REGISTRY_PORT}`;
const PASSWORD = randomBytes(18).toString("hex");

/** @type {Record<string, string>} image references by name */
const images = {};

handleSignals();
try {
  await removeFloor();
  stack.prepare();
  await stack.takeDown();
  stack.prepare();
  await stack.script("start.mjs", ["--stack", stack.STACK, "--setup-only"]);
  for (const name of ["node", "registry", "ray", "workspace"]) {
    const { stdout } = await stack.script("image.mjs", ["build", name, "--json"]);
    images[name] = JSON.parse(stdout).ref;
  }
  const started = await stack.timed(async () => {
    await stack.script("start.mjs", ["--stack", stack.STACK]);
    await Promise.all(stack.NODES.map(({ name }) => healthy(`berth-${stack.STACK}-${name}`)));
  });
  // The very containers, so that no difference in their settings blurs the comparison.
  const containers = await restarted();
  await stack.takeDown();
  const nodes = await stack.timed(startNodes);
  const packages = await stack.timed(installPackages);
  const carried = await stack.timed(carryImages);
  const parts = { nodes: nodes.seconds, packages: packages.seconds, images: carried.seconds, containers };
  show(started.seconds, parts);
} finally {
  await removeFloor();
  await stack.cleanUp();
}

/** @param {(node: typeof stack.NODES[number], container: string) => Promise<unknown>} work */
function onBoth(work) {
  return Promise.all(stack.NODES.map((node) => work(node, `${FLOOR}-${node.name}`)));
}

/**
 * Waits until every container of a node's engine that tells its health is healthy.
 * @param {string} node container
 */
async function healthy(node) {
  const all = await waitFor(
    async () => {
      const states = (await stack.shell(node, "docker ps --all --format '{{.Status}}'")).split("\n");
      return states.length >= 2 && states.every((state) => /^Up .*\(healthy\)/.test(state));
    },
    { deadlineMs: 300_000, everyMs: 500 },
  );
  if (!all) throw new Error(`${node}: its containers are not healthy after 300 s`);
}

/** Stops all containers of the nodes, and starts them plainly; the seconds until they are healthy. */
async function restarted() {
  const nodes = stack.NODES.map(({ name }) => `berth-${stack.STACK}-${name}`);
  await Promise.all(nodes.map((node) => stack.shell(node, "docker stop $(docker ps -q)")));
  const { seconds } = await stack.timed(() =>
    Promise.all(
      nodes.map(async (node) => {
        await stack.shell(node, "docker start $(docker ps -aq)");
        await healthy(node);
      }),
    ),
  );
  return seconds;
}

/** The node containers as components/node/local.ts makes them, until systemd says that all units are up. */
async function startNodes() {
  await stack.docker(["network", "create", "--subnet", stack.SUBNET, FLOOR]);
  /** @type {typeof import("../lib/node.js")} */
  const { machineFlags } = require("../lib/node");
  await onBoth(async (node, name) => {
    // biome-ignore format: an option and its value belong together
    await stack.docker(["run", "--detach", "--name", name, "--hostname", node.name, "--network", FLOOR,
      "--ip", node.address, ...machineFlags(`${name}-docker`), "--volume", `${name}-storage:/mnt/storage`,
      "--cpus", "2", "--memory", "6g", "--memory-swap", "6g", "--stop-signal", "SIGRTMIN+3", images.node ?? ""]);
    const up = await waitFor(
      async () => (await stack.shell(name, "systemctl is-system-running || true")) === "running",
      { deadlineMs: 120_000 },
    );
    if (!up) throw new Error(`${name}: systemd does not say "running" after 120 s`);
  });
}

/** What the stages base and runtime install, by one shell script a node; Docker is started by its package. */
async function installPackages() {
  /** @type {{basePackages: readonly string[]}} */
  const { basePackages } = require("../../components/host/base");
  const daemon = JSON.stringify({
    "insecure-registries": [`${stack.REGISTRY_ADDRESS}:5000`],
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
  });
  const text = `set -e; export DEBIAN_FRONTEND=noninteractive
    mkdir -p /etc/docker; printf %s '${daemon}' >/etc/docker/daemon.json
    apt-get -q update; apt-get -q -y install --no-install-recommends ${basePackages.join(" ")} docker.io docker-cli
    systemctl start docker; timeout 60 bash -c 'until docker info; do sleep 0.2; done'`;
  await onBoth((_node, name) => stack.shell(name, text));
}

/** A registry of the stack's kind, a plain `docker push` to it, and a plain `docker pull` on both nodes. */
async function carryImages() {
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-push-"));
  const targets = ["ray", "workspace"].map((name) => ({ name, local: `${REGISTRY}/berth/${name}:floor` }));
  try {
    const account = { username: "berth", password: PASSWORD };
    const credentials = join(folder, "credentials.json");
    writeFileSync(credentials, JSON.stringify(account), { mode: 0o644 });
    const auth = Buffer.from(`${account.username}:${PASSWORD}`).toString("base64");
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [REGISTRY]: { auth } } }));
    const registry = `${FLOOR}-registry`;
    // biome-ignore format: an option and its value belong together
    await stack.docker(["create", "--name", registry, "--network", FLOOR, "--ip", stack.REGISTRY_ADDRESS,
      "--publish", `${REGISTRY}:5001`, "--volume", `${registry}:/var/lib/registry`, images.registry ?? ""]);
    await stack.docker(["cp", credentials, `${registry}:/etc/berth/registry/credentials.json`]);
    await stack.docker(["start", registry]);
    const answers = async () =>
      (await fetch(`http://${REGISTRY}/v2/`).catch(() => undefined))?.status === 401;
    if (!(await waitFor(answers, { deadlineMs: 60_000, everyMs: 100 }))) {
      throw new Error(`${registry}: does not answer after 60 s`);
    }
    for (const { name, local } of targets) {
      await stack.docker(["tag", images[name] ?? "", local]);
      await stack.docker(["push", local], { env: { ...stack.env, DOCKER_CONFIG: folder } });
    }
    await onBoth((_node, name) => {
      const pulls = targets.map(
        (one) => `docker pull -q ${stack.REGISTRY_ADDRESS}:5000/berth/${one.name}:floor`,
      );
      return stack.shell(name, `set -e; ${pulls.join("; ")}`);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** All that the floor makes, by its names; what is not there is no error. */
async function removeFloor() {
  const options = { okCodes: [0, 1], quietInterrupt: true };
  const machines = [...stack.NODES.map(({ name }) => `${FLOOR}-${name}`), `${FLOOR}-registry`];
  await stack.docker(["rm", "--force", "--volumes", ...machines], options);
  const volumes = stack.NODES.flatMap(({ name }) =>
    ["docker", "storage"].map((what) => `${FLOOR}-${name}-${what}`),
  );
  await stack.docker(["volume", "rm", ...volumes, `${FLOOR}-registry`], options);
  await stack.docker(["network", "rm", FLOOR], options);
  await stack.docker(
    ["rmi", ...["ray", "workspace"].map((name) => `${REGISTRY}/berth/${name}:floor`)],
    options,
  );
}

/**
 * @param {number} start
 * @param {{nodes: number, packages: number, images: number, containers: number}} parts
 */
function show(start, parts) {
  const floor = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const rows = [
    ["two nodes, bare, until systemd runs", stack.seconds(parts.nodes)],
    ["apt packages, one script on each", stack.seconds(parts.packages)],
    ["registry, push, pull on each", stack.seconds(parts.images)],
    ["containers, until healthy", stack.seconds(parts.containers)],
    ["floor: the sum", stack.seconds(floor)],
    ["npm start, until healthy", stack.seconds(start)],
  ];
  stack.report({ head: ["", "time"], rows }, [
    { name: "start", ratio: start / floor, bound: BOUND, detail: { start, floor, ...parts } },
  ]);
}
