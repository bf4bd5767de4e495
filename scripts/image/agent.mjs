/**
 * @file What goes into the image `agent` besides its recipe: Node.js for the nodes, koffi's native part, the bundles.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { newFolder, placeFolder } from "../lib/files.mjs";
import { npmProgram } from "../lib/node.mjs";
import { places, ROOT, VERSIONS } from "../lib/paths.mjs";
import { ask, run } from "../lib/process.mjs";
import { bundleAgent } from "./agent-bundle.mjs";
import { readLock } from "./agent-sources.cjs";

/** 60 MB from a package registry; a slow one takes minutes. */
const FETCH_MS = 10 * 60_000;

/** What a Docker engine calls its processor, and what npm does. */
const ARCHES = /** @type {Record<string, string>} */ ({ amd64: "x64", arm64: "arm64" });

/** Node.js as nodes get it: its version, and the digest of each npm package that holds it. */
const NODE = /** @type {{version: string, integrity: Record<string, string>}} */ (
  JSON.parse(readFileSync(join(ROOT, "images/agent/node.json"), "utf8"))
);

/**
 * @param {import("./engine.mjs").Engine} engine its processor is the nodes'
 * @param {(text: string) => void} say
 * @returns {Promise<{path: string, content: Buffer, mode: number}[]>} for the build context
 */
export async function agentFiles(engine, say) {
  const { stdout } = await engine.run(["version", "--format", "{{.Server.Arch}}"], { deadlineMs: 20_000 });
  const arch = ARCHES[stdout.trim()];
  if (arch === undefined) {
    throw new Error(
      `image agent: no Node.js for the processor ${stdout.trim()}; there is one for ${Object.keys(ARCHES).join(" and ")}.`,
    );
  }
  return agentFilesFor(arch, say);
}

/**
 * The same for a processor that is known.
 * @param {string} arch as npm calls it, such as "x64"
 * @param {(text: string) => void} say
 * @returns {Promise<{path: string, content: Buffer, mode: number}[]>}
 */
export async function agentFilesFor(arch, say) {
  const folder = await nodeFolder(arch, say);
  const file = (/** @type {string} */ path, /** @type {Buffer} */ content, mode = 0o644) => ({
    path: `root/${path}`,
    content,
    mode,
  });
  const bundles = await bundleAgent();
  return [
    file("node.gz", packedNode(folder, arch)),
    file("LICENSE.node", readFileSync(join(folder, "LICENSE"))),
    file("koffi.node", await koffiNative(arch)),
    ...bundles.map(({ path, content }) => file(path, content)),
    ...(await completions(bundles.find(({ path }) => path === "berth.cjs"))).map(({ path, content }) =>
      file(path, content),
    ),
  ];
}

/**
 * What shells complete after `berth`, as the command itself prints it.
 * @param {import("./agent-bundle.mjs").Bundle | undefined} berth
 */
async function completions(berth) {
  if (!berth) throw new Error("the agent has no command");
  const { cache } = places();
  const folder = newFolder(cache, "berth-command");
  try {
    const program = join(folder, berth.path);
    writeFileSync(program, berth.content);
    const printed = async (/** @type {string} */ shell) =>
      Buffer.from(
        (await run(process.execPath, [program, "completion", shell], { deadlineMs: 60_000 })).stdout,
      );
    return [
      { path: "completion/berth.bash", content: await printed("bash") },
      { path: "completion/_berth", content: await printed("zsh") },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The folder with Node.js for Linux: the one that `npm start` brought where it is of the same kind, else from npm.
 * @param {string} arch
 * @param {(text: string) => void} say
 * @returns {Promise<string>}
 */
async function nodeFolder(arch, say) {
  const at = places();
  const name = `node-linux-${arch}`;
  const brought = join(at.nodeDir, "node_modules", name);
  if (
    NODE.version === VERSIONS.node &&
    existsSync(join(brought, "bin/node")) &&
    existsSync(join(brought, "LICENSE"))
  )
    return brought;
  const folder = join(at.cache, `${name}-${NODE.version}`);
  if (existsSync(join(folder, "bin/node"))) return folder;
  say(`fetching Node.js ${NODE.version} for the nodes`);
  const integrity = NODE.integrity[arch];
  if (integrity === undefined) throw new Error(`images/agent/node.json has no digest for ${name}.`);
  const made = await npmPackage(name, NODE.version, integrity);
  placeFolder(made, folder);
  return folder;
}

/**
 * Node.js, packed once for every image: pushed, pulled and copied it is a third of its size, and unpacked by the node.
 * @param {string} folder
 * @param {string} arch
 * @returns {Buffer}
 */
function packedNode(folder, arch) {
  const packed = join(places().cache, `node-linux-${arch}-${NODE.version}.gz`);
  if (existsSync(packed)) return readFileSync(packed);
  const content = gzipSync(readFileSync(join(folder, "bin/node")));
  const temporary = `${packed}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, packed);
  return content;
}

/**
 * koffi's native part for Linux with glibc.
 * @param {string} arch
 * @returns {Promise<Buffer>}
 */
export async function koffiNative(arch) {
  const name = `@koromix/koffi-linux-${arch}`;
  const native = `linux_${arch}/koffi.node`;
  const installed = join(ROOT, "node_modules", name, native);
  if (existsSync(installed)) return readFileSync(installed);
  const { version, integrity } = readLock()[`node_modules/${name}`] ?? {};
  if (!version || !integrity) throw new Error(`package-lock.json has no ${name}.`);
  const folder = await npmPackage(name, version, integrity);
  try {
    return readFileSync(join(folder, native));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * One npm package, of whatever system, checked against its digest.
 * @param {string} name
 * @param {string} version
 * @param {string} integrity `sha512-BASE64`
 * @returns {Promise<string>} a folder with its files, for the caller to move or remove
 */
async function npmPackage(name, version, integrity) {
  const { cache } = places();
  const folder = newFolder(cache, "npm-package");
  try {
    const npm = npmProgram(process.env);
    const registry = await ask(npm, ["config", "get", "registry"]);
    const { stdout } = await run(
      npm,
      ["pack", `${name}@${version}`, "--pack-destination", folder, "--json", "--ignore-scripts"],
      { cwd: folder, deadlineMs: FETCH_MS },
    );
    const archive = join(folder, JSON.parse(stdout)[0].filename.replace("@", "").replace("/", "-"));
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity)
      throw new Error(`${name} ${version} from ${registry} is not the file that was pinned.`);
    await run("tar", ["-xzf", archive, "-C", folder, "--strip-components=1"], { deadlineMs: 120_000 });
    rmSync(archive);
    return folder;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
