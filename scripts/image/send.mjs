/**
 * @file Copies a built image to another machine's engine, over SSH.
 */
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { shellQuote, size } from "../lib/format.mjs";
import { CommandError, run, throwIfInterrupted } from "../lib/process.mjs";
import { showTarget, sshTo } from "../lib/ssh.mjs";
import { progress } from "./build.mjs";
import { imageRef } from "./catalog.cjs";
import { start } from "./child.mjs";

/** @typedef {import("./engine.mjs").Engine} Engine */
/** @typedef {import("../lib/ssh.mjs").SshTarget} SshTarget */

/** For the questions before and after: SSH through a jump host, an engine under load. */
const ASK_MS = 120_000;
/** No byte has moved for so long: a slow disk or engine takes less, a dead connection is noticed earlier. */
const STALL_MS = 5 * 60_000;
/** The machine's engine unpacks the workspace image: a minute, on a slow disk some more. */
const UNPACK_MS = 30 * 60_000;
/** For the last words of a program whose pipe has closed. */
const SETTLE_MS = 10_000;
/** Docker reads zstd since this version (moby#41759); all read gzip. */
const ZSTD_SINCE = 23;

/**
 * What tells images apart. Two kinds of Docker image stores give the same image different ids; layers and time of
 * making are the same.
 */
const FORMAT = '{"id":{{json .Id}},"created":{{json .Created}},"layers":{{json .RootFS.Layers}}}';
/** @typedef {{id: string, created: string, layers: string[]}} Contents */

/**
 * Copies an image, unless the machine has it. Tags of earlier versions are dropped there once it is.
 * @param {Engine} engine
 * @param {{name: string, target: SshTarget, sshOptions: string[]}} send
 * @returns {Promise<{name: string, ref: string, id: string}>} `id`: as the machine's engine calls it
 */
export async function sendImage(engine, { name, target, sshOptions }) {
  await engine.check();
  const ref = imageRef(name);
  const here = await engine.image(ref);
  if (!here) {
    throw new Error(
      `send ${name}: ${ref} is not on the engine. Build it first: node scripts/image.mjs build ${name}`,
    );
  }
  const inspect = ["image", "inspect", "--format", FORMAT, ref];
  const mine = /** @type {Contents} */ (
    JSON.parse((await engine.run(inspect, { deadlineMs: ASK_MS })).stdout)
  );
  for (let tries = 1; ; tries++) {
    const there = await askMachine(name, ref, target, sshOptions);
    if (there.image && same(mine, there.image)) return { name, ref, id: there.image.id };
    try {
      const id = await carry(engine, { name, ref, bytes: here.bytes, there, target, sshOptions });
      return { name, ref, id };
    } catch (error) {
      throwIfInterrupted();
      // The machine's engine ended under the copy, as when it is updated or set up at the same time.
      if (tries > 1 || !/error during connect|Cannot connect to the Docker daemon/.test(String(error)))
        throw error;
      progress(name)(`${error instanceof Error ? error.message : error}; once more`);
    }
  }
}

/**
 * Drops what `sendImage` left on a machine, whatever its version. A container that runs keeps its image.
 * @param {{name: string, target: SshTarget, sshOptions: string[]}} sent
 */
export async function dropSent({ name, target, sshOptions }) {
  const { docker } = await askMachine(name, imageRef(name), target, sshOptions);
  const script = dropScript({ docker, name });
  await run("ssh", [...sshTo(target, sshOptions), `sh -c ${shellQuote(script)}`], { deadlineMs: ASK_MS });
}

/**
 * @param {Contents} a
 * @param {Contents} b
 */
export function same(a, b) {
  return a.id === b.id || (a.created === b.created && JSON.stringify(a.layers) === JSON.stringify(b.layers));
}

/**
 * @param {string} ref
 * @returns {string} for sh: finds a way to the engine, prints one line that begins with "berth-image "
 */
export function askScript(ref) {
  return `docker=docker
version=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || version=
if [ -z "$version" ] && [ "$(id -u)" -ne 0 ]; then
  docker='sudo -n docker'
  version=$(sudo -n docker version --format '{{.Server.Version}}' 2>/dev/null) || version=
fi
if [ -z "$version" ]; then
  $docker version >/dev/null
  exit 1
fi
image=$($docker image inspect --format '${FORMAT}' ${shellQuote(ref)} 2>/dev/null) || image=null
printf 'berth-image {"docker":"%s","version":"%s","image":%s}\\n' "$docker" "$version" "$image"
`;
}

/**
 * @param {{docker: string, name: string, ref: string}} load
 * @returns {string} for sh: takes the image from standard input, prints its id on a line "berth-image ID"
 */
export function loadScript({ docker, name, ref }) {
  return `set -e
${docker} load --quiet >&2
id=$(${docker} image inspect --format '{{.Id}}' ${shellQuote(ref)})
${dropScript({ docker, name, keep: ref })}
printf 'berth-image %s\\n' "$id"
`;
}

/**
 * A container that still runs keeps its image: that tag goes the next time.
 * @param {{docker: string, name: string, keep?: string}} drop
 * @returns {string} for sh: drops the tags of an image but one
 */
export function dropScript({ docker, name, keep = "" }) {
  return `${docker} image ls --format '{{.Repository}}:{{.Tag}}' 'berth/${name}' | while read -r tag; do
  if [ "$tag" != ${shellQuote(keep)} ]; then ${docker} image rm "$tag" >/dev/null 2>&1 || :; fi
done`;
}

/**
 * @typedef {{docker: string, version: string, image: Contents | null}} Machine
 * `docker`: the command that reaches the engine
 */

