/**
 * @file Copies a built image to a stack's registry, on this computer or, through SSH, on another machine.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, CommandError, throwIfInterrupted } from "../lib/process.mjs";
import { showTarget } from "../lib/ssh.mjs";
import { progress } from "./build.mjs";
import { contentHash, imageRef } from "./catalog.cjs";
import { Engine } from "./engine.mjs";
import { openTunnel } from "./tunnel.mjs";

/** The workspace image over the loopback takes about a minute; a busy disk longer. */
const PUSH_MS = 30 * 60_000;

/** Over the internet: 900 MB at 1 Mbit/s. */
const FAR_PUSH_MS = 2 * 60 * 60_000;

/** A registry starts in about 2 s; a busy machine takes longer. */
const REGISTRY_MS = 60_000;

/** A connection that breaks is opened again so often: what the registry has already is not sent twice. */
const TUNNELS = 3;

/** What a manifest may be: of one image, or of several platforms', in Docker's words or OCI's. */
const MANIFESTS = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
].join(", ");

/**
 * @typedef {object} Push
 * @property {string} name
 * @property {string} stack
 * @property {string} registry `HOST:PORT`; with `through`, as that machine knows it
 * @property {{username: string, password: string}} account
 * @property {{target: import("../lib/ssh.mjs").SshTarget, sshOptions: string[]}} [through] the machine that
 *   reaches the registry
 */

/**
 * Pushes an image and leaves neither a tag of the registry on the engine nor a tunnel.
 * @param {Engine} engine
 * @param {Push} push
 * @returns {Promise<{digest: string}>}
 */
export async function pushImage(engine, push) {
  const { name, registry, through } = push;
  const host = await endpoint(engine);
  if (through && isElsewhere(host)) {
    throw new Error(
      `push ${name} --through: the docker command uses the engine at ${host}, on another computer; the SSH tunnel begins on this one, where that engine cannot reach it. Run this where the engine runs, or use an engine here (unset DOCKER_HOST, or: docker context use default).`,
    );
  }
  await engine.check();
  const ref = imageRef(name);
  if (!(await engine.image(ref))) {
    throw new Error(
      `push ${name}: ${ref} is not on the engine. Build it first: node scripts/image.mjs build ${name}`,
    );
  }
  if (!through) return pushTo(engine, { ...push, host, deadlineMs: PUSH_MS });
  for (let tunnels = 1; ; tunnels++) {
    const tunnel = await openTunnel(through.target, through.sshOptions, registry);
    const local = `127.0.0.1:${tunnel.port}`;
    try {
      return await pushTo(engine, {
        ...push,
        registry: local,
        host,
        deadlineMs: FAR_PUSH_MS,
        say: progress(name),
        broken: tunnel.broken,
      });
    } catch (error) {
      throwIfInterrupted();
      const broken = tunnel.broken();
      if (broken !== undefined) {
        if (tunnels < TUNNELS) continue;
        throw new Error(
          `push ${name}: the SSH tunnel to ${showTarget(through.target)} broke ${tunnels} times: ${broken}`,
        );
      }
      throw await explain(error, { name, local, registry, target: through.target });
    } finally {
      await tunnel.close();
    }
  }
}

/**
 * @param {Engine} engine
 * @param {Push & {host: string | undefined, deadlineMs: number, say?: (text: string) => void,
 *   broken?: () => string | undefined}} push
 * @returns {Promise<{digest: string}>}
 */
async function pushTo(engine, { name, registry, stack, account, host, deadlineMs, say, broken }) {
  const tag = `${stack}-${contentHash(name)}`;
  const target = `${registry}/berth/${name}:${tag}`;
  const config = mkdtempSync(join(tmpdir(), "berth-push-"));
  const told = say && layers(say);
  try {
    // Docker reads the password from a file of this run alone; the user's own sign-ins are left as they are.
    const auth = Buffer.from(`${account.username}:${account.password}`).toString("base64");
    writeFileSync(join(config, "config.json"), JSON.stringify({ auths: { [registry]: { auth } } }), {
      mode: 0o600,
    });
    const env = { ...engine.env, DOCKER_CONFIG: config, DOCKER_HOST: host };
    await answering(registry, broken);
    await engine.run(["tag", imageRef(name), target], { deadlineMs: 30_000 });
    const { stdout } = await engine.run(["push", target], { env, deadlineMs, onLine: told?.onLine });
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(stdout)?.[1];
    if (!digest) throw new Error(`push ${name}: the engine did not say the digest of ${target}.`);
    const held = await heldDigest(`http://${registry}/v2/berth/${name}/manifests/${tag}`, auth);
    if (held !== digest) {
      throw new Error(
        `push ${name}: the engine pushed ${digest}, yet the registry at ${registry} has ${held} as ${tag}. Another push under this stack's name came between: run this again.`,
      );
    }
    return { digest };
  } finally {
    told?.end();
    rmSync(config, { recursive: true, force: true });
    await removePushed(engine, { name, stack, spare: (tag) => isOthers(tag, registry) });
  }
}

/**
 * Tells how far a push is, from the engine's lines: after 2 s, then every 10 s.
 * @param {(text: string) => void} say
 * @returns {{onLine: (line: string) => void, end: () => void}}
 */
