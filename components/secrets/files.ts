import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { USER_NAME } from "../../core/names";

/**
 * The few files that SSH clients need on the operator's computer: keys and known hosts of a stack.
 * All of them can be made again from the stack's state.
 */

/** `$BERTH_HOME/stacks/<stack>`; BERTH_HOME defaults to `$XDG_DATA_HOME/berth`, then `~/.local/share/berth`. */
export function stackFolder(stack: string): string {
  const data = process.env.XDG_DATA_HOME || join(homedir(), ".local", "share");
  return join(process.env.BERTH_HOME || join(data, "berth"), "stacks", stack);
}

export interface StackFiles {
  folder: string;
  /** Private key file for the nodes. */
  operatorKey: string;
  knownHosts: string;
}

export function stackFiles(stack: string): StackFiles {
  const folder = stackFolder(stack);
  return { folder, operatorKey: join(folder, "id_ed25519"), knownHosts: join(folder, "known_hosts") };
}

/** Writes a 0600 file whole or not at all; leaves it alone when it holds this text already. */
export function placeFile(path: string, text: string): void {
  try {
    if (readFileSync(path, "utf8") === text) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o600, flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Keys made for users, and what a killed run left of one. */
const USER_KEY = /^user-([^.]+)(\.\d+\.tmp)?$/;

/**
 * Removes the private keys of users that have none any more: they are gone, or have keys of their own. Each can be made
 * again from the stack's seed.
 *
 * @param users those whose keys stay
 * @returns the files that went
 */
export function forgetUserKeys(stack: string, users: readonly string[]): string[] {
  const folder = stackFolder(stack);
  if (!existsSync(folder)) return [];
  const gone = readdirSync(folder).filter((name) => {
    const [, user = "", unfinished] = USER_KEY.exec(name) ?? [];
    return USER_NAME.test(user) && (unfinished !== undefined || !users.includes(user));
  });
  for (const name of gone) rmSync(join(folder, name), { force: true });
  return gone;
}

/** Makes the stack's folder (0700) and puts `files` (name to text) into it. */
export function placeStackFiles(stack: string, files: Record<string, string>): void {
  const folder = stackFolder(stack);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(files)) placeFile(join(folder, name), text);
}
