/**
 * @file Step 3: a container engine: the one that answers, else Debian's or Ubuntu's own, installed and started.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { userInfo } from "node:os";
import { join } from "node:path";
import { canInstall, install, systemName } from "./apt.mjs";
import { writeRecord } from "./context.mjs";
import { known, lives, which } from "./files.mjs";
import { ask, run, waitFor } from "./process.mjs";

const DEFAULT_SOCKET = "/var/run/docker.sock";

/** dockerd answers within seconds; with many containers to bring back, or a slow disk, later. */
const START_MS = 90_000;

/** It gives each container its own time to stop first; a local node takes some seconds. */
const STOP_MS = 120_000;

/**
 * @typedef {{version: string, root: string}} Answer  the engine's version, and the folder where it keeps its data
 */

/**
 * Asks an engine who it is.
 * @param {string | undefined} host as in DOCKER_HOST; undefined: the default socket
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Answer>}
 * @throws {Error} it does not answer: why
 */
export async function askEngine(host, env) {
  const address =
    host ?? (process.platform === "win32" ? "npipe:////./pipe/docker_engine" : `unix://${DEFAULT_SOCKET}`);
  if (/^(ssh|tcp):/.test(address) && (address.startsWith("ssh") || env.DOCKER_TLS_VERIFY)) {
    const format = '{"Version":"{{.ServerVersion}}","DockerRootDir":"{{.DockerRootDir}}"}';
    const text = await ask("docker", ["--host", address, "info", "--format", format], { env });
    const info = text ? JSON.parse(text) : undefined;
    if (!info?.Version) throw new Error(`\`docker --host ${address} info\` gives no answer`);
    return { version: info.Version, root: info.DockerRootDir };
  }
  const info = await getJson(address, "/info");
  return { version: String(info.ServerVersion), root: String(info.DockerRootDir) };
}

/**
 * @param {string} address unix://, npipe:// or tcp://
 * @param {string} path
 * @returns {Promise<any>}
 */
