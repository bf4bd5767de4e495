/**
 * @file Starts the policy pack: TypeScript is translated as for the program itself (tsconfig.json), with the results
 * kept between runs. Types are checked by `npm run check`.
 */
const { join } = require("node:path");
const root = join(__dirname, "..");

// An engine that was killed leaves its pack to init: nobody would end it.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 1000).unref();
// @pulumi/policy reads the pack's version from the package.json of the working folder.
process.chdir(__dirname);
require("ts-node").register({ cwd: root, project: join(root, "tsconfig.json") });
require("./index");