/**
 * @param {string} name
 * @param {string} ref
 * @param {SshTarget} target
 * @param {string[]} sshOptions
 * @returns {Promise<Machine>}
 */
async function askMachine(name, ref, target, sshOptions) {
  const args = [...sshTo(target, sshOptions), `sh -c ${shellQuote(askScript(ref))}`];
  try {
    const { stdout } = await run("ssh", args, { deadlineMs: ASK_MS });
    const line = /^berth-image (.*)$/m.exec(stdout)?.[1];
    if (line === undefined)
      throw new Error(`${showTarget(target)} did not answer as sh does: ${stdout.slice(0, 200)}`);
    return JSON.parse(line);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const what =
      error.code === 1
        ? `no Docker engine answers ${target.user} on ${target.host}, neither directly nor by "sudo -n docker"`
        : `${showTarget(target)} cannot be asked over SSH: ${error.message}`;
    throw new CommandError(`image ${name}: ${what}`, error.code, error.output);
  }
}

/**
 * zstd 3 packs the workspace image (2.5 GB) in 15 s to 731 MB, gzip 1 in 32 s to 887 MB; `docker save` alone takes
 * 23 s, so that packing pays on any network slower than 100 MB/s and costs little on others.
 * @param {string} version of the machine's engine
 */
export function packing(version) {
  const chunkSize = 2 ** 18;
  if (Number(version.split(".")[0]) >= ZSTD_SINCE) {
    const params = { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 };
    return () => createZstdCompress({ chunkSize, params });
  }
  return () => createGzip({ level: 1, chunkSize });
}

/**
 * @param {Engine} engine
 * @param {{name: string, ref: string, bytes: number, there: Machine, target: SshTarget, sshOptions: string[]}} copy
 * @returns {Promise<string>} the image's id on the machine
 */
async function carry(engine, { name, ref, bytes, there, target, sshOptions }) {
  throwIfInterrupted();
  const flow = { taken: 0, packed: 0, moved: Date.now(), whole: false, stalled: false };
  const load = loadScript({ docker: there.docker, name, ref });
  const save = start("docker", ["save", ref], engine.env);
  const ssh = start("ssh", [...sshTo(target, sshOptions), `sh -c ${shellQuote(load)}`]);
  save.stdin.end();
  const stop = () => Promise.all([save.stop(), ssh.stop()]);
  /** @type {string | undefined} */
  let cause;
  for (const { ended } of [save, ssh]) void ended.then(({ problem }) => (cause ??= problem || undefined));
  let printed = "";
  ssh.stdout.setEncoding("utf8").on("data", (chunk) => {
    printed += chunk;
  });
  const reporter = report(name, target.host, bytes, flow, stop);
  try {
    const [taken, packed] = [counted(flow, "taken"), counted(flow, "packed")];
    try {
      await pipeline(save.stdout, taken, packing(there.version)(), packed, ssh.stdin, { end: false });
      // The end is told only when the engine gave all of it: else the machine may take a part for the whole.
      flow.whole = (await save.ended).problem === "";
    } catch (error) {
      // One of the two ended early, and says why.
      await settled(ssh);
      cause ??= `the copy broke off: ${error instanceof Error ? error.message : error}`;
    }
    if (flow.whole) {
      ssh.stdin.end();
      await ssh.ended;
    }
    await stop();
    throwIfInterrupted();
    if (flow.stalled) throw new Error("nothing has moved for minutes, so it was ended");
    if (cause !== undefined) throw new Error(cause);
    const id = /^berth-image (sha256:[0-9a-f]{64})$/m.exec(printed)?.[1];
    if (!id) throw new Error(`its engine took the image, and yet has no ${ref}`);
    reporter.done();
    return id;
  } catch (error) {
    throwIfInterrupted();
    const why = error instanceof Error ? error.message : error;
    throw new Error(`send ${name} to ${showTarget(target)}: ${why}`);
  } finally {
    reporter.end();
    await stop();
  }
}

/** @typedef {{taken: number, packed: number, moved: number, whole: boolean, stalled: boolean}} Flow */

/**
 * @param {Flow} flow
 * @param {"taken" | "packed"} what
 */
function counted(flow, what) {
  return async function* (/** @type {AsyncIterable<Buffer>} */ source) {
    for await (const chunk of source) {
      flow[what] += chunk.length;
      flow.moved = Date.now();
      yield chunk;
    }
  };
}

/** Waits for a program's end, but not for long. @param {import("./child.mjs").Child} child */
async function settled(child) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, SETTLE_MS);
  });
  await Promise.race([child.ended, late]);
  clearTimeout(timer);
}

/**
 * Lines on stderr after the first 2 s, and an end to a copy that stands still.
 * @param {string} name
 * @param {string} host
 * @param {number} bytes
 * @param {Flow} flow
 * @param {() => Promise<unknown>} stop
 */
function report(name, host, bytes, flow, stop) {
  const say = progress(name);
  let told = false;
  const tick = () => {
    told = true;
    if (flow.whole) say(`sent to ${host}; its engine unpacks it`);
    else
      say(`sending to ${host}: ${size(flow.taken)} of about ${size(bytes)}, packed to ${size(flow.packed)}`);
    if (Date.now() - flow.moved < (flow.whole ? UNPACK_MS : STALL_MS)) return;
    flow.stalled = true;
    void stop();
  };
  /** @type {NodeJS.Timeout} */
  let timer = setTimeout(() => {
    tick();
    timer = setInterval(tick, 5000);
  }, 2000);
  return {
    done: () => told && say(`${host} has it: ${size(flow.taken)}, packed to ${size(flow.packed)}`),
    end: () => clearTimeout(timer),
  };
}
