/**
 * @file The pinned versions of the tools, and the places where Berth keeps things on this computer.
 */
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Name of the Pulumi project (Pulumi.yaml). */
export const PROJECT = "berth";

/** The stack taken when `--stack` is not given. */
export const DEFAULT_STACK = "dev";

/**
 * Pinned versions. `nodeMajor` is the oldest Node.js accepted; `node` the one brought when PATH has none.
 * `pulumi` is the newest CLI that the Go module proxy offers; `nodejsHost` the newest `sdk` release whose module
 * still holds the Node.js language host (later ones moved it to a module that the proxy does not offer).
 * `go` is brought when PATH has no Go as new as `goFloor`, which the CLI's own go.mod asks for.
 */
export const VERSIONS = {
  nodeMajor: 24,
  node: "24.21.0",
  pulumi: "3.250.0",
  nodejsHost: "3.68.0",
  go: "1.26.6",
  goFloor: "1.25.11",
};

/** The provider plugins that the program uses: equal to the versions of the SDK packages in package.json. */
export const PLUGINS = [
  { name: "cloudinit", version: "1.6.1" },
  { name: "command", version: "1.2.1" },
  { name: "digitalocean", version: "4.80.1" },
  { name: "docker", version: "5.2.0" },
];

/**
 * @typedef {object} Places
 * @property {string} home  BERTH_HOME: state, passphrase, keys of the stacks, logs. Kept.
 * @property {string} cache BERTH_CACHE: what can be brought again: tools, builds, images.
 * @property {string} state the file backend's folder
 * @property {string} passphrase the passphrase's file (0600)
 * @property {string} logs one log per run of a script (0600)
 * @property {string} engineFile what `npm start` found or started, as JSON
 * @property {string} nodeDir the Node.js that Berth brought
 * @property {string} pulumiDir the Pulumi CLI and language host that Berth brought
 * @property {string} pulumiHome PULUMI_HOME: Berth's own, so that its plugins never pass for others' official ones
 * @property {string} build working folder of builds
 */

/**
 * Where Berth keeps things, from the environment: `BERTH_HOME` and `BERTH_CACHE` win, then the XDG folders.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Places}
 */
export function places(env = process.env) {
  const home = resolve(
    env.BERTH_HOME || join(env.XDG_DATA_HOME || join(env.HOME || homedir(), ".local/share"), "berth"),
  );
  const cache = resolve(
    env.BERTH_CACHE || join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "berth"),
  );
  return {
    home,
    cache,
    state: join(home, "state"),
    passphrase: join(home, "passphrase"),
    logs: join(home, "logs"),
    engineFile: join(home, "engine.json"),
    nodeDir: join(cache, `node-${VERSIONS.node}`),
    pulumiDir: join(cache, `pulumi-${VERSIONS.pulumi}`),
    pulumiHome: join(cache, "pulumi-home"),
    build: join(cache, "build"),
  };
}

/**
 * The folder of one stack's own files (SSH key, known hosts).
 * @param {Places} at
 * @param {string} stack
 */
export function stackDir(at, stack) {
  return join(at.home, "stacks", stack);
}

/**
 * Compares two dotted versions ("v" in front and a suffix after "-" are allowed and ignored).
 * @param {string} a
 * @param {string} b
 * @returns {number} negative, zero or positive, as a sort function
 */
export function compareVersions(a, b) {
  const bare = (/** @type {string} */ version) => version.replace(/^v|[-+].*$/g, "");
  return bare(a).localeCompare(bare(b), "en", { numeric: true });
}
