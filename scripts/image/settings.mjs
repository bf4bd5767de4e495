/**
 * @file The operator's package mirrors and proxies, for the time of a build.
 */
import { ask } from "../lib/process.mjs";

/** Docker knows these without an ARG and keeps them out of an image's history. */
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/** What a Dockerfile may declare with ARG. Only in a stage that is not the last: its history would keep the value. */
const MIRRORS = [
  "PIP_INDEX_URL",
  "PIP_EXTRA_INDEX_URL",
  "PIP_TRUSTED_HOST",
  "NPM_CONFIG_REGISTRY",
  "GOPROXY",
  "GOSUMDB",
];

/**
 * The build arguments for one Dockerfile: proxies, and the mirrors that it declares, from the environment or, for
 * pip and npm, from their own configuration.
 * @param {string} dockerfile
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<Record<string, string>>}
 * @throws {Error} when the Debian mirror's address holds a password: it is used in layers that are kept
 */
export async function buildSettings(dockerfile, env = process.env) {
  /** @type {Record<string, string>} */
  const settings = {};
  for (const name of PROXIES) {
    for (const variable of [name, name.toLowerCase()]) if (env[variable]) settings[variable] = env[variable];
  }
  const declared = new Set([...dockerfile.matchAll(/^ARG\s+([A-Z_]+)/gm)].map((match) => match[1] ?? ""));
  if (declared.has("BERTH_APT_MIRROR") && env.BERTH_APT_MIRROR) {
    if (/^[a-z]+:\/\/[^/]*@/.test(env.BERTH_APT_MIRROR)) {
      throw new Error(
        "BERTH_APT_MIRROR holds a user name or password (…@…), which the images' history would keep. Use a mirror that needs none, or put an apt proxy that signs in before it (HTTP_PROXY).",
      );
    }
    settings.BERTH_APT_MIRROR = env.BERTH_APT_MIRROR;
  }
  for (const name of MIRRORS) {
    if (!declared.has(name)) continue;
    const value = env[name] || env[name.toLowerCase()] || (await configured(name, env));
    if (value) settings[name] = value;
  }
  return settings;
}

/**
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>}
 */
async function configured(name, env) {
  const pip = /^PIP_(.*)$/.exec(name)?.[1]?.toLowerCase().replaceAll("_", "-");
  if (pip)
    return (await ask("python3", ["-m", "pip", "config", "get", `global.${pip}`], { env })) || undefined;
  if (name === "NPM_CONFIG_REGISTRY")
    return (await ask("npm", ["config", "get", "registry"], { env })) || undefined;
  return undefined;
}
