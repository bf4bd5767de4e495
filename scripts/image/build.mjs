/**
 * @file Builds an image and the parents it lacks, one build at a time on this computer.
 */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { newFolder } from "../lib/files.mjs";
import { duration, size } from "../lib/format.mjs";
import { places } from "../lib/paths.mjs";
import { agentFiles } from "./agent.mjs";
import { operatorAuthorities } from "./authorities.cjs";
import { contextFiles, imageRef, lineage, recipe } from "./catalog.cjs";
import { Engine } from "./engine.mjs";
import { withLock } from "./lock.mjs";
import { ensureRootfs } from "./rootfs.mjs";
import { buildSettings } from "./settings.mjs";

/** Longest build there is (the workspace on 2 cores takes about 10 minutes), with room for slow mirrors. */
const BUILD_MS = 60 * 60_000;

/** So many versions of an image stay on the engine: going back and forth between branches builds nothing. */
const KEPT = 3;

/**
 * @typedef {{name: string, ref: string, id: string, bytes: number}} BuiltImage
 */

/**
 * Builds what is missing of an image's lineage.
 * @param {string} name
 * @param {Engine} [engine]
 * @returns {Promise<BuiltImage>}
 */
export async function buildImage(name, engine = new Engine()) {
  await engine.check();
  const ref = imageRef(name);
  const there = await engine.image(ref);
  if (there) return { name, ref, ...there };
  return withLock(join(places().cache, "images", "lock"), progress(name), async () => {
    let built;
    for (const member of lineage(name)) built = await buildOne(engine, member);
    return /** @type {BuiltImage} */ (built);
  });
}

/**
 * A line on stderr with the time of day and what has passed since the first one.
 * @param {string} name
 * @returns {(text: string) => void}
 */
export function progress(name) {
  const began = Date.now();
  return (text) => {
    const clock = new Date().toTimeString().slice(0, 8);
    process.stderr.write(`${clock} image ${name}: ${text} (${duration(Date.now() - began)})\n`);
  };
}

/**
 * @param {Engine} engine
 * @param {string} name
 * @returns {Promise<BuiltImage>}
 */
