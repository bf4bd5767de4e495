/** Commands that were begun in a container by a berthd that has ended since, and that nobody waits for any more. */
import { setTimeout as after } from "node:timers/promises";
import { HANG_UP_MS } from "./command";
import { DockerError, short } from "./errors";
import type { Sessions } from "./sessions";

/** How a command is known to be berthd's: a variable that it is run with, whose value is another one at each start. */
export interface Mark {
  variable: string;
  value: string;
}

const LOOK_EVERY_MS = 50;

/**
 * Ends those of other values as when a terminal's line is cut: they are told, and those that stay are killed. What a command
 * had begun with nohup goes on.
 *
 * @param main the container's first process
 * @returns how many there were
 * @throws DockerError some of them still run
 */
export async function endLeft(
  sessions: Sessions,
  container: string,
  main: number,
  mark: Mark,
): Promise<number> {
  const found = await sessions.marked(container, main, mark.variable);
  const left = found.filter(({ value }) => value !== mark.value).map(({ leader }) => leader);
  for (const leader of left) await sessions.signal(container, leader, "SIGHUP");
  const staying = () => left.filter((leader) => sessions.leads(container, leader));
  await soon(async () => staying().length === 0);
  const killed = staying();
  // Again and again: one that begins others may have begun one meanwhile.
  const ended = async () => {
    let count = 0;
    for (const leader of killed) count += await sessions.signal(container, leader, "SIGKILL");
    return count === 0;
  };
  if (!(await soon(ended)))
    throw new DockerError(
      `commands of container ${short(container)} still run after they were killed`,
      "unknown",
    );
  return left.length;
}

/** Whether it is so within the time that a hang-up is given. */
async function soon(done: () => Promise<boolean>): Promise<boolean> {
  for (let waited = 0; waited < HANG_UP_MS; waited += LOOK_EVERY_MS) {
    if (await done()) return true;
    await after(LOOK_EVERY_MS);
  }
  return done();
}
