/** @file Lets Pulumi's process for dynamic providers require the program's own TypeScript. */
const { join } = require("node:path");

const root = join(__dirname, "..");
if (!require.extensions[".ts"]) {
  // With the transpiler that tsconfig.json names: what it translated once it keeps.
  require("ts-node").register({ project: join(root, "tsconfig.json"), cwd: root });
}
