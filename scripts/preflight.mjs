/**
 * @file `npm run preflight -- [NODE…]`: looks at servers before Berth adopts them, and says what it found and what the
 * first `up` will change. Changes nothing of the server's.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { readArgs, UsageError } from "./lib/args.mjs";
import { which } from "./lib/files.mjs";
import { runMain } from "./lib/main.mjs";
import { places, ROOT, stackDir } from "./lib/paths.mjs";
import { handleSignals } from "./lib/process.mjs";
import { lookAt } from "./preflight/run.mjs";

const HELP = `npm run preflight -- [NODE…] [--stack NAME] [--json]

Looks at the servers of a stack (nodes of kind: baremetal), all or those named, before the first \`up\`: what is there,
what Berth will change, what stands in the way. It signs in as \`up\` will, with the host key of the configuration, and
leaves nothing on the server but its log, /var/log/berth/preflight.log, and an empty folder /var/lib/berth.

  --json         JSON: {stack, nodes: [{node, state, problems, found}]} (with npm run -s)
  --stack NAME   the stack; default dev

Exit codes: 0 all of them can be adopted, 1 one cannot or could not be looked at, 2 wrong options or configuration,
130 stopped by Ctrl-C.
`;

await runMain(async () => {
  const { stack, help, flags, rest } = readArgs(process.argv.slice(2), {
    flags: ["json"],
    passThrough: true,
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const option = rest.find((word) => word.startsWith("-"));
  if (option !== undefined)
    throw new UsageError(
      `${JSON.stringify(option)} is not an option here. Allowed: NODE…, --stack NAME, --json, --help.`,
    );
  handleSignals();
  if (!existsSync(`${ROOT}/node_modules`))
    throw new UsageError("The npm packages are not here yet. Run `npm ci` first.");
  if (!which("ssh", process.env))
    throw new UsageError("ssh is not installed: it is what servers are signed in to with.");
  const program = typescript();
  const reports = await lookAt(program, {
    stack,
    names: rest,
    root: ROOT,
    operatorKey: join(stackDir(places(), stack), "id_ed25519"),
    env: process.env,
    onStart: (nodes) => process.stderr.write(`Looking at ${nodes.join(", ")} …\n`),
  });
  process.stdout.write(
    flags.has("json")
      ? `${JSON.stringify({ stack, nodes: reports }, null, 2)}\n`
      : `${reports.map(program.describeReport).join("\n\n")}\n`,
  );
  return reports.every(({ state }) => state === "adoptable") ? 0 : 1;
});

/**
 * The program's own TypeScript, as Pulumi loads it.
 * @returns {typeof import("./preflight/looks.js")}
 */
function typescript() {
  const require = createRequire(import.meta.url);
  require("ts-node").register({ project: join(ROOT, "tsconfig.json") });
  return require("./preflight/looks.ts");
}
