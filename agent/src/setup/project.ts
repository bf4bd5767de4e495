/** What is read of a repository's working tree. Its author may be hostile: no link is followed, and each file has a bound. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type Install, installCommand, type ProjectFiles, startCommand } from "../../../core/manager";
import type { Checkout } from "../repositories";

const MOST_JSON = 2 ** 20;
const HEAD = 1024;
/** A lock file that is larger counts by its beginning. */
const MOST_LOCK = 64 * 2 ** 20;

export interface Project {
  install(options: { override?: string; incremental: boolean }): Install;
  /** The line that starts it; undefined: there is nothing to start. */
  start(override: string | undefined): string | undefined;
  /** Of the file that says what is installed; of a project without one, that of nothing. */
  lock: string;
}

export async function readProject({ folder, files }: Pick<Checkout, "folder" | "files">): Promise<Project> {
  const textOf = async (name: string, most: number) =>
    files.includes(name) ? (await beginning(join(folder, name), most)).toString("utf8") : undefined;
  const packageJson = await textOf("package.json", MOST_JSON + 1);
  const yarnLockHead = await textOf("yarn.lock", HEAD);
  const project: ProjectFiles = {
    files,
    ...(packageJson !== undefined && { packageJson }),
    ...(yarnLockHead !== undefined && { yarnLockHead }),
  };
  return {
    install: ({ override, incremental }) =>
      installCommand({ ...project, incremental, ...(override !== undefined && { override }) }),
    start: (override) => startCommand({ ...project, ...(override !== undefined && { override }) }),
    lock: await lockOf(folder, project),
  };
}

async function lockOf(folder: string, project: ProjectFiles): Promise<string> {
  const { lockFile = "package.json" } = installCommand(project);
  const hash = createHash("sha256");
  if (project.files.includes(lockFile))
    await eachPart(join(folder, lockFile), MOST_LOCK, (part) => hash.update(part));
  return hash.digest("hex");
}

async function beginning(path: string, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  await eachPart(path, most, (part) => parts.push(part));
  return Buffer.concat(parts);
}

async function eachPart(path: string, most: number, take: (part: Buffer) => void): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if ((await file.stat()).isFile()) await readParts(file, most, take);
  } finally {
    await file.close();
  }
}

async function readParts(file: FileHandle, most: number, take: (part: Buffer) => void): Promise<void> {
  for await (const part of file.createReadStream({ end: most - 1, autoClose: false })) take(part as Buffer);
}
