/**
 * Berth's own Pulumi plugins: bundles each into one file, packs it, and installs it into a PULUMI_HOME of
 * Berth's own, never into the user's, where it would pass for the official plugin in other projects.
 *
 *   node scripts/plugins.mjs build [NAME ...]      dist/<name>/, dist/pulumi-resource-<name>-v<version>.tar.gz
 *   node scripts/plugins.mjs install [NAME ...]    the same, and into BERTH_CACHE/pulumi-home
 *
 * Runs after `npm ci` (it needs esbuild). Nothing is done again whose sources have not changed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Plugin name -> the SDK package whose version it has to have. */
const SDKS = /** @type {Record<string, string>} */ ({
  cloudinit: "@pulumi/cloudinit",
  command: "@pulumi/command",
  digitalocean: "@pulumi/digitalocean",
  docker: "@pulumi/docker",
});

/** What the names of our own packages begin with. */
const OURS = "@berth/plugin-";

/** @typedef {{ name: string, version: string, archive: string, key: string }} BuiltPlugin */
/** @typedef {{ name: string, version: string, way: "built-in" | "already" }} InstalledPlugin */

/** Names of the plugins whose sources are there. */
export function pluginNames() {
  return Object.keys(SDKS).filter((name) => existsSync(join(root, "plugins", name, "src", "main.ts")));
}

/**
 * The version of the SDK package that is pinned in the root's dependencies.
 * @param {string} name
 */
async function versionOf(name) {
  const file = join(root, "package.json");
  const version = JSON.parse(await readFile(file, "utf8")).dependencies?.[SDKS[name] ?? ""];
  if (typeof version !== "string") throw new Error(`${file}: no dependency on ${SDKS[name]}`);
  return version;
}

/**
 * All files below a folder, sorted.
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/**
 * Changes when anything does that the bundle is made of: sources, this script, the pinned dependencies.
 * @param {string} name
 */
async function keyOf(name) {
  const hash = createHash("sha256");
  const { dependencies } = JSON.parse(await readFile(join(root, "plugins", name, "package.json"), "utf8"));
  const used = Object.keys(dependencies).filter((found) => found.startsWith(OURS));
  const folders = ["base", ...used.map((found) => found.slice(OURS.length)), name];
  const sources = [...new Set(folders)].map((folder) => filesBelow(join(root, "plugins", folder, "src")));
  const files = [
    ...(await Promise.all(sources)).flat(),
    join(root, "package-lock.json"),
    fileURLToPath(import.meta.url),
  ];
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(await readFile(file))
      .update("\0");
  return hash.digest("hex").slice(0, 16);
}

/**
 * The starter that the engine runs. It keeps the working directory, which local commands see.
 * @param {string} name
 */
function starter(name) {
  return `#!/bin/sh
# Starts Berth's ${name} plugin with the Node.js that BERTH_NODE names, else the one on PATH.
set -eu
self=$0
while [ -L "$self" ]; do
  link=$(readlink -- "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname -- "$self")/$link ;;
  esac
done
dir=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)
node=\${BERTH_NODE:-}
if [ -z "$node" ] && ! node=$(command -v node); then
  echo "pulumi-resource-${name}: no Node.js on PATH; install it or set BERTH_NODE to its path" >&2
  exit 1
fi
exec "$node" "$dir/plugin.js" "$@"
`;
}

/**
 * A gzipped ustar archive, the same bytes for the same files wherever it is made.
 * @param {{ name: string, content: Buffer, mode: number }[]} files
 */
