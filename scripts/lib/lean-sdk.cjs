/**
 * @file Spares a program what Pulumi's SDK does for nobody. A part does nothing where the SDK lacks what the part changes.
 */
const { createRequire } = require("node:module");

/** A name that no property of a resource has. */
const SPARE = "\0spare";

/** @typedef {(file: string) => any} Sdk  loads a module of the SDK, or one that the SDK depends on */

let lean = false;

/** Changes the SDK that this process has, once: ts-node makes several transpilers, and each asks for it. */
exports.leanSdk = () => {
  if (lean) return;
  lean = true;
  // First what modules would load.
  for (const part of [lateModules, cheapPromises, lateOutputs, quietLines]) {
    try {
      part(createRequire(require.resolve("@pulumi/pulumi/package.json")));
    } catch (error) {
      // Another SDK than the pinned one has other modules: it does as it wants.
      const { code } = /** @type {{code?: string}} */ (error);
      if (code !== "MODULE_NOT_FOUND" && code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
    }
  }
};

/**
 * The SDK follows each promise that it makes, to say at the end which of them never ended, and takes its stack trace and
 * a text for that, four times for each property of a resource. It shows those only where PULUMI_DEBUG_PROMISE_LEAKS is set.
 * @param {Sdk} sdk
 */
function cheapPromises(sdk) {
  if (process.env.PULUMI_DEBUG_PROMISE_LEAKS) return;
  const debuggable = sdk("./runtime/debuggable.js");
  const { getStore } = sdk("./runtime/state.js");
  if (!(getStore().leakCandidates instanceof Set)) return;
  const { debuggablePromise } = debuggable;
  let first = true;
  debuggable.debuggablePromise = (
    /** @type {Promise<unknown>} */ promise,
    /** @type {unknown} */ context,
  ) => {
    if (first) {
      // It also has the end of the process look for those left.
      first = false;
      return debuggablePromise(promise, context);
    }
    const store = getStore();
    store.leakCandidates.add(promise);
    return promise.then(
      (value) => {
        store.leakCandidates.delete(promise);
        return value;
      },
      (error) => {
        store.leakCandidates.delete(promise);
        error.promise = promise;
        throw error;
      },
    );
  };
}

/**
 * The SDK makes an output of some thirty promises for each property of a resource, those that nobody gave and nobody
 * reads too: a container has seventy. Here each is made when it is first read.
 * @param {Sdk} sdk
 */
function lateOutputs(sdk) {
  if (process.env.PULUMI_DEBUG_PROMISE_LEAKS) return;
  const rpc = sdk("./runtime/rpc.js");
  const closures = sdk("./runtime/closure/createClosure.js");
  const { transferProperties } = rpc;
  const { createClosureInfoAsync } = closures;
  if (typeof transferProperties !== "function" || typeof createClosureInfoAsync !== "function") return;
  /** @type {Set<() => unknown> | undefined} */
  let unread = new Set();
  /** @typedef {(...answer: unknown[]) => void} Resolver */

  /**
   * @param {Record<string, unknown>} onto a resource
   * @param {string} label
   * @param {string} key
   * @param {unknown} given
   * @returns {Resolver}
   */
  const late = (onto, label, key, given) => {
    /** @type {Resolver | undefined} */
    let resolver;
    /** @type {unknown[] | undefined} */
    let answer;
    const put = (/** @type {unknown} */ value) => {
      unread?.delete(make);
      Object.defineProperty(onto, key, { value, writable: true, enumerable: true, configurable: true });
    };
    const make = () => {
      // Under another name, for its own is taken and keeps its place among the others.
      resolver = /** @type {Resolver} */ (transferProperties(onto, label, { [SPARE]: given })[SPARE]);
      const output = onto[SPARE];
      delete onto[SPARE];
      put(output);
      if (answer) resolver(...answer);
      return output;
    };
    unread?.add(make);
    Object.defineProperty(onto, key, { enumerable: true, configurable: true, get: make, set: put });
    return (...args) => {
      if (resolver) resolver(...args);
      else answer = args;
    };
  };

  rpc.transferProperties = (
    /** @type {Record<string, unknown>} */ onto,
    /** @type {string} */ label,
    /** @type {Record<string, unknown>} */ props,
  ) => {
    const keys = Object.keys(props).filter((key) => key !== "id" && key !== "urn");
    // It says what is wrong with a property that is there already.
    if (unread === undefined || keys.some((key) => Object.hasOwn(onto, key)))
      return transferProperties(onto, label, props);
    return Object.fromEntries(keys.map((key) => [key, late(onto, label, key, props[key])]));
  };
  // A function that is written to the state takes the resources along that it names, with the getters of their properties.
  closures.createClosureInfoAsync = (/** @type {unknown[]} */ ...args) => {
    for (const make of unread ?? []) make();
    unread = undefined;
    return createClosureInfoAsync(...args);
  };
  closures.createClosureInfoAsync.doNotCapture = true;
}

/**
 * The SDK sends the engine four lines of debugging for each resource, one after the other. Whoever starts Pulumi with
 * arguments that do not ask for them sets BERTH_DEBUG_LINES to "false".
 * @param {Sdk} sdk
 */
function quietLines(sdk) {
  if (process.env.BERTH_DEBUG_LINES !== "false") return;
  const none = Promise.resolve();
  sdk("./log/index.js").debug = () => none;
  // Such a line has the whole answer in it.
  sdk("./proto/resource_pb.js").RegisterResourceResponse.prototype.toString = () => "[answer]";
}

/**
 * What the program loads and seldom uses, a fifth of its modules: a module is loaded with its first use. The SDK takes npm's
 * solver and its reader of package.json to write a dynamic provider's code to the state, and its automation API is for
 * programs that call Pulumi; zod has a hundred languages.
 * @param {Sdk & {resolve?: (name: string) => string}} sdk
 */
function lateModules(sdk) {
  late(sdk, "@npmcli/arborist", "names");
  late(sdk, "normalize-package-data", "whole");
  late(sdk, "./automation/index.js", "names");
  late(/** @type {NodeJS.Require} */ (require), "zod/v4/locales", "names");
}

/**
 * @param {Sdk & {resolve?: (name: string) => string}} sdk
 * @param {string} name of a module
 * @param {"names" | "whole"} used what whoever imports it uses of it: the names in it (import * as), or itself (import)
 */
function late(sdk, name, used) {
  const path = /** @type {NodeJS.Require} */ (sdk).resolve(name);
  if (require.cache[path]) return;
  /** @type {any} */
  let loaded;
  const load = () => {
    if (loaded === undefined) {
      delete require.cache[path];
      loaded = sdk(path);
    }
    return loaded;
  };
  // An import that finds no mark of an ES module makes an object of its own, with the module as `default`.
  const stand = new Proxy(() => {}, {
    apply: (_target, _self, args) => load()(...args),
    construct: (_target, args) => new (load())(...args),
    get: (_target, key) => (key === "__esModule" ? used === "names" : load()[key]),
    has: (_target, key) => key in load(),
  });
  require.cache[path] = /** @type {any} */ ({ id: path, filename: path, loaded: true, exports: stand });
}
