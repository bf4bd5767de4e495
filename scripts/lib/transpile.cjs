/**
 * @file A transpiler for ts-node (tsconfig.json names it): TypeScript's own, with its results kept on disk. Without
 * it every preview spends most of its time on translating files that did not change.
 *
 * Results lie in BERTH_CACHE/transpile (default ~/.cache/berth/transpile), named by the hash of all that decides
 * them; the folder can be deleted at any time. A cache that cannot be read or written only costs time.
 */
const { createHash } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require("node:fs");
const { createRequire, SourceMap } = require("node:module");
const { homedir } = require("node:os");
const { join } = require("node:path");
const { leanSdk } = require("./lean-sdk.cjs");

/**
 * Of the files that were translated, by their path: read when a stack trace is. Node.js would read each as its file is loaded.
 * @type {Map<string, string | SourceMap>}
 */
const sourceMaps = new Map();

/** What ts-node writes into the code as its source map: it wants one. */
const NO_MAP = "{}";

/** Part of every name: raise it when the kept format or the options set here change. */
const FORMAT = 1;

/**
 * The same as `places().cache` in paths.mjs, which cannot be required in the middle of another module's loading.
 * @param {NodeJS.ProcessEnv} env
 */
function cacheFolder(env) {
  const cache = env.BERTH_CACHE || join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "berth");
  return join(cache, "transpile");
}

/**
 * @typedef {{outputText: string, sourceMapText?: string | undefined}} Output
 * @typedef {object} Given  what ts-node hands over
 * @property {{config: {options: import("typescript").CompilerOptions}}} service
 * @property {"nodeesm" | "nodecjs"} [nodeModuleEmitKind] set where `module` leaves it to each file
 */

/** @param {Given} given */
exports.create = ({ service, nodeModuleEmitKind }) => {
  readableStacks();
  leanSdk();
  // ts-node has loaded it already.
  const ts = require("typescript");
  const options = { ...service.config.options };
  if (nodeModuleEmitKind) {
    options.module = nodeModuleEmitKind === "nodeesm" ? ts.ModuleKind.ESNext : ts.ModuleKind.CommonJS;
    // Nothing is resolved here, and "node16" is refused beside these kinds.
    delete options.moduleResolution;
  }
  const folder = cacheFolder(process.env);
  const common = JSON.stringify([FORMAT, ts.version, options]);

  return {
    /**
     * @param {string} code
     * @param {{fileName: string}} file
     * @returns {Output & {diagnostics?: import("typescript").Diagnostic[]}}
     */
    transpile(code, { fileName }) {
      const hash = createHash("sha256");
      for (const part of [common, fileName, code]) hash.update(`${part.length}:${part}`);
      const path = join(folder, `${hash.digest("hex")}.json`);
      const kept = read(path);
      if (kept) return withMap(fileName, kept);
      const result = ts.transpileModule(code, {
        fileName,
        compilerOptions: options,
        reportDiagnostics: true,
      });
      // Options are judged by `npm run check`; here only what is wrong in the file itself.
      const diagnostics = (result.diagnostics ?? []).filter((one) => one.file !== undefined);
      const { outputText, sourceMapText } = result;
      if (diagnostics.length === 0) keep(folder, path, { outputText, sourceMapText });
      return { ...withMap(fileName, { outputText, sourceMapText }), diagnostics };
    },
  };
};

/**
 * @param {string} fileName
 * @param {Output} output
 * @returns {Output}
 */
function withMap(fileName, { outputText, sourceMapText }) {
  if (sourceMapText) sourceMaps.set(fileName, sourceMapText);
  return { outputText, sourceMapText: NO_MAP };
}

/**
 * Maps stack traces back to TypeScript where somebody reads them. Pulumi takes one for each resource and shows none; the
 * ways that ts-node and Pulumi bring along map them all.
 */
function readableStacks() {
  try {
    createRequire(require.resolve("ts-node"))("@cspotcode/source-map-support").uninstall();
  } catch {
    // Another ts-node than the pinned one: it keeps its way.
    return;
  }
  // Node.js's own default, which TypeScript sets to 100 as it loads.
  Error.stackTraceLimit = 10;
  Error.prepareStackTrace = (error, frames) => {
    const unread = /@pulumi[\\/]pulumi[\\/]resource\.js$/.test(frames[0]?.getFileName() ?? "");
    const lines = frames.map((frame) => `\n    at ${unread ? frame : inTypeScript(frame)}`);
    return Error.prototype.toString.call(error) + lines.join("");
  };
}

/**
 * @param {NodeJS.CallSite} frame
 * @returns {string} as Node.js writes it, with the line and column of the file that was translated
 */
function inTypeScript(frame) {
  const text = String(frame);
  const file = frame.getFileName();
  const map = file ? sourceMapOf(file) : undefined;
  if (!map) return text;
  const found = map.findEntry((frame.getLineNumber() ?? 1) - 1, (frame.getColumnNumber() ?? 1) - 1);
  if (!("originalLine" in found)) return text;
  return text.replace(/:\d+:\d+(?=\)?$)/, `:${found.originalLine + 1}:${found.originalColumn + 1}`);
}

/** @param {string} file */
function sourceMapOf(file) {
  const map = sourceMaps.get(file);
  if (typeof map !== "string") return map;
  const read = new SourceMap(JSON.parse(map));
  sourceMaps.set(file, read);
  return read;
}

/**
 * @param {string} path
 * @returns {Output | undefined}
 */
function read(path) {
  try {
    const kept = JSON.parse(readFileSync(path, "utf8"));
    return typeof kept?.outputText === "string" ? kept : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} folder
 * @param {string} path
 * @param {Output} output
 */
function keep(folder, path, output) {
  // It holds code that runs: only this account may write here.
  const temporary = `${path}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(temporary, JSON.stringify(output), { mode: 0o600 });
    renameSync(temporary, path);
  } catch {
    rmSync(temporary, { force: true });
  }
}
