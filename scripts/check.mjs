/**
 * @file `npm run check`: types, lint and format, unit tests, side by side. The loop of seconds.
 */
import { existsSync } from "node:fs";
import { readArgs } from "./lib/args.mjs";
import { runMain } from "./lib/main.mjs";
import { ROOT } from "./lib/paths.mjs";
import { handleSignals } from "./lib/process.mjs";
import { toolEnvironment } from "./lib/pulumi-env.mjs";
import { FAST, runSuite, summary } from "./lib/suites.mjs";
import { missingTools, tellMissing, toolsOf } from "./lib/test-tools.mjs";

const HELP = `npm run check

Types (tsc), lint and format (biome), unit tests (vitest), side by side. Mend format: npx biome check --write .
Beside npm's packages the tests call programs of these packages of Debian:
${[...new Set(toolsOf(["unit"]).map((tool) => tool.package))].join(", ")}.
What cannot be tested without a missing one is said before and after the run. \`npm test\` installs them but for the
optional ones.

Exit codes: 0 all holds, 1 something does not, 2 wrong options, 130 stopped by Ctrl-C.
`;

/** Far more than they take: seconds. */
const DEADLINE_MS = 10 * 60_000;

await runMain(async () => {
  const { help } = readArgs(process.argv.slice(2));
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  handleSignals();
  if (!existsSync(`${ROOT}/node_modules`))
    throw new Error("The npm packages are not here yet. Run `npm ci` first.");
  // `npm test` takes the ledger's random histories ten times as far.
  const env = { BERTH_LEDGER_STEPS: "10000", ...toolEnvironment().env };
  const missing = missingTools(["unit"], env);
  const notTested = missing.length > 0 ? `${tellMissing(missing)}\n\n` : "";
  process.stdout.write(notTested);
  const results = await Promise.all(FAST.map((name) => runSuite(name, { env, deadlineMs: DEADLINE_MS })));
  for (const { name, counts, output } of results) {
    if (counts.failed > 0) process.stdout.write(`---- ${name}\n${output.join("\n").trim()}\n\n`);
  }
  process.stdout.write(`${notTested}${results.map(summary).join("\n")}\n`);
  return results.some(({ counts }) => counts.failed > 0) ? 1 : 0;
});
