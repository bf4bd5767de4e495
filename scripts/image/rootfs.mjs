/**
 * @file The root file system that the first image begins from: Debian 13, from the public image registry where one
 * answers, else made here by mmdebstrap from a Debian mirror.
 */
import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { newFolder } from "../lib/files.mjs";
import { places } from "../lib/paths.mjs";
import { CommandError } from "../lib/process.mjs";
import { ROOTFS } from "./catalog.cjs";
import { mmdebstrap } from "./mmdebstrap.mjs";

/** A registry that says nothing for so long is taken for absent. Docker Hub answers in 1-3 s. */
const PULL_SILENCE_MS = 20_000;
/** The whole pull (30 MB). */
const PULL_MS = 300_000;
/** mmdebstrap takes half a minute on 2 cores; a slow mirror may take long. */
const BOOTSTRAP_MS = 1_200_000;

/**
 * @typedef {import("./engine.mjs").Engine} Engine
 * @typedef {(text: string) => void} Say
 */

/**
 * Makes sure that the engine has a Debian root file system and gives its reference.
 * @param {Engine} engine
 * @param {Say} say
 * @returns {Promise<string>}
 * @throws {Error} when neither way works: says what to install
 */
export async function ensureRootfs(engine, say) {
  const key = createHash("sha256").update(JSON.stringify(ROOTFS)).digest("hex").slice(0, 12);
  const ref = `berth/rootfs:${key}`;
  if (await engine.image(ref)) return ref;
  const reason = await pull(engine, ref, say);
  if (reason === undefined) return ref;
  say(`no image registry answers (${reason}): making Debian ${ROOTFS.suite} with mmdebstrap`);
  const tar = await bootstrap(key, say);
  await engine.run(["import", tar, ref], { deadlineMs: 300_000 });
  return ref;
}

/**
 * @param {Engine} engine
 * @param {string} ref
 * @param {Say} say
 * @returns {Promise<string | undefined>} why not; undefined when it worked
 */
async function pull(engine, ref, say) {
  const stop = new AbortController();
  let pid = 0;
  let heard = Date.now();
  const watch = setInterval(() => {
    if (Date.now() - heard > PULL_SILENCE_MS && pid) stop.abort();
  }, 1000);
  stop.signal.addEventListener("abort", () => {
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // It has ended meanwhile.
    }
  });
  say(`asking the image registry for ${ROOTFS.pull.split("@")[0]}`);
  try {
    await engine.run(["pull", ROOTFS.pull], {
      deadlineMs: PULL_MS,
      onStart: (started) => {
        pid = started;
      },
      onLine: () => {
        heard = Date.now();
      },
    });
    await engine.run(["tag", ROOTFS.pull, ref], { deadlineMs: 30_000 });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (stop.signal.aborted) return `silent for ${PULL_SILENCE_MS / 1000} s`;
    return (
      error.output
        .filter((line) => line.trim())
        .pop()
        ?.slice(0, 160) ?? error.message
    );
  } finally {
    clearInterval(watch);
  }
}

/**
 * @param {string} key
 * @param {Say} say
 * @returns {Promise<string>} path of the tar, kept in BERTH_CACHE/rootfs
 */
async function bootstrap(key, say) {
  const dir = join(places().cache, "rootfs");
  const tar = join(dir, `debian-${ROOTFS.suite}-${key}.tar`);
  if (existsSync(tar)) return tar;
  const folder = newFolder(dir, key);
  const partial = join(folder, "partial.tar");
  try {
    await mmdebstrap(ROOTFS, partial, {
      ...{ say, deadlineMs: BOOTSTRAP_MS },
      what: "The images begin from Debian, and neither way to get it works: no image registry answers",
      instead: ", or let the Docker engine reach a registry (docker pull debian:trixie-slim must work)",
    });
    renameSync(partial, tar);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return tar;
}
