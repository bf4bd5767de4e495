/**
 * @file What a GpuPool's methods run: the provider of the program as it is now, whatever the state was made with. The
 * text in the state (stub.ts) requires this file at run time, in Pulumi's process for dynamic providers.
 */
require("../typescript.cjs");

/** @typedef {(...args: never[]) => Promise<unknown>} Method */

/**
 * An error that is meant for people, told once: Pulumi's process prints `${error}: ${error.stack}` of what check, diff,
 * read and delete throw, beside the message that the engine shows. A fault of the program keeps its stack.
 * @param {Method} method
 * @returns {Method}
 */
const toldOnce =
  (method) =>
  async (...args) => {
    try {
      return await method(...args);
    } catch (error) {
      if (error instanceof Error && error.constructor === Error)
        Object.assign(error, { toString: () => "GPU pool", stack: "see the error of this resource" });
      throw error;
    }
  };

const methods = /** @type {[string, Method][]} */ (Object.entries(require("./provider").provider));

module.exports = Object.fromEntries(methods.map(([name, method]) => [name, toldOnce(method)]));