async function buildOne(engine, name) {
  const ref = imageRef(name);
  const there = await engine.image(ref);
  if (there) return { name, ref, ...there };
  const { parent, parcel, maxBytes, roomBytes } = recipe(name);
  const say = progress(name);
  await engine.needRoom(roomBytes, `the image ${name}`);
  const from = parcel
    ? []
    : parent === undefined
      ? [`ROOTFS=${await ensureRootfs(engine, say)}`]
      : [`PARENT=${imageRef(parent)}`, `BASE=${imageRef(lineage(name)[0] ?? "")}`];

  const context = newFolder(join(places().cache, "images"), `context-${name}`);
  try {
    stage(context, contextFiles(name));
    if (parcel) stage(context, await agentFiles(engine, say));
    else if (parent === undefined) stage(context, authorities());
    await dockerBuild(engine, { name, ref, from, context, say });
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
  const made = await engine.image(ref);
  if (!made) throw new Error(`image ${name}: the build ended well, yet the engine has no ${ref}.`);
  if (made.bytes > maxBytes) {
    await engine.run(["image", "rm", ref], { deadlineMs: 60_000 });
    throw new Error(
      `image ${name}: ${size(made.bytes)}, which is more than the ${size(maxBytes)} allowed (IMAGES in scripts/image/catalog.cjs). Make images/${name} smaller.`,
    );
  }
  say(`built ${ref}, ${size(made.bytes)}`);
  await dropOld(engine, name);
  return { name, ref, ...made };
}

/**
 * Drops the tags of earlier versions beyond the newest few. Docker refuses where a container uses one; it stays then.
 * @param {Engine} engine
 * @param {string} name
 */
async function dropOld(engine, name) {
  const args = [
    "image",
    "ls",
    "--filter",
    `label=berth.image=${name}`,
    "--format",
    "{{.Repository}}:{{.Tag}}",
  ];
  const { stdout } = await engine.run(args, { deadlineMs: 60_000 });
  // Newest first. A stack's own tags and images without one are not Berth's cache.
  const tags = stdout.split("\n").filter((tag) => new RegExp(`^berth/${name}:[0-9a-f]{12}$`).test(tag));
  for (const tag of tags.slice(KEPT)) {
    await engine.run(["image", "rm", tag], { deadlineMs: 60_000, okCodes: [0, 1] });
  }
}

/**
 * Puts files into a build context, with modes that do not depend on the checkout's umask.
 * @param {string} context
 * @param {{path: string, content: string | Buffer, mode: number}[]} files
 */
function stage(context, files) {
  for (const file of files) {
    const path = join(context, file.path);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(path, file.content);
    chmodSync(path, file.mode);
  }
}

/** The operator's own, for the first image. */
function authorities() {
  return operatorAuthorities().map(({ fingerprint, pem }) => ({
    path: `certs/${fingerprint.slice(0, 16)}.crt`,
    content: pem,
    mode: 0o644,
  }));
}

/**
 * @param {Engine} engine
 * @param {{name: string, ref: string, from: string[], context: string, say: (text: string) => void}} build
 */
async function dockerBuild(engine, { name, ref, from, context, say }) {
  const log = join(places().cache, "images", `${name}.log`);
  mkdirSync(dirname(log), { recursive: true });
  writeFileSync(log, "");
  const buildx = await engine.hasBuildx();
  const dockerfile = readFileSync(join(context, "Dockerfile"), "utf8");
  const settings = await buildSettings(dockerfile);
  const args = ["build"];
  for (const image of from) {
    if (new RegExp(`^ARG ${image.split("=")[0]}$`, "m").test(dockerfile)) args.push("--build-arg", image);
  }
  // Only the names: docker takes the values from its environment, so that no URL is seen on a command line.
  for (const variable of Object.keys(settings)) args.push("--build-arg", variable);
  if (process.env.BERTH_BUILD_NETWORK) args.push("--network", process.env.BERTH_BUILD_NETWORK);
  if (buildx) args.push("--progress", "plain");
  // Half of a container's usual share, so that what runs already stays usable.
  else args.push("--force-rm", "--cpu-shares", "512");
  // BuildKit's default driver has the engine's own images, which PARENT is; another builder may not.
  const builder = buildx ? { DOCKER_BUILDKIT: "1", BUILDX_BUILDER: "default" } : { DOCKER_BUILDKIT: "0" };
  /** @param {string[]} more @param {string} label */
  const build = (more, label) =>
    engine.run([...args, ...more, context], {
      deadlineMs: BUILD_MS,
      env: { ...engine.env, ...settings, ...builder },
      onLine: (line) => {
        appendFileSync(log, `${label}${line}\n`);
        const step = /^Step (\d+\/\d+ : .*)|^#\d+ (\[.*)/.exec(line);
        if (step) say(`${label}${(step[1] ?? step[2] ?? "").slice(0, 100)}`);
      },
    });
  if (!buildx) await buildStages(stagesOf(dockerfile), build);
  await build(["--tag", ref, "--label", `berth.image=${name}`], "");
}

/**
 * The named stages of a Dockerfile, each as a Dockerfile of its own; less those that copy from another stage.
 * @param {string} dockerfile
 * @returns {{name: string, text: string}[]}
 */
export function stagesOf(dockerfile) {
  const [head = "", ...parts] = dockerfile.split(/^(?=FROM\s)/m);
  return parts.flatMap((part) => {
    const name = /^FROM\s+\S+\s+AS\s+([\w-]+)\s*$/im.exec(part)?.[1];
    return name === undefined || /^COPY\s+--from=/m.test(part) ? [] : [{ name, text: head + part }];
  });
}

/**
 * The builder before BuildKit makes one stage after the other; made beforehand, side by side, they are in its cache.
 * @param {{name: string, text: string}[]} stages
 * @param {(more: string[], label: string) => Promise<unknown>} build
 * @throws the first one's error, when all have ended
 */
async function buildStages(stages, build) {
  const folder = newFolder(join(places().cache, "images"), "stages");
  try {
    const ended = await Promise.allSettled(
      stages.map(({ name, text }) => {
        writeFileSync(join(folder, name), text);
        return build(["--file", join(folder, name)], `${name}: `);
      }),
    );
    for (const one of ended) if (one.status === "rejected") throw one.reason;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