function getJson(address, path) {
  const socket = /^(?:unix|npipe):\/\/(.*)$/.exec(address)?.[1];
  const url = new URL(socket ? "http://docker" : address.replace(/^tcp:/, "http:"));
  const target = socket ? { socketPath: socket, path } : { host: url.hostname, port: url.port || 2375, path };
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send({ ...target, timeout: 5000 }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => {
        try {
          if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}`);
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 5 s")));
    request.on("error", reject).end();
  });
}

/**
 * A container engine that answers, and the programs that local nodes need.
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<{way: string, root: string}>}
 * @throws {Error} none, and none can be installed here: what to install
 */
export async function ensureEngine(context) {
  const { env, found } = context;
  const engine = await anyEngine(context);
  await ensureHelpers(context);
  if (engine.host) env.DOCKER_HOST = engine.host;
  found.docker = { host: engine.host, version: engine.version, started: found.docker?.started };
  const dead = found.docker.started && !lives(found.docker.started);
  if (dead) delete found.docker.started;
  return { way: `Docker ${engine.version}, ${engine.way}`, root: engine.root };
}

/** @param {import("./context.mjs").Context} context */
async function anyEngine(context) {
  const { env, step } = context;
  if (env.DOCKER_HOST) {
    try {
      return {
        ...(await askEngine(env.DOCKER_HOST, env)),
        host: env.DOCKER_HOST,
        way: `at ${env.DOCKER_HOST}`,
      };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(
        `DOCKER_HOST says ${env.DOCKER_HOST}, but no container engine answers there: ${why}.\n` +
          "Start it, or unset DOCKER_HOST to use the default socket.",
      );
    }
  }
  /** @type {Error | undefined} */
  let problem;
  try {
    return { ...(await askEngine(undefined, env)), host: undefined, way: "the one that answers" };
  } catch (error) {
    problem = /** @type {Error} */ (error);
  }
  // Docker Desktop, colima and rootless engines listen elsewhere, and say so in the docker command's context.
  const host = await ask("docker", ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], { env });
  if (host && host !== `unix://${DEFAULT_SOCKET}`) {
    const answer = await askEngine(host, env).catch(() => undefined);
    if (answer) return { ...answer, host, way: `at ${host}` };
  }
  if (!canInstall(env)) throw new Error(whatToInstall(problem, env));
  let way = "started";
  if (!which("dockerd", env)) {
    step.note("no container engine answers, so installing the system's docker.io");
    await installEngine(context);
    way = "docker.io installed and started";
  }
  await startEngine(context);
  return { ...(await askEngine(undefined, env)), host: undefined, way };
}

/**
 * @param {Error} problem
 * @param {NodeJS.ProcessEnv} env
 */
function whatToInstall(problem, env) {
  const code = /** @type {NodeJS.ErrnoException} */ (problem).code;
  if (code === "EACCES") {
    return (
      `A container engine is there, but ${userInfo().username} may not use ${DEFAULT_SOCKET}.\n` +
      'Let yourself in (`sudo usermod -aG docker "$USER"`, then sign in again), or run `npm start` as root.'
    );
  }
  const install = which("apt-get", env)
    ? "  sudo apt-get install docker.io mmdebstrap openssh-client && sudo systemctl start docker"
    : process.platform === "linux"
      ? "  Docker Engine (https://docs.docker.com/engine/install/), and start its service"
      : "  Docker Desktop (https://docs.docker.com/desktop/), and start it";
  return (
    `No container engine answers at ${DEFAULT_SOCKET} (${problem.message || code}), and this account cannot install one ` +
    `(it would need to be root, on Debian or Ubuntu; this is ${systemName()}).\nInstall and start one:\n${install}\n` +
    "or set DOCKER_HOST to one that runs; then run `npm start` again."
  );
}

/** @param {import("./context.mjs").Context} context */
async function installEngine(context) {
  const packages = ["docker.io", "iptables", "ca-certificates"];
  // With AppArmor on in the kernel, Docker cannot start containers without its loader.
  const apparmor = "/sys/module/apparmor/parameters/enabled";
  if (existsSync(apparmor) && readFileSync(apparmor, "utf8").startsWith("Y")) packages.push("apparmor");
  if (!existsSync("/sys/fs/cgroup/cgroup.controllers") && !existsSync("/sys/fs/cgroup/memory")) {
    packages.push("cgroupfs-mount");
  }
  // Since Debian 13 the docker command is a package of its own.
  await install(context, packages, ["docker-cli"]);
}

/**
 * Starts dockerd by systemd, or by hand where systemd is not PID 1, and waits until it answers.
 * @param {import("./context.mjs").Context} context
 */
async function startEngine(context) {
  const { at, env, step, found } = context;
  if (existsSync("/run/systemd/system")) {
    step.note("systemctl start docker");
    await run("systemctl", ["enable", "--now", "docker.socket", "docker.service"], {
      env,
      onLine: step.line,
    });
    if (await waitFor(() => askEngine(undefined, env).catch(() => undefined), { deadlineMs: START_MS }))
      return;
    throw new Error("Docker was started by systemd but does not answer. See `journalctl -u docker -n 50`.");
  }
  mkdirSync(at.logs, { recursive: true, mode: 0o700 });
  const log = join(at.logs, "dockerd.log");
  step.note(`dockerd (log: ${log})`);
  const file = openSync(log, "a", 0o600);
  const child = spawn("dockerd", [], { detached: true, stdio: ["ignore", file, file], env });
  closeSync(file);
  let ended = false;
  child.on("error", () => {
    ended = true;
  });
  child.on("exit", () => {
    ended = true;
  });
  child.unref();
  if (child.pid) {
    found.docker = { version: "", started: known(child.pid) };
    writeRecord(at, found);
  }
  const answer = await waitFor(async () => ended || askEngine(undefined, env).catch(() => undefined), {
    deadlineMs: START_MS,
  });
  if (answer && answer !== true) return;
  const tail = readFileSync(log, "utf8").trim().split("\n").slice(-15).join("\n");
  const what = ended ? "ended" : `does not answer after ${START_MS / 1000} s`;
  throw new Error(`dockerd was started but ${what}. The end of ${log}:\n${tail}`);
}

/**
 * Ends the dockerd that Berth started, with its containers.
 * @param {import("./files.mjs").Known} started
 * @returns {Promise<boolean>} whether it has ended
 */
export async function stopEngine(started) {
  if (!lives(started)) return true;
  process.kill(started.pid, "SIGTERM");
  return Boolean(await waitFor(async () => !lives(started), { deadlineMs: STOP_MS }));
}

/**
 * Ends the dockerd that Berth started and starts it anew; containers with a restart policy come back with it.
 * @param {import("./context.mjs").Context} context `found.docker.started` says which, and afterwards which one now
 * @throws {Error} there is none, or it does not end
 */
export async function restartEngine(context) {
  const { docker } = context.found;
  if (!docker?.started || !lives(docker.started)) throw new Error("Berth started no engine that still runs.");
  if (!(await stopEngine(docker.started)))
    throw new Error(`dockerd (pid ${docker.started.pid}) has not ended after ${STOP_MS / 1000} s.`);
  await startEngine(context);
  context.found.docker = { ...docker, started: context.found.docker?.started };
  writeRecord(context.at, context.found);
}

/**
 * The programs that local nodes need beside the engine: the docker command and ssh. (What making the images needs,
 * scripts/image.mjs brings when it is needed.)
 * @param {import("./context.mjs").Context} context
 */
async function ensureHelpers(context) {
  const { env } = context;
  /** @type {string[]} */
  const packages = [];
  if (!which("docker", env)) packages.push("docker.io");
  if (!which("ssh", env) || !which("ssh-keygen", env)) packages.push("openssh-client");
  if (packages.length === 0) return;
  if (!canInstall(env)) {
    const names = packages.map((name) => (name === "docker.io" ? "the docker command" : "ssh")).join(" and ");
    throw new Error(
      `Not on PATH: ${names}. Install ${packages.join(" and ")}, then run \`npm start\` again.`,
    );
  }
  await install(context, packages, packages.includes("docker.io") ? ["docker-cli"] : []);
}
