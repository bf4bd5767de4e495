/**
 * @file Removes what runs of the test machines left that were killed: folders and networks. The machines themselves died
 * with their run.
 */
import { readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processAlive } from "../lib/files.mjs";
import { run } from "../lib/process.mjs";

/** Of a run's folder, in the folder for temporary files: `berth-vm-PID-…`. */
export const FOLDER_PREFIX = "berth-vm-";
/** Of a run's namespaces: `berth-machines-PID`, and `berth-machines-PID-…` for each client. */
export const NAMESPACE_PREFIX = "berth-machines-";

/**
 * This computer's end of what joins it to a run's network; Linux lets a name have 15 characters.
 * @param {number} pid of the run
 */
export const linkOf = (pid) => `bm${pid}`;

/**
 * @param {string} name @param {string} prefix
 * @returns {number | undefined} the run whose it is, where that has ended
 */
function endedRun(name, prefix) {
  const pid = Number(new RegExp(`^${prefix}(\\d+)(-|$)`).exec(name)?.[1]);
  return pid > 0 && !processAlive(pid) ? pid : undefined;
}

/**
 * Removes what runs that have ended left; also after Ctrl-C.
 * @param {string} [folders] where their folders are; default the folder for temporary files
 */
export async function sweepMachines(folders = tmpdir()) {
  for (const entry of readdirSync(folders))
    if (endedRun(entry, FOLDER_PREFIX) !== undefined)
      rmSync(join(folders, entry), { recursive: true, force: true });
  const options = { quietInterrupt: true, deadlineMs: 30_000 };
  const { stdout } = await run("ip", ["netns", "list"], options);
  for (const line of stdout.split("\n")) {
    const name = line.split(" ")[0] ?? "";
    const pid = endedRun(name, NAMESPACE_PREFIX);
    if (pid === undefined) continue;
    // It would go with the namespace, but a little later.
    await run("ip", ["link", "delete", linkOf(pid)], { ...options, okCodes: [0, 1] });
    await run("ip", ["netns", "delete", name], options);
  }
}
