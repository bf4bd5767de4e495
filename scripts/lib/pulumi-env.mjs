/**
 * @file The environment in which Pulumi runs: Berth's own backend, passphrase, plugins and tools, unless the user
 * brings theirs.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { nodeBin, prependPath, readRecord } from "./context.mjs";
import { createWhole, which } from "./files.mjs";
import { places, ROOT } from "./paths.mjs";

/**
 * Whether the state is in Berth's own file backend: not when the user names another (PULUMI_BACKEND_URL), or is
 * signed in to Pulumi Cloud by a token.
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./paths.mjs").Places} at
 */
export function ownBackend(env, at) {
  if (env.PULUMI_BACKEND_URL) return env.PULUMI_BACKEND_URL === backendUrl(at);
  return !env.PULUMI_ACCESS_TOKEN;
}

/** @param {import("./paths.mjs").Places} at */
export function backendUrl(at) {
  return `file://${at.state}`;
}

/**
 * What Pulumi needs in its environment beside what is there.
 * @param {NodeJS.ProcessEnv} env
 * @param {import("./paths.mjs").Places} at
 * @returns {Record<string, string>} names and values to set
 */
export function pulumiVariables(env, at) {
  /** @type {Record<string, string>} */
  const set = {
    BERTH_HOME: at.home,
    BERTH_CACHE: at.cache,
    PULUMI_HOME: env.PULUMI_HOME || at.pulumiHome,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    // By default four for each of this computer's processors, yet nearly all steps wait for other machines.
    PULUMI_PARALLEL: env.PULUMI_PARALLEL || "32",
    // Types are checked by `npm run check`; here only the program is run, which takes 2 s less.
    PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE || join(at.cache, "node-compile"),
  };
  if (!ownBackend(env, at)) return set;
  set.PULUMI_BACKEND_URL = backendUrl(at);
  // The stack file stays without this computer's salt (see stack-file.mjs), so it is taken from the state.
  set.PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER = "true";
  if (env.PULUMI_CONFIG_PASSPHRASE === undefined && !env.PULUMI_CONFIG_PASSPHRASE_FILE) {
    set.PULUMI_CONFIG_PASSPHRASE_FILE = at.passphrase;
  }
  return set;
}

/**
 * The environment of one call of pulumi. The SDK sends the engine four lines of debugging for each resource, which the
 * engine shows to whoever asks for them: the program does not see how Pulumi was called, so it is told (lean-sdk.cjs) where
 * nobody asked. The engine lives for seconds, so it collects garbage less often: a tenth less processor time in a preview of
 * 1,225 resources, for 140 MB more.
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} args pulumi's
 * @returns {NodeJS.ProcessEnv}
 */
export function callEnvironment(env, args) {
  const asked = args.some((word) => /^(-[a-z]*[dv]|--(debug|verbose|log))/.test(word));
  return { GOGC: "400", ...env, BERTH_DEBUG_LINES: String(asked) };
}

/**
 * The environment for tools and Pulumi, as `npm start` left it.
 * @param {NodeJS.ProcessEnv} [outer]
 * @returns {{env: NodeJS.ProcessEnv, at: import("./paths.mjs").Places, path: string[]}} `path`: the folders put first
 */
export function toolEnvironment(outer = process.env) {
  const at = places(outer);
  const record = readRecord(at);
  const path = record.path.filter((folder) => existsSync(folder));
  if (record.path.length === 0) {
    for (const folder of [nodeBin(at.nodeDir), at.pulumiDir]) if (existsSync(folder)) path.push(folder);
  }
  const env = { ...outer, ...pulumiVariables(outer, at) };
  if (!env.DOCKER_HOST && record.docker?.host) env.DOCKER_HOST = record.docker.host;
  prependPath(env, path);
  return { env, at, path };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @throws {Error} Pulumi or the npm packages are missing
 */
export function requirePulumi(env) {
  if (!which("pulumi", env) || !existsSync(`${ROOT}/node_modules`))
    throw new Error(
      "Pulumi or the npm packages are not here yet. Run `npm start` (or `npm start -- --setup-only`) first.",
    );
}

/**
 * Makes Berth's folders (for this account only) and, once, the passphrase that the secrets of local stacks are
 * encrypted with. Whoever has both it and the state can read them.
 * @param {import("./paths.mjs").Places} at
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean} whether the passphrase was made now
 * @throws {Error} when others can read the passphrase, or it is empty
 */
export function ensureHome(at, env = process.env) {
  for (const folder of [at.home, at.state, at.logs, join(at.home, "stacks")]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  if (process.platform !== "win32") chmodSync(at.home, 0o700);
  mkdirSync(at.cache, { recursive: true });
  mkdirSync(at.pulumiHome, { recursive: true });
  // The user's own passphrase: none of ours is needed.
  const own = env.PULUMI_CONFIG_PASSPHRASE_FILE;
  if (env.PULUMI_CONFIG_PASSPHRASE !== undefined || (own && own !== at.passphrase)) return false;
  const made = !existsSync(at.passphrase) && makePassphrase(at);
  const { mode, size } = statSync(at.passphrase);
  if (size === 0)
    throw new Error(
      `${at.passphrase}: the passphrase's file is empty. Put back the one the state was made with.`,
    );
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    throw new Error(
      `${at.passphrase}: others can read the passphrase (mode ${(mode & 0o777).toString(8)}). Mend: chmod 600`,
    );
  }
  return made;
}

/**
 * @param {import("./paths.mjs").Places} at
 * @returns {boolean} false when another process made it first
 */
function makePassphrase(at) {
  if (existsSync(join(at.state, ".pulumi/stacks"))) {
    throw new Error(
      `${at.passphrase} is missing, but ${at.state} holds stacks whose secrets were encrypted with it. ` +
        "Put it back from a copy (a new one could not open them), or move that folder away to begin anew.",
    );
  }
  // 32 random bytes: as strong as the AES-256 key that Pulumi derives from it.
  return createWhole(at.passphrase, randomBytes(32).toString("base64url"));
}
