/**
 * @file Copies a built image to a stack's registry.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask } from "../lib/process.mjs";
import { contentHash, imageRef } from "./catalog.cjs";
import { Engine } from "./engine.mjs";

/** The workspace image over the loopback takes about a minute; a busy disk longer. */
const PUSH_MS = 30 * 60_000;

/** A registry starts in about 2 s; a busy machine takes longer. */
const REGISTRY_MS = 60_000;

/**
 * Pushes an image and leaves no tag of the registry on the engine.
 * @param {Engine} engine
 * @param {{name: string, registry: string, stack: string, account: {username: string, password: string}}} push
 * @returns {Promise<{digest: string}>}
 */
export async function pushImage(engine, { name, registry, stack, account }) {
  await engine.check();
  const ref = imageRef(name);
  if (!(await engine.image(ref))) {
    throw new Error(
      `push ${name}: ${ref} is not on the engine. Build it first: node scripts/image.mjs build ${name}`,
    );
  }
  const target = `${registry}/berth/${name}:${stack}-${contentHash(name)}`;
  const config = mkdtempSync(join(tmpdir(), "berth-push-"));
  try {
    // Docker reads the password from a file of this run alone; the user's own sign-ins are left as they are.
    const auth = Buffer.from(`${account.username}:${account.password}`).toString("base64");
    writeFileSync(join(config, "config.json"), JSON.stringify({ auths: { [registry]: { auth } } }), {
      mode: 0o600,
    });
    const env = { ...engine.env, DOCKER_CONFIG: config, DOCKER_HOST: await endpoint(engine) };
    await answering(registry);
    await engine.run(["tag", ref, target], { deadlineMs: 30_000 });
    const { stdout } = await engine.run(["push", target], { env, deadlineMs: PUSH_MS });
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(stdout)?.[1];
    if (!digest) throw new Error(`push ${name}: the engine did not say the digest of ${target}.`);
    return { digest };
  } finally {
    rmSync(config, { recursive: true, force: true });
    await removePushed(engine, { name, stack });
  }
}

/**
 * Waits until the registry, which may have been started a moment ago, answers.
 * @param {string} registry
 */
async function answering(registry) {
  const end = Date.now() + REGISTRY_MS;
  for (;;) {
    try {
      const { status } = await fetch(`http://${registry}/v2/`, { signal: AbortSignal.timeout(5000) });
      // 401: it asks for a sign-in, as it should.
      if (status === 200 || status === 401) return;
      throw new Error(`HTTP ${status}`);
    } catch (error) {
      if (Date.now() > end) {
        throw new Error(
          `push: the registry at ${registry} did not answer within ${REGISTRY_MS / 1000} s: ${error}`,
        );
      }
      await new Promise((wake) => setTimeout(wake, 200));
    }
  }
}

/**
 * Drops the tags of pushes of this stack. The image itself stays under its `berth/NAME:HASH`.
 * @param {Engine} engine
 * @param {{name: string, stack: string}} push
 */
export async function removePushed(engine, { name, stack }) {
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
    await engine.run(["image", "rm", tag], { deadlineMs: 60_000, quietInterrupt: true });
  }
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
