/**
 * @file Gives a node a host key of its own in place of the one that it was made with, which its provider goes on serving
 * with the user data. `up` calls it, once for each machine: see components/node/host-key.ts.
 *
 * What to do comes as JSON on standard input, since there are keys in it. The connection is to one of the two keys, and to
 * no other; so a run that was cut off anywhere is done again whole. It ends well when the node shows its own key, and
 * prints the machine. Pulumi's command gives that back the next time (PULUMI_COMMAND_STDOUT): for the same machine only its
 * own key is accepted then. Exit codes: 0 done, 1 not done, 130 stopped by Ctrl-C.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runMain } from "./lib/main.mjs";
import { CommandError, handleSignals, run, throwIfInterrupted } from "./lib/process.mjs";
import { sshTo } from "./lib/ssh.mjs";

/**
 * `machine`: its id; `made`: the public key that the machine was made with; `own`: the one that it is to show; `command`: the stage that
 * makes it so, given `secrets` on its standard input. `seconds`: how long a machine may take to answer, default 900;
 * `patience`: how long one may show another key or not yet its own, default 60.
 * @typedef {{
 *   node: string, machine: string, host: string, port: number, user: string, privateKey: string, made: string, own: string,
 *   command: string, secrets: Record<string, string>, seconds?: number, patience?: number,
 * }} Job
 */

const SECOND = 1000;
const PAUSE = 2 * SECOND;
/** The first boot, which the stage waits for, and some. */
const STAGE = 20 * 60 * SECOND;
/** What ssh says when the host shows a key that is none of those known. */
const OTHER_KEY = /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/;

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Runs a command on the node, and tries again while it cannot be reached.
 * @param {Job} job
 * @param {string} folder
 * @param {{accepted: string[], command: string, input: string, seconds: number, patience: number}} what
 */
async function onNode(job, folder, { accepted, command, input, seconds, patience }) {
  const known = join(folder, "known_hosts");
  const name = job.port === 22 ? job.host : `[${job.host}]:${job.port}`;
  writeFileSync(known, accepted.map((key) => `${name} ${key}\n`).join(""), { mode: 0o600 });
  const options = {
    IdentitiesOnly: "yes",
    UserKnownHostsFile: `"${known}"`,
    GlobalKnownHostsFile: "none",
    ConnectTimeout: "10",
  };
  const words = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const target = { user: job.user, host: job.host, port: job.port };
  const args = ["-F", "none", "-i", join(folder, "key"), ...sshTo(target, words), command];
  const began = Date.now();
  for (;;) {
    try {
      return await run("ssh", args, { input, deadlineMs: STAGE });
    } catch (error) {
      // 255 is ssh's own; what the command ends with is its last word.
      if (!(error instanceof CommandError) || error.code !== 255) throw error;
      const other = OTHER_KEY.test(error.output.join("\n"));
      const since = (Date.now() - began) / SECOND;
      if (since > (other ? patience : seconds)) throw other ? otherKey(job, accepted) : error;
    }
    await pause(PAUSE);
    throwIfInterrupted();
  }
}

/**
 * @param {Job} job
 * @param {string[]} accepted
 */
function otherKey({ node, host, made, own }, accepted) {
  const both = accepted.includes(made);
  return new Error(
    `node ${node} (${host}) shows ${both ? "a host key that is neither the one of its user data nor its own" : "another host key than its own"}, ` +
      `so ${both ? "nothing was sent to it" : "it cannot be told from another machine"}. Its own is ${own}. ` +
      `If the machine was rebuilt or restored elsewhere, make it anew: npm run node -- replace ${node}`,
  );
}

await runMain(async () => {
  handleSignals();
  /** @type {Job} */
  const job = JSON.parse(readFileSync(0, "utf8"));
  const { machine, made, own, seconds = 900, patience = 60 } = job;
  const done = process.env.PULUMI_COMMAND_STDOUT?.trim() === machine;
  const folder = mkdtempSync(join(tmpdir(), "berth-host-key-"));
  try {
    writeFileSync(join(folder, "key"), job.privateKey, { mode: 0o600 });
    const input = JSON.stringify(job.secrets);
    await onNode(job, folder, {
      accepted: done ? [own] : [own, made],
      command: job.command,
      input,
      seconds,
      patience,
    });
    // From here on every connection asks for it.
    await onNode(job, folder, { accepted: [own], command: "true", input: "", seconds: patience, patience });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(`${machine}\n`);
});
