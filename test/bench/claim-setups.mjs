/**
 * @file Set-ups of a repository that the node has never seen, and of the same one again, from a Git host and an npm registry on this
 * computer that note each request. What the Internet would add to the first one is left out: that one is as fast as it can be.
 */
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { run } from "../../scripts/lib/process.mjs";
import { call, GIT_PORT, HERE, MANAGER } from "./claim-stack.mjs";

const require = createRequire(import.meta.url);
/** @type {typeof import("../process/agent/git-host.js")} */
const { GitHost } = require("../process/agent/git-host");
/** @type {typeof import("../process/agent/npm-registry.js")} */
const { NpmRegistry } = require("../process/agent/npm-registry");

/** Each with repositories that the node does not know. */
const PAIRS = 3;
/** Of the project, about as many as an application of the Web has; 21 files in each. */
const PACKAGES = 800;
/** What was once in the repository whose clone is measured, and is there no more: 240 MB that do not compress well. */
const OLD_FILES = 60;
const OLD_BYTES = 3 * 2 ** 20;
const LOOK_MS = 20;
const SETUP_MS = 10 * 60_000;

/**
 * @typedef {object} Found
 * @property {number[]} first milliseconds, from the request until it is ready
 * @property {number[]} second
 * @property {number[]} firstClone milliseconds of the phase
 * @property {number[]} secondClone
 * @property {number} requests packages downloaded, and objects asked for, by second ones
 * @property {number} packages that a first one downloads
 */

/**
 * @param {string} token a tenant's
 * @returns {Promise<Found>}
 */
export async function measureSetups(token) {
  const git = new GitHost();
  const registry = new NpmRegistry();
  const back = new BackEnd(token);
  /** @type {Found} */
  const found = { first: [], second: [], firstClone: [], secondClone: [], requests: 0, packages: PACKAGES };
  const brought = () => registry.downloads.length + git.fetches;
  try {
    await Promise.all([git.start(HERE, GIT_PORT), registry.start(HERE)]);
    await makeApplications(git, registry);
    await makeHistories(git);
    for (let pair = 0; pair < PAIRS; pair++) {
      const application = { repo: `bench/app-${pair}`, envVars: { npm_config_registry: registry.url } };
      const before = registry.downloads.length;
      found.first.push((await back.setUp(application)).whole);
      if (registry.downloads.length - before < PACKAGES)
        throw new Error(`the first set-up downloaded ${registry.downloads.length - before} packages`);
      let seen = brought();
      found.second.push((await back.setUp(application)).whole);
      found.requests += brought() - seen;
      const history = { repo: `bench/history-${pair}`, installCommand: "" };
      found.firstClone.push((await back.setUp(history)).clone);
      seen = brought();
      found.secondClone.push((await back.setUp(history)).clone);
      found.requests += brought() - seen;
    }
    return found;
  } finally {
    await Promise.all([git.close(), registry.close()]);
  }
}

/** @typedef {InstanceType<typeof import("../process/agent/git-host.js").GitHost>} Git */
/** @typedef {InstanceType<typeof import("../process/agent/npm-registry.js").NpmRegistry>} Registry */

/** @param {Git} git @param {string} name of the first; the others have what it has */
function copies(git, name) {
  for (let pair = 1; pair < PAIRS; pair++)
    cpSync(git.bare("bench", `${name}-0`), git.bare("bench", `${name}-${pair}`), { recursive: true });
}

/** @param {Git} git @param {Registry} registry */
async function makeApplications(git, registry) {
  const names = Array.from({ length: PACKAGES }, (_, index) => `part-${index}`);
  for (const name of names) await registry.add(name);
  const dependencies = Object.fromEntries(names.map((name) => [name, "1.0.0"]));
  const manifest = JSON.stringify({ name: "app", version: "1.0.0", private: true, dependencies }, null, 2);
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-lock-"));
  try {
    writeFileSync(join(folder, "package.json"), manifest);
    const env = {
      ...{ PATH: process.env.PATH, HOME: folder, npm_config_globalconfig: "/dev/null" },
      ...{ npm_config_registry: registry.url, npm_config_update_notifier: "false" },
    };
    await run("npm", ["install", "--package-lock-only", "--no-audit", "--no-fund"], {
      ...{ cwd: folder, env, deadlineMs: SETUP_MS },
    });
    const lock = readFileSync(join(folder, "package-lock.json"), "utf8");
    await git.commit("bench", "app-0", {
      "package.json": manifest,
      "package-lock.json": lock,
      "a.txt": "a\n",
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  copies(git, "app");
}

/** @param {Git} git */
async function makeHistories(git) {
  const paths = Array.from({ length: OLD_FILES }, (_, index) => `old-${index}.txt`);
  const old = paths.map((path) => [path, randomBytes(OLD_BYTES).toString("base64")]);
  await git.commit("bench", "history-0", Object.fromEntries(old));
  const gone = Object.fromEntries(paths.map((path) => [path, null]));
  await git.commit("bench", "history-0", { ...gone, "README.md": "What was here is history.\n" });
  copies(git, "history");
}

class BackEnd {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /**
   * @param {number} status that it must be answered with
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async call(status, method, path, body) {
    const answer = await call(method, path, body, this.token);
    if (answer.status !== status)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /**
   * A new container, set up; it is deleted afterwards. Nothing is started in it, and it becomes no image.
   * @param {{repo: string, [more: string]: unknown}} wish
   * @returns {Promise<{whole: number, clone: number}>} milliseconds
   */
  async setUp(wish) {
    const size = { memory: "1GiB", cpus: 2, ports: [] };
    const { id } = await this.call(201, "POST", "/api/containers", { name: "bench", ...size });
    const path = `/api/containers/${id}`;
    const began = performance.now();
    const request = { branch: "main", startCommand: "", buildMainImage: false, ...wish };
    await this.call(202, "POST", `${path}/setup`, request);
    for (;;) {
      const { setup } = await this.call(200, "GET", path);
      if (setup.status === "ready") break;
      if (setup.status === "failed" || performance.now() - began > SETUP_MS)
        throw new Error(`the set-up of ${wish.repo}: ${JSON.stringify(setup)}`);
      await after(LOOK_MS);
    }
    const whole = performance.now() - began;
    const at = await this.phases(path);
    await this.call(200, "DELETE", path);
    return { whole, clone: (at.get("checking-out") ?? Number.NaN) - (at.get("cloning") ?? Number.NaN) };
  }

  /**
   * When each phase began, as the container's log says.
   * @param {string} path of the container, which is ready
   * @returns {Promise<Map<string, number>>}
   */
  async phases(path) {
    const headers = { authorization: `Bearer ${this.token}` };
    const answer = await fetch(`${MANAGER}${path}/logs`, { headers });
    /** @type {Map<string, number>} */
    const at = new Map();
    let seen = "";
    for await (const part of answer.body ?? []) {
      seen += Buffer.from(part).toString();
      const lines = seen.split("\n");
      seen = lines.pop() ?? "";
      for (const text of lines) {
        if (!text.startsWith("data: {")) continue;
        const { line = "", timestamp } = JSON.parse(text.slice("data: ".length));
        const phase = /^\[berth\] ([a-z-]+): /.exec(line)?.[1];
        if (phase !== undefined && !at.has(phase)) at.set(phase, timestamp);
      }
      // Whoever leaves the loop hangs up.
      if (at.has("ready")) return at;
    }
    throw new Error(`the log of ${path} ended before it was ready`);
  }
}
