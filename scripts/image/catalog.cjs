/**
 * @file Which images there are, what each is made from, and the hash that names its content. Reads files only. It is
 * CommonJS as the Pulumi program reads it too, and the loader of that one takes no ES module.
 */
const { createHash } = require("node:crypto");
const { readdirSync, readFileSync } = require("node:fs");
const { join, resolve } = require("node:path");
const { agentSources } = require("./agent-sources.cjs");
const { operatorAuthorities } = require("./authorities.cjs");

const ROOT = resolve(__dirname, "../..");

/**
 * The root file system that the first image begins from. A change here makes new images.
 * `pull` is Debian's official slim image of 2026, all platforms' index, by digest.
 */
const ROOTFS = {
  suite: "trixie",
  pull: "debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f",
  include: ["ca-certificates"],
  // As the official slim image: no manuals and translations; copyright files stay.
  dpkg: [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
  ],
};

/**
 * @typedef {object} ImageRecipe
 * @property {string} [parent] the image that its Dockerfile begins from (build argument PARENT); none: ROOTFS
 * @property {string[]} [shared] files of other recipes, by their paths below images/; they stand beside its own
 * @property {boolean} [parcel] files alone, with no system under them; made by scripts/image/agent.mjs
 * @property {number} maxBytes a build that comes out larger is an error
 * @property {number} roomBytes free room that a build from nothing needs on the engine's disk, stages included
 */

/**
 * The images. Sizes: measured, with about a third to spare; the workspace's bound is a promise to the user.
 * @type {Record<string, ImageRecipe>}
 */
const IMAGES = {
  base: { maxBytes: 150e6, roomBytes: 0.5e9 },
  node: { parent: "base", maxBytes: 300e6, roomBytes: 0.5e9 },
  registry: { parent: "base", maxBytes: 200e6, roomBytes: 0.3e9 },
  agent: { parcel: true, maxBytes: 75e6, roomBytes: 0.3e9 },
  dev: { parent: "base", shared: ["workspace/fetch-node.sh"], maxBytes: 600e6, roomBytes: 2e9 },
  ray: { parent: "base", maxBytes: 1.2e9, roomBytes: 3e9 },
  workspace: { parent: "ray", maxBytes: 3e9, roomBytes: 9e9 },
};

/** The folder of an image's recipe. @param {string} name */
const imageDir = (name) => join(ROOT, "images", name);

/**
 * @param {string} name
 * @returns {ImageRecipe}
 */
function recipe(name) {
  const found = Object.hasOwn(IMAGES, name) ? IMAGES[name] : undefined;
  if (!found)
    throw new Error(`There is no image ${JSON.stringify(name)}. Known: ${Object.keys(IMAGES).join(", ")}.`);
  return found;
}

/**
 * An image and all it is built on, the furthest parent first.
 * @param {string} name
 * @returns {string[]}
 */
function lineage(name) {
  const { parent } = recipe(name);
  return parent === undefined ? [name] : [...lineage(parent), name];
}

/**
 * The files of a recipe, sorted by path, with "/" between folders on every system. Python's and editors' leavings
 * are no part of it.
 * @param {string} dir
 * @param {string} [under]
 * @returns {{path: string, content: Buffer, mode: number}[]} `mode`: 0755 for what begins with "#!", else 0644,
 *   whatever the checkout's umask made of it
 */
function recipeFiles(dir, under = "") {
  const files = [];
  for (const entry of readdirSync(join(dir, under), { withFileTypes: true })) {
    if (entry.name === "__pycache__" || entry.name.endsWith("~") || entry.name.startsWith(".")) continue;
    const path = under ? `${under}/${entry.name}` : entry.name;
    if (entry.isDirectory()) files.push(...recipeFiles(dir, path));
    else {
      const content = readFileSync(join(dir, path));
      files.push({ path, content, mode: content.subarray(0, 2).toString() === "#!" ? 0o755 : 0o644 });
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * What an image's Dockerfile finds beside it: the files of its recipe, and those that it shares with another one.
 * @param {string} name
 * @returns {ReturnType<typeof recipeFiles>}
 */
function contextFiles(name) {
  const { shared = [] } = recipe(name);
  const files = shared.flatMap((path) => {
    const [owner = "", ...rest] = path.split("/");
    return recipeFiles(imageDir(owner)).filter((file) => file.path === rest.join("/"));
  });
  return [...recipeFiles(imageDir(name)), ...files];
}

/**
 * The content hash of an image: 12 hex characters over its recipe's files, its parent's hash, for the first image
 * the root file system's recipe and the operator's own authorities, for a parcel the sources of what is in it. Two computers with the same checkout and
 * the same authorities get the same one; packages that a distribution updates meanwhile do not change it.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 */
function contentHash(name, env = process.env) {
  return lineage(name).reduce((parent, member) => memberHash(member, parent, env), "");
}

/**
 * The content hash of every image, each worked out once.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Record<string, string>}
 */
function contentHashes(env = process.env) {
  /** @type {Record<string, string>} */
  const hashes = {};
  // Parents stand before their children in IMAGES.
  for (const [name, { parent }] of Object.entries(IMAGES))
    hashes[name] = memberHash(name, parent === undefined ? "" : (hashes[parent] ?? ""), env);
  return hashes;
}

/**
 * @param {string} name
 * @param {string} parent its parent's hash
 * @param {NodeJS.ProcessEnv} env
 */
function memberHash(name, parent, env) {
  const hash = createHash("sha256");
  const { parcel } = recipe(name);
  if (!parcel) {
    hash.update(parent || JSON.stringify(ROOTFS));
    if (!parent) for (const authority of operatorAuthorities(env)) hash.update(authority.fingerprint);
  }
  const sources = parcel ? agentSources().map((file) => ({ ...file, mode: 0o644 })) : [];
  for (const file of [...contextFiles(name), ...sources]) {
    hash.update(`\0${file.path}\0${file.mode}\0${file.content.length}\0`);
    hash.update(file.content);
  }
  return hash.digest("hex").slice(0, 12);
}

/** The tag on the operator's engine. @param {string} name @param {NodeJS.ProcessEnv} [env] */
const imageRef = (name, env = process.env) => `berth/${name}:${contentHash(name, env)}`;

exports.ROOTFS = ROOTFS;
exports.IMAGES = IMAGES;
exports.imageDir = imageDir;
exports.recipe = recipe;
exports.lineage = lineage;
exports.recipeFiles = recipeFiles;
exports.contextFiles = contextFiles;
exports.contentHash = contentHash;
exports.contentHashes = contentHashes;
exports.imageRef = imageRef;
