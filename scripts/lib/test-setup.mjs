/**
 * @file What comes before tests, for `npm test` and `npm run test:machines`: the programs that they call, and an
 * environment of their own.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { canInstall, install } from "./apt.mjs";
import { writeRecord } from "./context.mjs";
import { places } from "./paths.mjs";
import { ensureHome, pulumiVariables } from "./pulumi-env.mjs";
import { missingTools } from "./test-tools.mjs";

/**
 * Installs the programs that tests of these parts call.
 * @param {import("./context.mjs").Context} context
 * @param {string[]} parts
 * @returns {Promise<string>} the way taken; what is missing still where this account may not install
 */
export async function ensureTestTools(context, parts) {
  const wanted = missingTools(parts, context.env).filter(({ optional }) => !optional);
  if (wanted.length === 0) return "there before";
  const names = wanted.map((tool) => tool.package);
  if (!canInstall(context.env))
    return `missing, and not to be installed by this account: ${names.join(", ")}`;
  await install(context, names);
  return `installed ${names.join(", ")}`;
}

/**
 * The tests get a home of their own, so that they never meet the stacks of the person who runs them. It is kept:
 * after a killed run the next one finds what is to be taken down.
 * @param {import("./context.mjs").Context} context
 */
export function testEnvironment({ at, env, found }) {
  const home = process.env.BERTH_TEST_HOME || join(at.home, "test");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  /** @type {NodeJS.ProcessEnv} */
  const own = { ...env, BERTH_HOME: home, BERTH_CACHE: at.cache };
  // Only an engine that this run started may be restarted by a test.
  if (found.docker?.started) own.BERTH_TEST_ENGINE = at.home;
  for (const name of [
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_STACK",
  ]) {
    delete own[name];
  }
  const there = places(own);
  ensureHome(there);
  writeRecord(there, { ...found, docker: found.docker && { ...found.docker, started: undefined } });
  return { ...own, ...pulumiVariables(own, there) };
}
