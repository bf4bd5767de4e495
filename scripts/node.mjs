/**
 * @file `npm run node -- drain | undrain | reboot | replace NAME`: takes one node out of the cluster in order, and
 * brings it back.
 */
import { join } from "node:path";
import { readArgs, UsageError } from "./lib/args.mjs";
import { agreed } from "./lib/ask.mjs";
import { duration } from "./lib/format.mjs";
import { runMain } from "./lib/main.mjs";
import { stackDir } from "./lib/paths.mjs";
import { handleSignals } from "./lib/process.mjs";
import { ensureHome, requirePulumi, toolEnvironment } from "./lib/pulumi-env.mjs";
import { takeTurn } from "./lib/single.mjs";
import { Ui } from "./lib/ui.mjs";
import { readCluster } from "./lib/up.mjs";
import { askOthers, askTarget, inStep } from "./node/job.mjs";
import { forgetJournal, readJournal } from "./node/journal.mjs";
import { takeBack, takeOut } from "./node/mark.mjs";
import {
  chooseNode,
  DEFAULT_DEADLINE,
  filesGo,
  objections,
  readDeadline,
  readReason,
  readWords,
  whatHappens,
  when,
} from "./node/plan.mjs";
import { cluster, workOn } from "./node/ray.mjs";
import { previewReplacement, replaceMachine } from "./node/replace.mjs";
import { restart, waitForAll } from "./node/restart.mjs";

const HELP = `npm run node -- drain|undrain|reboot|replace NAME [options]

One node at a time. People in its workspaces are told, Ray gives it no new work and what runs on it may
end; volumes are never touched. Cut off at any point, the same command goes on.

  drain NAME     takes it out of Ray; its workspaces go on. Stays out until undrain, also over restarts
  undrain NAME   takes it back
  reboot NAME    drains it, restarts its machine, waits until all runs again, takes it back
  replace NAME   drains it, makes its machine anew (local nodes, droplets), waits, takes it back. What lies on a
                 droplet's own disk goes; where homes do, it is refused without --force

  --deadline T   how long running Ray tasks may take to end: 0s, 90s, 10m, 2h; default ${DEFAULT_DEADLINE}
  --reason TEXT  what people are told; default maintenance
  --head         also when it is Ray's head: the whole Ray cluster stops
  --force        also when another node is out, or (replace) this one does not answer or homes go with its disk
  --yes          do not ask (needed where there is no terminal)
  --json         one JSON object at the end; the progress goes to standard error (with npm run -s)
  --stack NAME   the stack; default dev

Exit codes: 0 done, 1 failed or not wanted, 2 wrong options, 130 stopped by Ctrl-C.
`;

/** How many steps each command shows. */
const STEPS = { drain: 3, undrain: 2, reboot: 6, replace: 8 };

/** @typedef {import("./node/job.mjs").Job} Job */

/** @type {{ui?: Ui, command?: string, name?: string, stack?: string, touched: boolean}} */
const session = { touched: false };

await runMain(main, (error) => {
  const { ui, command, name, stack, touched } = session;
  if (!ui || !command) return "";
  const option = stack === "dev" ? "" : ` --stack ${stack}`;
  const again = `npm run node -- ${command} ${name}${option}`;
  const back =
    command === "undrain" ? "" : `; to take it back as it is: npm run node -- undrain ${name}${option}`;
  const how = touched && !(error instanceof UsageError) ? `To go on: ${again}${back}\n` : "";
  return `${how}The log: ${ui.logFile}`;
});

