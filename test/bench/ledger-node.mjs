/**
 * @file A node for berthd as nodes get it, bundled and in a process of its own, with declared GPUs: all of it in one
 * folder, with an empty dockerd in place of Docker's.
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { koffiNative } from "../../scripts/image/agent.mjs";
import { bundleAgent } from "../../scripts/image/agent-bundle.mjs";
import { ROOT } from "../../scripts/lib/paths.mjs";
import { waitFor } from "../../scripts/lib/process.mjs";

const START_MS = 60_000;

/**
 * The programs of a node in a folder, as its image holds them.
 * @param {string} folder
 */
export async function makePrograms(folder) {
  mkdirSync(folder, { recursive: true });
  const native = { path: "koffi.node", content: await koffiNative(process.arch) };
  for (const { path, content } of [...(await bundleAgent()), native])
    writeFileSync(join(folder, path), content);
  // The starters too: their settings of Node.js are part of what is measured.
  symlinkSync(process.execPath, join(folder, "node"));
  cpSync(join(ROOT, "images/agent/root/bin"), join(folder, "bin"), { recursive: true });
  return {
    berthd: join(folder, "bin/berthd"),
    berth: join(folder, "bin/berth"),
    standIns: join(folder, "stand-ins.cjs"),
  };
}

/**
 * @typedef {object} NodeOptions
 * @property {{name: string, uid?: number, group?: string}[]} users
 * @property {object} limits the limits document
 * @property {object[]} gpus as `gpus.json` declares them
 * @property {object} [more] of node.json
 * @property {string} [parent] where its folder is made; default: that of temporary files
 */

export class LedgerNode {
  /** @param {NodeOptions} options */
  constructor(options) {
    this.options = options;
    this.root = mkdtempSync(join(options.parent ?? tmpdir(), "berth-ledger-"));
    this.socket = join(this.root, "run/berth/berthd.sock");
    this.docker = join(this.root, "docker.sock");
    this.env = { ...process.env, BERTH_AGENT_ROOT: this.root, BERTH_DOCKER_SOCKET: this.docker };
    this.log = "";
    /** @type {import("node:child_process").ChildProcess | undefined} */
    this.berthd = undefined;
  }

  /** Makes its files and the stand-in for nvidia-smi, starts berthd, and waits until it makes grants. */
  async start() {
    const config = join(this.root, "etc/berth/agent");
    mkdirSync(config, { recursive: true });
    for (const path of ["var/lib/berth/agent", "var/log/berth", "run/berth"])
      mkdirSync(join(this.root, path), { recursive: true });
    const { users, limits, gpus, more } = this.options;
    const put = (/** @type {string} */ name, /** @type {object} */ value) =>
      writeFileSync(join(config, name), JSON.stringify(value));
    put("node.json", { stack: "bench", node: "n0", users, listen: "off", ...more });
    put("limits.json", limits);
    put("gpus.json", { node: "n0", gpus });
    this.programs = await makePrograms(join(this.root, "lib"));
    const made = spawnSync(process.execPath, [this.programs.standIns], { env: this.env, encoding: "utf8" });
    if (made.status !== 0) throw new Error(`the stand-in for nvidia-smi was not made:\n${made.stderr}`);
    this.dockerd = await emptyDockerd(this.docker);
    await this.startBerthd();
  }

  async startBerthd() {
    if (!this.programs) throw new Error("unreachable: its programs are made first");
    const child = spawn(this.programs.berthd, [], {
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.berthd = child;
    const note = (/** @type {Buffer} */ text) => {
      this.log = (this.log + String(text)).slice(-20_000);
    };
    child.stdout?.on("data", note);
    child.stderr?.on("data", note);
    const ready = await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`berthd ended with ${child.exitCode}:\n${this.log}`);
        return (await ask(this.socket, "GET", "/ready").catch(() => undefined))?.status === 200;
      },
      { deadlineMs: START_MS, everyMs: 50 },
    );
    if (!ready) throw new Error(`berthd makes no grants after ${START_MS / 1000} s:\n${this.log}`);
  }

  /** @param {NodeJS.Signals} signal */
  async stopBerthd(signal = "SIGTERM") {
    const child = this.berthd;
    this.berthd = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  }

  async end() {
    await this.stopBerthd("SIGKILL");
    this.dockerd?.closeAllConnections();
    this.dockerd?.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/**
 * One request over a Unix socket, on a connection of its own.
 * @param {string} socketPath
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<{status: number, body: any}>}
 */
export function ask(socketPath, method, path, body) {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    content === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(content) };
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, agent: false, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        text += part;
      });
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: text === "" ? undefined : JSON.parse(text) });
        } catch (error) {
          reject(error);
        }
      });
    });
    call.on("error", reject);
    call.end(content);
  });
}

/**
 * Docker without a container, on a socket: what berthd asks when it looks and follows.
 * @param {string} socket
 * @returns {Promise<import("node:http").Server>}
 */
function emptyDockerd(socket) {
  const server = createServer((asked, response) => {
    const path = (asked.url ?? "").split("?")[0]?.replace(/^\/v1\.\d+/, "");
    response.setHeader("content-type", "application/json");
    if (path === "/events") {
      response.flushHeaders();
      return;
    }
    const answers = /** @type {Record<string, object>} */ ({
      "/version": { ApiVersion: "1.45", MinAPIVersion: "1.24" },
      "/info": {
        ID: "bench",
        ServerVersion: "26.1.5",
        CgroupDriver: "cgroupfs",
        CgroupVersion: "2",
        CDISpecDirs: ["/etc/cdi"],
      },
      "/containers/json": [],
    });
    const answer = answers[path ?? ""];
    response.statusCode = answer ? 200 : 404;
    response.end(JSON.stringify(answer ?? { message: `no ${path} here` }));
  });
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(socket, () => done(server));
  });
}
