/**
 * @file Makes berthd and the command `berth` as nodes get them, without the image around: to try them by hand.
 *
 *   node scripts/agent.mjs build [FOLDER]     FOLDER/berthd.cjs, FOLDER/berth.cjs, FOLDER/koffi.node, …; default dist/agent
 *
 * Runs after `npm ci`.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { koffiNative } from "./image/agent.mjs";
import { bundleAgent } from "./image/agent-bundle.mjs";
import { ROOT } from "./lib/paths.mjs";

const [verb, folder = join(ROOT, "dist/agent"), ...more] = process.argv.slice(2);
if (verb !== "build" || more.length > 0) {
  console.error("usage: node scripts/agent.mjs build [FOLDER]");
  process.exitCode = 2;
} else {
  const to = resolve(folder);
  mkdirSync(to, { recursive: true });
  const native = { path: "koffi.node", content: await koffiNative(process.arch) };
  for (const { path, content } of [...(await bundleAgent()), native]) {
    writeFileSync(join(to, path), content);
    console.log(`${join(to, path)} ${content.length}`);
  }
}