async function main() {
  const { stack, help, flags, values, rest } = readArgs(process.argv.slice(2), {
    flags: ["yes", "json", "head", "force"],
    values: ["deadline", "reason"],
    passThrough: true,
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { command, name } = readWords(rest);
  const deadlineMs = readDeadline(values.deadline ?? DEFAULT_DEADLINE);
  const reason = readReason(values.reason ?? "maintenance");
  const { env, at } = toolEnvironment();
  requirePulumi(env);
  ensureHome(at);
  const outputs = await readCluster(env, stack, stackDir(at, stack));
  const node = chooseNode(outputs, stack, name);
  // Whoever mistypes the name is told so, and not to say --yes to it.
  const terminal = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  const yes = flags.has("yes") || command === "undrain";
  if (!yes && !terminal) {
    throw new UsageError(
      `${command}: there is no terminal to ask on. Say --yes if it is meant: npm run node -- ${command} ${name}${stack === "dev" ? "" : ` --stack ${stack}`} --yes`,
    );
  }
  const nodes = /** @type {import("./node/plan.mjs").TargetNode[]} */ (outputs.nodes ?? []);
  const endTurn = await takeTurn(join(stackDir(at, stack), "node.lock"), "npm run node");
  try {
    const out = flags.has("json") ? process.stderr : process.stdout;
    const ui = new Ui({ logs: at.logs, name: "node", total: STEPS[command], out });
    Object.assign(session, { ui, command, name, stack });
    handleSignals((count) =>
      ui.say(count === 1 ? "Stopping when the running step allows; once more to stop it now." : ""),
    );
    /** @type {Job} */
    const job = {
      ...{ command, way: { folder: stackDir(at, stack), env }, at, stack, node, ui, reason, deadlineMs },
      ...{ others: nodes.filter((other) => other !== node), ray: Boolean(outputs.ray), warnings: [] },
      ...{ force: flags.has("force"), filesGo: false, ownDeadline: values.deadline !== undefined },
    };
    const began = Date.now();
    const done = await carryOut(job, outputs, { yes, head: flags.has("head") });
    if (!done) return 1;
    for (const line of job.warnings) ui.say(`Note: ${line}`);
    ui.say(`\n${done.text} (${duration(Date.now() - began)})`);
    if (flags.has("json")) {
      const seconds = Math.round((Date.now() - began) / 1000);
      const { text: _text, ...facts } = done;
      const result = { stack, node: name, command, ...facts, warnings: job.warnings, seconds };
      process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    }
    return 0;
  } finally {
    endTurn();
  }
}

/**
 * @typedef {{text: string, state: "drained" | "in service", cut: string[]}} Done `cut`: Ray tasks that the deadline ended
 *
 * @param {Job} job
 * @param {import("./lib/live.mjs").Outputs} outputs
 * @param {{yes: boolean, head: boolean}} options
 * @returns {Promise<Done | undefined>} undefined: not wanted
 */
async function carryOut(job, outputs, { yes, head }) {
  const { command, node } = job;
  const facts = await lookAt(job, head);
  if (command === "undrain") {
    session.touched = true;
    await takeBack(job);
    forgetJournal(job);
    const was = facts?.mark ? `was out since ${when(facts.mark.since)}` : "was not marked as out";
    return { text: `${node.name} is in service; it ${was}.`, state: "in service", cut: [] };
  }
  if (command === "drain" && facts?.mark?.keep && /^(drained|down|none)$/.test(facts.ray)) {
    const { since, reason } = facts.mark;
    return { text: `${node.name} is out since ${when(since)} (${reason}).`, state: "drained", cut: [] };
  }
  const replacement = command === "replace" ? await previewReplacement(job) : undefined;
  const journal = readJournal(job);
  // An earlier run has replaced the machine: the new one is not drained again.
  const goesOn = replacement !== undefined && replacement.urn === undefined;
  if (goesOn)
    job.ui.say(
      `The machine was replaced by the run of ${when(journal?.since ?? 0)}, which did not end; going on.`,
    );
  else await show(job, facts);
  if (replacement) job.ui.say(`Pulumi will do:\n${replacement.lines.join("\n") || "  nothing more"}`);
  if (!yes && !(await agreed("Go on?", process.stderr))) {
    job.ui.say("Nothing was done.");
    return undefined;
  }
  session.touched = true;
  const restarted = command === "reboot" && facts?.mark?.by === "reboot" && facts.mark.boot !== facts.boot;
  const out =
    facts && !goesOn && !restarted
      ? await takeOut(job, facts)
      : { mark: restarted ? facts.mark : journal?.mark, cut: [] };
  const { cut } = out;
  if (command === "drain")
    return {
      text: `${node.name} is out. To take it back: npm run node -- undrain ${node.name}`,
      state: "drained",
      cut,
    };
  if (replacement) {
    await replaceMachine(job, replacement, facts && !goesOn ? out.mark : undefined);
    await readAgain(job);
    const owners = (outputs.users ?? [])
      .filter((user) => user.node === node.name && user.desiredState === "running")
      .map((user) => user.name);
    await waitForAll(job, owners);
    await takeBack(job);
    forgetJournal(job);
    return { text: `${node.name} has a new machine and is in service.`, state: "in service", cut };
  }
  if (!out.mark) throw new Error("unreachable: a restart begins with a node that answers");
  await restart(job, out.mark);
  await waitForAll(job, out.mark.workspaces);
  forgetJournal(job);
  if (out.mark.keep) {
    const text = `${node.name} has restarted, and stays out as before: npm run node -- undrain ${node.name}`;
    return { text, state: "drained", cut };
  }
  await takeBack(job);
  return { text: `${node.name} has restarted and is in service.`, state: "in service", cut };
}

/** The new machine may have another address. @param {Job} job */
async function readAgain(job) {
  const outputs = await readCluster(job.way.env, job.stack, job.way.folder);
  job.node = chooseNode(outputs, job.stack, job.node.name);
  job.others = /** @type {Job["others"]} */ (outputs.nodes ?? []).filter((other) => other !== job.node);
}

/**
 * Asks all nodes, and refuses what must not be done.
 * @param {Job} job
 * @param {boolean} head
 */
async function lookAt(job, head) {
  const { command, node, ray } = job;
  return inStep(job, "Nodes asked", async (step) => {
    const [facts, others] = await Promise.all([askTarget(job, step.note), askOthers(job, step.note)]);
    if (command === "undrain") {
      if (!facts)
        throw new Error(`${node.name} (${node.address}) does not answer by SSH, so it cannot be taken back.`);
      return { way: facts.mark ? `out since ${when(facts.mark.since)}` : "not marked as out", value: facts };
    }
    const goesOn = readJournal(job) !== undefined;
    const { never, unforced } = objections({ command, node, ray, facts, others, head, goesOn });
    if (never.length > 0) throw new Error(never.join("\n"));
    if (unforced.length > 0 && !job.force) {
      throw new Error(`${unforced.join("\n")}\nTo do it all the same: --force`);
    }
    job.warnings.push(...unforced);
    job.filesGo = filesGo({ command, node, facts, goesOn });
    return {
      way: facts?.mark ? `out since ${when(facts.mark.since)}; going on` : "all looked at",
      value: facts,
    };
  });
}

/**
 * What will happen.
 * @param {Job} job
 * @param {import("./node/facts.mjs").Facts | undefined} facts
 */
async function show(job, facts) {
  const { command, node, ray, deadlineMs } = job;
  const work = ray ? workOn(job, await cluster(job)) : null;
  job.ui.say(whatHappens({ command, node, facts, ray, work, deadlineMs }).join("\n"));
}
