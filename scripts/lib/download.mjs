/**
 * @file Official downloads, with a short deadline for the connection so that a closed network moves on at once, and
 * never used unless their published checksum fits.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { which } from "./files.mjs";
import { CommandError, run, throwIfInterrupted } from "./process.mjs";

/** A connection that is not there after so long will not come: a closed network often drops packets silently. */
const CONNECT_MS = 5_000;
/** A transfer with no byte for so long has stopped. */
const STALL_MS = 30_000;

/**
 * Fetches a file and checks it against a published list of SHA-256 sums ("HEX  NAME" lines).
 * @param {import("./context.mjs").Context} context
 * @param {string[]} urls tried in order
 * @param {string[]} sumUrls the list's addresses, tried in order
 * @param {string} file where to put it
 * @throws {Error} not reachable, not listed, or not what the list says
 */
export async function fetchVerified(context, urls, sumUrls, file) {
  const sums = `${file}.sums`;
  // The small list first: it also tells whether the site can be reached.
  await firstOf(sumUrls, (url) => download(context, url, sums));
  const name = basename(file);
  const wanted = findSum(readFileSync(sums, "utf8"), name);
  rmSync(sums);
  if (!wanted) throw new Error(`${name} is not in the list of checksums`);
  context.step.note(`downloading ${name}`);
  await firstOf(urls, async (url) => {
    await download(context, url, file);
    const got = await sha256(file);
    if (got !== wanted) {
      rmSync(file, { force: true });
      throw new Error(`${url}: its SHA-256 is ${got}, the published one ${wanted}; it was thrown away`);
    }
  });
}

/**
 * @param {string} list lines "HEX  NAME" (a "*" or "./" before the name is allowed)
 * @param {string} name
 * @returns {string | undefined} the sum, in lower case
 */
export function findSum(list, name) {
  for (const line of list.split("\n")) {
    const match = /^([0-9a-fA-F]{64})\s+\*?(?:\.\/)?(\S+)\s*$/.exec(line);
    if (match?.[2] === name) return match[1]?.toLowerCase();
  }
  return undefined;
}

/** @param {string} file */
async function sha256(file) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

/**
 * @param {string[]} urls
 * @param {(url: string) => Promise<void>} attempt
 */
async function firstOf(urls, attempt) {
  /** @type {unknown} */
  let last;
  for (const url of urls) {
    try {
      return await attempt(url);
    } catch (error) {
      throwIfInterrupted();
      last = error;
    }
  }
  throw last;
}

/**
 * @param {{env: NodeJS.ProcessEnv, step: import("./ui.mjs").Step}} context
 * @param {string} url https
 * @param {string} file
 */
export async function download({ env }, url, file) {
  // curl knows proxies and the system's certificates; without it, Node.js's own client.
  if (which("curl", env)) {
    const args = ["-fsSL", "--proto", "=https", "--connect-timeout", String(CONNECT_MS / 1000)];
    args.push("--speed-limit", "1024", "--speed-time", String(STALL_MS / 1000), "-o", file, url);
    try {
      await run("curl", args, { env });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new Error(`${new URL(url).host} cannot be used: ${error.output.at(-1) ?? error.message}`);
    }
    return;
  }
  await viaNode(url, file, 5);
}

/**
 * @param {string} url
 * @param {string} file
 * @param {number} redirects how many more are followed
 * @returns {Promise<void>}
 */
function viaNode(url, file, redirects) {
  return new Promise((resolve, reject) => {
    const fail = (/** @type {string} */ text) =>
      reject(new Error(`${new URL(url).host} cannot be used: ${text}`));
    const request = get(url, (response) => {
      clearTimeout(timer);
      const { statusCode = 0, headers } = response;
      if (statusCode >= 300 && statusCode < 400 && headers.location && redirects > 0) {
        response.resume();
        const next = new URL(headers.location, url);
        if (next.protocol !== "https:") fail("it redirects to an address that is not https");
        else viaNode(next.href, file, redirects - 1).then(resolve, reject);
        return;
      }
      if (statusCode !== 200) {
        response.resume();
        fail(`it answers ${statusCode}`);
        return;
      }
      response.setTimeout(STALL_MS, () => request.destroy(new Error("the transfer stopped")));
      pipeline(response, createWriteStream(file)).then(resolve, (error) => fail(error.message));
    });
    const timer = setTimeout(() => request.destroy(new Error("no connection")), CONNECT_MS);
    request.on("error", (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
  });
}

/**
 * Unpacks a .tar.gz or (Windows, whose tar reads it) .zip without its outermost folder.
 * @param {{env: NodeJS.ProcessEnv}} context
 * @param {string} archive
 * @param {string} folder
 */
export async function unpack({ env }, archive, folder) {
  mkdirSync(folder, { recursive: true });
  await run("tar", ["-xf", archive, "-C", folder, "--strip-components=1"], { env, deadlineMs: 300_000 });
}
