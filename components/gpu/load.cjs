/**
 * @file What a GpuPool's methods run: the provider of the program as it is now, whatever the state was made with. The
 * text in the state (stub.ts) requires this file at run time, in Pulumi's process for dynamic providers.
 */
const { join } = require("node:path");

const root = join(__dirname, "..", "..");
if (!require.extensions[".ts"]) {
  // With the transpiler that tsconfig.json names: what it translated once it keeps.
  require("ts-node").register({ project: join(root, "tsconfig.json"), cwd: root });
}

module.exports = require("./provider").provider;
