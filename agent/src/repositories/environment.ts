/** What git is told by its environment: its settings, and the token, which stands in no argument and no file. Pure. */
import { isIP } from "node:net";
import { bracketed } from "../../../core/net";

type Setting = readonly [name: string, value: string];

export interface Remote {
  url: string;
  /** Those that git may dial. */
  addresses: readonly string[];
  token?: string;
}

/** For whatever git does here. No file of the node's has a say. */
const ALWAYS: readonly Setting[] = [
  // Nothing of a repository runs, and nothing is fetched that nobody asked for.
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["credential.helper", ""],
  ["submodule.recurse", "false"],
  ["fetch.recurseSubmodules", "false"],
  ["transfer.bundleURI", "false"],
  ["safe.bareRepository", "explicit"],
  // What comes is looked through before it is kept: with a limit of 1 it is one pack, which has its name when it passed.
  ["transfer.fsckObjects", "true"],
  ["fetch.unpackLimit", "1"],
  // Flaws of old programs, in the history of many a repository that is well known.
  ["fetch.fsck.badTimezone", "ignore"],
  ["fetch.fsck.missingSpaceBeforeDate", "ignore"],
  ["fetch.fsck.zeroPaddedFilemode", "ignore"],
  ["core.protectHFS", "true"],
  ["core.protectNTFS", "true"],
  // Memory: large files pass through, packs are looked at in parts, and there are few threads.
  ["core.bigFileThreshold", "16m"],
  ["core.packedGitWindowSize", "16m"],
  ["core.packedGitLimit", "256m"],
  ["core.deltaBaseCacheLimit", "32m"],
  ["pack.windowMemory", "64m"],
  ["pack.threads", "2"],
  // Nothing of git's goes on by itself afterwards.
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  // A log of references would say where the cache is.
  ["core.logAllRefUpdates", "false"],
  ["init.defaultBranch", "main"],
  ["advice.detachedHead", "false"],
];

function environment(protocol: string, settings: readonly Setting[]): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C",
    // Of an account that has no home; git and curl look there for settings and passwords.
    HOME: "/nonexistent",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: protocol,
    GIT_CONFIG_COUNT: String(settings.length),
  };
  settings.forEach(([name, value], index) => {
    env[`GIT_CONFIG_KEY_${index}`] = name;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return env;
}

/** For what is done on this node alone: `file` to copy from the cache, nothing for all else. */
export const localEnvironment = (protocol: "file" | "none" = "none") => environment(protocol, ALWAYS);

/** For what is asked of the repository's host: no other host, address or scheme gets a request. */
export function remoteEnvironment({ url, addresses, token }: Remote): NodeJS.ProcessEnv {
  const { protocol, hostname, port } = new URL(url);
  const scheme = protocol.slice(0, -1);
  const settings: Setting[] = [
    ...ALWAYS,
    ["http.followRedirects", "false"],
    ["http.lowSpeedLimit", "1000"],
    ["http.lowSpeedTime", "60"],
  ];
  // An address is dialled as it stands.
  if (isIP(hostname.replace(/^\[|\]$/g, "")) === 0) {
    const pin = addresses.map(bracketed).join(",");
    settings.push([
      "http.curloptResolve",
      `${hostname}:${port || (scheme === "https" ? "443" : "80")}:${pin}`,
    ]);
  }
  if (token !== undefined) settings.push([`http.${url}.extraHeader`, `Authorization: Basic ${basic(token)}`]);
  return environment(scheme, settings);
}

/** As GitHub, GitLab and Gitea take a token; it may hold any character. */
const basic = (token: string) => Buffer.from(`x-access-token:${token}`).toString("base64");

/** Every form of the token that a host or git could say. */
export const secretsOf = (token: string | undefined): string[] =>
  token === undefined ? [] : [token, basic(token), encodeURIComponent(token)];
