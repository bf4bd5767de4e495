/**
 * @file `npm start`: brings what is missing on this computer, then a whole cluster on it, and says how to use it.
 *
 * Needs Node.js 20 or newer, npm, and either root or a container engine. It can be stopped at any step and begun
 * again: every step leaves either all of its result or none, and what is done is not done again.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readArgs } from "./lib/args.mjs";
import { runMain } from "./lib/main.mjs";
import { overview } from "./lib/overview.mjs";
import { places, ROOT, stackDir } from "./lib/paths.mjs";
import { handleSignals, Interrupted } from "./lib/process.mjs";
import { ensureHome } from "./lib/pulumi-env.mjs";
import { ensureStack, inStep, newContext, SETUP_STEPS, setUp } from "./lib/setup.mjs";
import { takeTurn } from "./lib/single.mjs";
import { withAccess } from "./lib/ssh.mjs";
import { stackFile } from "./lib/stack-file.mjs";
import { told, Ui } from "./lib/ui.mjs";
import { readOutputs, runUp } from "./lib/up.mjs";

const HELP = `npm start -- [--stack NAME] [--setup-only]

Brings what is missing on this computer (npm packages, Node.js, a container engine, Pulumi and its
plugins), then the cluster of Pulumi.<stack>.yaml, and prints how to use it. Run again: no change.

  --stack NAME   the stack; default dev
  --setup-only   stop before the cluster

Exit codes: 0 done, 1 a step failed, 2 wrong options, 130 stopped by Ctrl-C; the same command goes on from there.
`;

/** @type {Ui | undefined} */
let ui;

await runMain(
  async () => {
    const { stack, help, flags } = readArgs(process.argv.slice(2), { flags: ["setup-only"] });
    if (help) {
      process.stdout.write(HELP);
      return;
    }
    if (!existsSync(stackFile(stack))) {
      throw new Error(
        `There is no Pulumi.${stack}.yaml in ${ROOT}: a stack is described by its file. Copy Pulumi.dev.yaml.`,
      );
    }
    const at = places();
    ensureHome(at);
    const endTurn = await takeTurn(join(at.home, "start.lock"), "npm start");
    try {
      ui = new Ui({ logs: at.logs, name: "start", total: SETUP_STEPS + (flags.has("setup-only") ? 0 : 2) });
      const shown = ui;
      handleSignals((count) =>
        shown.say(count === 1 ? "Stopping when the running step allows; once more to stop it now." : ""),
      );
      const context = newContext(ui);
      await setUp(context);
      if (flags.has("setup-only")) {
        ui.say(`\nAll is here, after ${ui.elapsed()}. Now: npm start`);
        return;
      }
      await inStep(context, `Stack ${stack}`, async () => told(await ensureStack(context, stack)));
      await inStep(context, "Cluster", async () => told(await runUp(context, stack, ROOT)));
      const outputs = withAccess(await readOutputs(context, stack, ROOT), stackDir(at, stack));
      ui.say(`\n${overview(outputs, { stack, folder: stackDir(at, stack) })}\n\nDone in ${ui.elapsed()}.`);
    } finally {
      endTurn();
    }
  },
  (error) => {
    const log = ui ? `The log: ${ui.logFile}` : "";
    return error instanceof Interrupted ? `\`npm start\` goes on from here. ${log}` : log;
  },
);
