/**
 * @file The operator's container engine, through its `docker` command.
 */
import { statfsSync } from "node:fs";
import { ask, run } from "../lib/process.mjs";

/** @typedef {import("../lib/process.mjs").RunOptions} RunOptions */

/** What to say when no engine answers. */
const NO_ENGINE =
  "No Docker engine answers to the `docker` command. Install one (Debian, Ubuntu: apt-get install docker.io; macOS, Windows: Docker Desktop) and start it, or run `npm start` as root, which does both.";

export class Engine {
  /** @param {NodeJS.ProcessEnv} [env] */
  constructor(env = process.env) {
    this.env = env;
  }

  /**
   * @param {string[]} args
   * @param {RunOptions} [options]
   */
  run(args, options = {}) {
    return run("docker", args, { env: this.env, ...options });
  }

  /**
   * @throws {Error} when none answers within 20 s
   */
  async check() {
    const version = await ask("docker", ["version", "--format", "{{.Server.Version}}"], {
      env: this.env,
      deadlineMs: 20_000,
    });
    if (!version) throw new Error(NO_ENGINE);
  }

  /**
   * @param {string} ref
   * @returns {Promise<{id: string, bytes: number} | undefined>} undefined when the engine has no such image
   */
  async image(ref) {
    const format = '{"id":{{json .Id}},"bytes":{{json .Size}}}';
    const text = await ask("docker", ["image", "inspect", "--format", format, ref], {
      env: this.env,
      deadlineMs: 60_000,
    });
    return text ? JSON.parse(text) : undefined;
  }

  /**
   * Refuses to begin where the engine's disk has too little room. Says nothing where the disk is not this
   * computer's (Docker Desktop).
   * @param {number} bytes
   * @param {string} what
   */
  async needRoom(bytes, what) {
    const root = await ask("docker", ["info", "--format", "{{.DockerRootDir}}"], { env: this.env });
    let free;
    try {
      const disk = statfsSync(root ?? "");
      free = disk.bavail * disk.bsize;
    } catch {
      return;
    }
    if (free < bytes) {
      const gb = (/** @type {number} */ n) => `${(n / 1e9).toFixed(1)} GB`;
      throw new Error(
        `Too little room in ${root}: ${what} needs ${gb(bytes)} while it is built, ${gb(free)} are free. Free some (docker image ls shows what takes it), then run the same command again.`,
      );
    }
  }

  /** Whether `docker build` means BuildKit: it does where the buildx plugin is installed. */
  async hasBuildx() {
    return (await ask("docker", ["buildx", "version"], { env: this.env })) !== undefined;
  }
}