function archiveOf(files) {
  const blocks = [];
  for (const { name, content, mode } of files) {
    const header = Buffer.alloc(512);
    /** @param {number} value @param {number} size */
    const octal = (value, size) => `${value.toString(8).padStart(size - 1, "0")}\0`;
    header.write(name, 0, 100);
    header.write(octal(mode, 8), 100);
    header.write(octal(0, 8) + octal(0, 8), 108); // owner and group
    header.write(octal(content.length, 12) + octal(0, 12), 124); // size, time
    header.write(" ".repeat(8), 148); // the checksum counts as blanks in itself
    header.write("0", 156); // a plain file
    header.write("ustar\x0000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  blocks.push(Buffer.alloc(1024));
  return gzipSync(Buffer.concat(blocks), { level: 9 });
}

/**
 * Bundles and packs one plugin.
 * @param {string} name
 * @returns {Promise<BuiltPlugin>}
 */
export async function buildPlugin(name) {
  const version = await versionOf(name);
  const { build } = await import("esbuild");
  const result = await build({
    absWorkingDir: root,
    entryPoints: [join("plugins", name, "src", "main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20",
    format: "cjs",
    legalComments: "eof",
    logLevel: "silent",
    plugins: [
      {
        name: "leave-native-parts-out",
        setup(builder) {
          // ssh2 asks for these in a try block, and does without them: Node's own crypto is fast enough.
          builder.onResolve({ filter: /\.node$|^cpu-features$/ }, ({ path }) => ({ path, external: true }));
        },
      },
    ],
  });
  const bundle = result.outputFiles[0];
  if (bundle === undefined) throw new Error(`plugin ${name}: esbuild made nothing`);
  const folder = join(root, "dist", name);
  await mkdir(folder, { recursive: true });
  const files = [
    { name: "plugin.js", content: Buffer.from(bundle.contents), mode: 0o644 },
    { name: `pulumi-resource-${name}`, content: Buffer.from(starter(name)), mode: 0o755 },
  ];
  for (const file of files) await put(join(folder, file.name), file.content, file.mode);
  const archive = join(root, "dist", `pulumi-resource-${name}-v${version}.tar.gz`);
  await put(archive, archiveOf(files), 0o644);
  return { name, version, archive, key: await keyOf(name) };
}

/**
 * Writes by a temporary name, for two runs may build at once.
 * @param {string} path
 * @param {string | Buffer} content
 * @param {number} mode
 */
async function put(path, content, mode) {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, content, { mode });
  await rename(temporary, path);
}

/**
 * Installs Berth's own plugins where they are not yet, or are of other sources.
 *
 * @param {object} options
 * @param {string} options.cacheDir BERTH_CACHE
 * @param {string} options.pulumi path of the CLI
 * @param {(line: string) => void} [options.log] progress
 * @param {string} [options.home] PULUMI_HOME; default `<cacheDir>/pulumi-home`
 * @param {string[]} [options.names] default: all whose sources are there
 * @returns {Promise<InstalledPlugin[]>}
 */
export async function ensurePlugins({ cacheDir, pulumi, log = () => {}, home, names }) {
  const pulumiHome = home ?? join(cacheDir, "pulumi-home");
  const markers = join(pulumiHome, "berth-plugins");
  await mkdir(markers, { recursive: true });
  /** @type {InstalledPlugin[]} */
  const done = [];
  for (const name of names ?? pluginNames()) {
    const version = await versionOf(name);
    const key = await keyOf(name);
    const marker = join(markers, `${name}.json`);
    const program = join(pulumiHome, "plugins", `resource-${name}-v${version}`, `pulumi-resource-${name}`);
    const want = JSON.stringify({ name, version, key });
    const have = await readFile(marker, "utf8").catch(() => "");
    if (have === want && existsSync(program)) {
      done.push({ name, version, way: "already" });
      continue;
    }
    log(`plugin ${name} ${version}: bundling`);
    const { archive } = await buildPlugin(name);
    const args = ["plugin", "install", "resource", name, version, "--file", archive, "--reinstall"];
    const env = { ...process.env, PULUMI_HOME: pulumiHome, PULUMI_SKIP_UPDATE_CHECK: "true" };
    try {
      await run(pulumi, args, { env });
    } catch (error) {
      const said = /** @type {{ stderr?: string }} */ (error).stderr?.trim() ?? "";
      throw new Error(`cannot install plugin ${name} ${version} with ${pulumi}: ${said || error}`);
    }
    await put(marker, want, 0o644);
    done.push({ name, version, way: "built-in" });
  }
  return done;
}

/** The cache folder, as everywhere in Berth. */
function defaultCache() {
  return process.env.BERTH_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "berth");
}

async function main() {
  const [verb, ...given] = process.argv.slice(2);
  const names = given.length > 0 ? given : pluginNames();
  const odd = names.filter((name) => !(name in SDKS));
  if ((verb !== "build" && verb !== "install") || odd.length > 0) {
    if (odd.length > 0)
      console.error(`no such plugin: ${odd.join(", ")}; there are ${Object.keys(SDKS).join(", ")}`);
    console.error(
      `usage: node scripts/${basename(import.meta.url)} build|install [${Object.keys(SDKS).join("|")} ...]`,
    );
    process.exitCode = 2;
    return;
  }
  if (verb === "build") {
    for (const name of names) {
      const { version, archive } = await buildPlugin(name);
      console.log(`${name} ${version} -> ${relative(root, archive)}`);
    }
    return;
  }
  const cacheDir = defaultCache();
  const cached = join(cacheDir, "pulumi-3.250.0", "pulumi");
  const pulumi = existsSync(cached) ? cached : "pulumi";
  for (const { name, version, way } of await ensurePlugins({ cacheDir, pulumi, log: console.error, names })) {
    console.log(`${name} ${version}: ${way}`);
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
