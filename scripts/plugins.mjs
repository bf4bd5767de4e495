/**
 * Berth's own Pulumi plugins: bundles each into one file and installs it into a PULUMI_HOME of Berth's own, never into
 * the user's, where it would pass for the official plugin in other projects.
 *
 *   node scripts/plugins.mjs build [NAME ...]      dist/<name>/
 *   node scripts/plugins.mjs install [NAME ...]    the same, and into BERTH_CACHE/pulumi-home
 *
 * Runs after `npm ci` (it needs esbuild). Nothing is done again whose sources have not changed.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { writeWhole } from "./lib/files.mjs";
import { PLUGINS, places, ROOT } from "./lib/paths.mjs";
import { CommandError, run } from "./lib/process.mjs";

const NAMES = PLUGINS.map(({ name }) => name);

/** What the names of our own packages begin with. */
const OURS = "@berth/plugin-";

/** @typedef {{ name: string, version: string, folder: string }} BuiltPlugin */
/** @typedef {{ name: string, version: string, way: "built-in" | "already" }} InstalledPlugin */

/** @param {string} name */
function versionOf(name) {
  const found = PLUGINS.find((plugin) => plugin.name === name);
  if (!found) throw new Error(`no such plugin: ${name}; there are ${NAMES.join(", ")}`);
  return found.version;
}

/**
 * All files below a folder, sorted.
 * @param {string} folder
 * @returns {string[]}
 */
function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/**
 * Changes when anything does that the bundle is made of: sources, this script, the pinned dependencies.
 * @param {string} name
 */
function keyOf(name) {
  const hash = createHash("sha256");
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "plugins", name, "package.json"), "utf8"));
  const used = Object.keys(dependencies).filter((found) => found.startsWith(OURS));
  const plugins = new Set(["base", ...used.map((found) => found.slice(OURS.length)), name]);
  const folders = ["core", ...[...plugins].map((folder) => join("plugins", folder, "src"))];
  const files = [
    ...folders.flatMap((folder) => filesBelow(join(ROOT, folder))),
    join(ROOT, "package-lock.json"),
    fileURLToPath(import.meta.url),
  ];
  for (const file of files)
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
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
 * Bundles one plugin.
 * @param {string} name
 * @returns {Promise<BuiltPlugin>}
 */
export async function buildPlugin(name) {
  const version = versionOf(name);
  const { build } = await import("esbuild");
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [join("plugins", name, "src", "main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20",
    format: "cjs",
    // The engine starts one after the other, and each reads its bundle: less is read sooner. Names stay as they are, for
    // stack traces; with short ones that are told the long ones at run time (keepNames) a start takes 15 % longer.
    minifySyntax: true,
    minifyWhitespace: true,
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
  const folder = join(ROOT, "dist", name);
  writeWhole(join(folder, "plugin.js"), bundle.contents, 0o644);
  writeWhole(join(folder, `pulumi-resource-${name}`), starter(name), 0o755);
  return { name, version, folder };
}

/**
 * Installs Berth's own plugins where they are not yet, or are of other sources.
 *
 * @param {object} options
 * @param {string} options.cacheDir BERTH_CACHE
 * @param {string} options.pulumi path of the CLI
 * @param {(line: string) => void} [options.log] progress
 * @param {string} [options.home] PULUMI_HOME; default `<cacheDir>/pulumi-home`
 * @param {string[]} [options.names] default: all
 * @returns {Promise<InstalledPlugin[]>}
 */
export async function ensurePlugins({
  cacheDir,
  pulumi,
  log = () => {},
  home = join(cacheDir, "pulumi-home"),
  names = NAMES,
}) {
  /** @type {InstalledPlugin[]} */
  const done = [];
  for (const name of names) {
    const version = versionOf(name);
    const marker = join(home, "berth-plugins", `${name}.json`);
    const program = join(home, "plugins", `resource-${name}-v${version}`, `pulumi-resource-${name}`);
    const want = JSON.stringify({ name, version, key: keyOf(name) });
    const have = existsSync(marker) ? readFileSync(marker, "utf8") : "";
    if (have === want && existsSync(program)) {
      done.push({ name, version, way: "already" });
      continue;
    }
    log(`plugin ${name} ${version}: bundling`);
    const { folder } = await buildPlugin(name);
    const args = ["plugin", "install", "resource", name, version, "--file", folder, "--reinstall"];
    const env = { ...process.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: "true" };
    try {
      await run(pulumi, args, { env });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const said = error.output.join("\n").trim() || error.message;
      throw new Error(`cannot install plugin ${name} ${version} with ${pulumi}: ${said}`);
    }
    writeWhole(marker, want, 0o644);
    done.push({ name, version, way: "built-in" });
  }
  return done;
}

async function main() {
  const [verb, ...given] = process.argv.slice(2);
  const names = given.length > 0 ? given : NAMES;
  const odd = names.filter((name) => !NAMES.includes(name));
  if ((verb !== "build" && verb !== "install") || odd.length > 0) {
    if (odd.length > 0) console.error(`no such plugin: ${odd.join(", ")}; there are ${NAMES.join(", ")}`);
    console.error(`usage: node scripts/${basename(import.meta.url)} build|install [${NAMES.join("|")} ...]`);
    process.exitCode = 2;
    return;
  }
  if (verb === "build") {
    for (const name of names) {
      const { version, folder } = await buildPlugin(name);
      console.log(`${name} ${version} -> ${relative(ROOT, folder)}`);
    }
    return;
  }
  const { cache: cacheDir, pulumiDir } = places();
  const cached = join(pulumiDir, "pulumi");
  const pulumi = existsSync(cached) ? cached : "pulumi";
  for (const { name, version, way } of await ensurePlugins({ cacheDir, pulumi, log: console.error, names })) {
    console.log(`${name} ${version}: ${way}`);
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
