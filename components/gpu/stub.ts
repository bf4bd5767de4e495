/**
 * The code that the state keeps of a dynamic resource, as the text of a module: Pulumi's process for dynamic providers
 * calls its `handler`. It holds no logic, no path of any computer and no value of the program, so the state never has an
 * old version of the provider in it: every method runs the `load.cjs` of the project that Pulumi is working in, whose
 * folder is the working directory of that process.
 *
 * Written by hand in place of Pulumi's own writer of closures, which makes the same out of a class in 0.3 s.
 *
 * @param load the file to require, from the project's folder on
 */
export const stub = (load: string) => `exports.handler = () => {
  const call = (method) => (...args) =>
    require("node:module").createRequire(process.cwd() + "/")("${load}")[method](...args);
  return Object.fromEntries(["check", "diff", "create", "read", "update", "delete"].map((name) => [name, call(name)]));
};
`;

/** Of a GpuPool. */
export const STUB = stub("./components/gpu/load.cjs");
