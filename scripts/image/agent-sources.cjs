/**
 * @file What the image `agent` is made from besides its recipe: berthd's sources, and the packages that are bundled
 * with them. Reads files only. It is CommonJS as the Pulumi program reads it too.
 */
const { existsSync, readdirSync, readFileSync } = require("node:fs");
const { dirname, join, resolve } = require("node:path");

const ROOT = resolve(__dirname, "../..");

/** The programs of the image, by the name of their bundle. */
const ENTRIES = {
  berthd: "agent/src/main.ts",
  berth: "agent/src/cli/main.ts",
  "stand-ins": "agent/src/stand-ins.ts",
};

/** The folder whose every source counts; those beside it that they import do too. */
const SOURCES = "agent/src";

/**
 * @typedef {{version?: string, integrity?: string, link?: boolean, dependencies?: Record<string, string>,
 *   optionalDependencies?: Record<string, string>}} Locked
 */

/**
 * The packages that a workspace needs at run time, and theirs: `PATH VERSION INTEGRITY`, sorted.
 * @param {Record<string, Locked>} packages of package-lock.json
 * @param {string} folder of the workspace
 * @returns {string[]}
 * @throws {Error} for a package that is not in the lock file
 */
function lockedPackages(packages, folder) {
  /** @type {Map<string, string>} */
  const found = new Map();
  /** @param {string} from */
  const visit = (from) => {
    const { dependencies = {}, optionalDependencies = {} } = packages[from] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = locate(packages, from, name);
      if (path === undefined) {
        if (Object.hasOwn(optionalDependencies, name)) continue;
        throw new Error(`package-lock.json: ${from} needs ${name}, which is not in it. Run: npm install`);
      }
      if (found.has(path)) continue;
      const { version = "", integrity = "" } = packages[path] ?? {};
      found.set(path, `${path} ${version} ${integrity}`);
      visit(path);
    }
  };
  visit(folder);
  return [...found.values()].sort();
}

/**
 * Where Node.js finds a package: in the folder itself, then in those above it.
 * @param {Record<string, Locked>} packages
 * @param {string} from
 * @param {string} name
 */
function locate(packages, from, name) {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) {
    if (at === "node_modules" || at.endsWith("/node_modules")) continue;
    const path = at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (Object.hasOwn(packages, path)) return path;
    if (at === "") return undefined;
  }
}

/** @returns {Record<string, Locked>} */
function readLock() {
  return JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
}

/**
 * The files that a source imports by a relative path, as paths below the repository's root.
 * @param {string} path
 * @param {string} text
 * @returns {string[]}
 */
function importedBy(path, text) {
  return [...text.matchAll(/\b(?:from|import|require\()\s*\(?\s*["'](\.{1,2}\/[^"']*)["']/g)].flatMap(
    (match) => {
      const at = join(dirname(path), match[1] ?? "").replaceAll("\\", "/");
      return [at, `${at}.ts`, `${at}/index.ts`].filter(
        (file) => /\.\w+$/.test(file) && existsSync(join(ROOT, file)),
      );
    },
  );
}

/**
 * Everything that decides what the bundles hold, sorted by path.
 * @returns {{path: string, content: Buffer}[]}
 */
function agentSources() {
  const packages = readLock();
  const esbuild = packages["node_modules/esbuild"]?.version ?? "";
  /** @type {Map<string, Buffer>} */
  const files = new Map();
  /** @param {string} path */
  const add = (path) => {
    if (files.has(path)) return;
    const content = readFileSync(join(ROOT, path));
    files.set(path, content);
    if (path.endsWith(".ts")) for (const other of importedBy(path, content.toString())) add(other);
  };
  for (const entry of readdirSync(join(ROOT, SOURCES), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(ts|sql|json)$/.test(entry.name)) continue;
    add(
      join(entry.parentPath, entry.name)
        .slice(ROOT.length + 1)
        .replaceAll("\\", "/"),
    );
  }
  add("scripts/image/agent-bundle.mjs");
  add("core/package.json");
  return [...files]
    .map(([path, content]) => ({ path, content }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .concat({
      path: "packages",
      content: Buffer.from([`esbuild ${esbuild}`, ...lockedPackages(packages, "agent")].join("\n")),
    });
}

exports.ENTRIES = ENTRIES;
exports.agentSources = agentSources;
exports.lockedPackages = lockedPackages;
exports.readLock = readLock;