function layers(say) {
  const all = new Set();
  const done = new Set();
  const tell = () =>
    say(all.size === 0 ? "waiting for the registry" : `pushed ${done.size} of ${all.size} layers`);
  /** @type {NodeJS.Timeout} */
  let timer = setTimeout(() => {
    tell();
    timer = setInterval(tell, 10_000);
  }, 2000);
  return {
    onLine: (line) => {
      const [, layer, state = ""] = /^([0-9a-f]{12}): (.*)$/.exec(line) ?? [];
      if (!layer) return;
      all.add(layer);
      if (/^(Pushed|Layer already exists|Mounted)/.test(state)) done.add(layer);
    },
    end: () => clearTimeout(timer),
  };
}

/**
 * @param {string} url of a manifest
 * @param {string} auth
 * @returns {Promise<string>} the registry's word for it
 */
async function heldDigest(url, auth) {
  const headers = { Accept: MANIFESTS, Authorization: `Basic ${auth}` };
  const answer = await fetch(url, { method: "HEAD", headers, signal: AbortSignal.timeout(60_000) });
  return answer.headers.get("docker-content-digest") ?? `no digest (HTTP ${answer.status})`;
}

/** The registry did not answer. */
class SilentRegistry extends Error {}

/**
 * Waits until the registry, which may have been started a moment ago, answers.
 * @param {string} registry
 * @param {() => string | undefined} [broken] why there is no hope, when there is none
 */
async function answering(registry, broken = () => undefined) {
  const end = Date.now() + REGISTRY_MS;
  for (;;) {
    throwIfInterrupted();
    try {
      const { status } = await fetch(`http://${registry}/v2/`, { signal: AbortSignal.timeout(5000) });
      // 401: it asks for a sign-in, as it should.
      if (status === 200 || status === 401) return;
      throw new Error(`HTTP ${status}`);
    } catch (error) {
      if (broken() !== undefined || Date.now() > end) {
        const cause = error instanceof Error && error.cause ? ` (${error.cause})` : "";
        throw new SilentRegistry(
          `push: the registry at ${registry} did not answer within ${REGISTRY_MS / 1000} s: ${error}${cause}`,
        );
      }
      await new Promise((wake) => setTimeout(wake, 200));
    }
  }
}

/**
 * Drops the tags of pushes of this stack. The image itself stays under its `berth/NAME:HASH`.
 * @param {Engine} engine
 * @param {{name: string, stack: string, spare?: (tag: string) => Promise<boolean>}} push `spare`: tags that stay
 */
export async function removePushed(engine, { name, stack, spare = async () => false }) {
  const args = [
    "image",
    "ls",
    "--format",
    "{{.Repository}}:{{.Tag}}",
    "--filter",
    `reference=*/berth/${name}:${stack}-*`,
  ];
  const { stdout } = await engine.run(args, { deadlineMs: 60_000, quietInterrupt: true });
  // The stack "a" must not take the tags of the stack "a-b".
  const own = new RegExp(`/berth/${name}:${stack}-[0-9a-f]{12}$`);
  for (const tag of stdout.split("\n").filter((line) => own.test(line))) {
    if (await spare(tag)) continue;
    // Another push of this stack may have dropped it meanwhile.
    await engine.run(["image", "rm", tag], { deadlineMs: 60_000, quietInterrupt: true, okCodes: [0, 1] });
  }
}

/**
 * Whether a tag belongs to another push that goes on: through a tunnel of its own, which answers on its port. That
 * of a killed push does not.
 * @param {string} tag
 * @param {string} registry that of this push
 * @returns {Promise<boolean>}
 */
function isOthers(tag, registry) {
  const address = tag.slice(0, tag.indexOf("/"));
  const port = /^127\.0\.0\.1:(\d+)$/.exec(address)?.[1];
  if (address === registry || port === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: Number(port), timeout: 2000 });
    /** @param {boolean} answer */
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

/**
 * @param {string | undefined} host an engine's address
 * @returns {boolean} whether it is on another computer
 */
export function isElsewhere(host) {
  if (!host || !/^(tcp|ssh|https?):\/\//.test(host)) return false;
  return !/^(tcp|https?):\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?\/?$/.test(host);
}

/**
 * What a failed push through a tunnel means to the reader.
 * @param {unknown} error
 * @param {{name: string, local: string, registry: string, target: import("../lib/ssh.mjs").SshTarget}} push
 * @returns {Promise<unknown>}
 */
async function explain(error, { name, local, registry, target }) {
  const output = error instanceof CommandError ? error.output : [];
  if (output.some((line) => line.includes(local) && /connection refused|i\/o timeout|no route/.test(line))) {
    return new CommandError(
      `push ${name}: the engine does not reach ${local} of this computer, where the SSH tunnel begins: it runs in a virtual machine or a network of its own (Docker Desktop, rootless Docker). Use an engine that runs on this computer itself.`,
      1,
      output,
    );
  }
  if (error instanceof SilentRegistry) {
    return new Error(
      `push ${name}: ${showTarget(target)} was reached, but the registry at ${registry} there did not answer within ${REGISTRY_MS / 1000} s. Does it run (docker ps there), and does sshd allow forwarding (AllowTcpForwarding)? ${error.message}`,
    );
  }
  return error;
}

/**
 * The engine that the user's docker context means: with another DOCKER_CONFIG docker would not know it.
 * @param {Engine} engine
 * @returns {Promise<string | undefined>}
 */
async function endpoint(engine) {
  if (engine.env.DOCKER_HOST) return engine.env.DOCKER_HOST;
  const format = "{{.Endpoints.docker.Host}}";
  return (await ask("docker", ["context", "inspect", "--format", format], { env: engine.env })) || undefined;
}
