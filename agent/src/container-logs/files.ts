import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isManagedCreation } from "../../../core/names";
import { mapLimit } from "../waiting";

export interface LogFile {
  path: string;
  bytes: number;
  /** When it was last written, Unix time in milliseconds. */
  at: number;
}

/** What is on the disk of one container's log. */
export interface LogFiles {
  id: string;
  /** The oldest first. */
  files: LogFile[];
  bytes: number;
  /** When its newest file was last written, Unix time in milliseconds. */
  at: number;
}

const ENDING = /\.jsonl(?:\.\d)?$/;

/** @throws for what is no id of a container */
export function logPath(folder: string, id: string): string {
  // Anything else would be a path.
  if (!isManagedCreation(id))
    throw new Error("A container's log is found by its id: 8 characters of 0-9 and a-f.");
  return join(folder, `${id}.jsonl`);
}

/** All logs in the folder. Files with other names are none of them, and no link is followed. */
export async function listLogs(folder: string): Promise<LogFiles[]> {
  const names = (await readdir(folder)).filter((name) => idIn(name, ENDING) !== undefined);
  // FILE.3 is older than FILE.2, and FILE the newest.
  const files = await mapLimit(names.sort().reverse(), 16, (name) => fileAt(folder, name));
  const byId = new Map<string, LogFile[]>();
  for (const file of files.flat()) {
    const { id, ...rest } = file;
    byId.set(id, [...(byId.get(id) ?? []), rest]);
  }
  return [...byId].map(([id, ofIt]) => ({
    id,
    files: ofIt,
    bytes: ofIt.reduce((sum, { bytes }) => sum + bytes, 0),
    at: Math.max(...ofIt.map(({ at }) => at)),
  }));
}

/** Of which container a file is, by its name; undefined: it has another ending, or no id before that. */
export function idIn(name: string, ending: RegExp): string | undefined {
  const id = name.replace(ending, "");
  return ending.test(name) && isManagedCreation(id) ? id : undefined;
}

async function fileAt(folder: string, name: string): Promise<(LogFile & { id: string })[]> {
  const path = join(folder, name);
  try {
    const found = await lstat(path);
    if (!found.isFile()) return [];
    return [{ id: idIn(name, ENDING) ?? "", path, bytes: found.size, at: found.mtimeMs }];
  } catch (error) {
    // Put aside or removed since the folder was read.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Removes those that are there. @throws AggregateError when it has tried all: why some could not be removed */
export async function removeAll(files: Iterable<LogFile>): Promise<void> {
  const failures: Error[] = [];
  for (const { path } of files)
    await rm(path, { force: true }).catch((error: Error) => {
      failures.push(error);
    });
  const [first] = failures;
  if (first)
    throw new AggregateError(
      failures,
      `${failures.length} files could not be removed; the first: ${first.message}`,
    );
}
