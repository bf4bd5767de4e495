/** Which process a set of machines belongs to: what a living one made is never taken for the leavings of a killed one. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folderPrefix, type Naming } from "./names";

/** When a process began, in the kernel's ticks; undefined when there is none. A number is used again, this is not. */
function begun(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name, in brackets, and may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** Folders of this set, of whatever run. */
export const folders = (naming: Naming): string[] =>
  readdirSync(tmpdir())
    .filter((entry) => entry.startsWith(folderPrefix(naming)))
    .map((entry) => join(tmpdir(), entry));

function owner(folder: string): string | undefined {
  try {
    const [pid = "", start] = readFileSync(join(folder, "owner"), "utf8").split(" ");
    return start !== undefined && begun(pid) === start ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Makes the folder for the set's files, and marks it as this process's.
 *
 * @throws when another living set has the name
 */
export function claim(naming: Naming): string {
  const folder = mkdtempSync(join(tmpdir(), folderPrefix(naming)));
  writeFileSync(join(folder, "owner"), `${process.pid} ${begun(String(process.pid))}`);
  for (const other of folders(naming)) {
    const pid = other === folder ? undefined : owner(other);
    if (pid === undefined) continue;
    rmSync(folder, { recursive: true });
    throw new Error(
      `process ${pid} has test machines named ${naming.name} (${other}). Wait for its end, or give these another name, and other address ranges`,
    );
  }
  return folder;
}
