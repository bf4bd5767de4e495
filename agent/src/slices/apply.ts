import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { slicePath } from "../../../core/limits";
import { readIfThere, replaceFile } from "../files";
import { cgroupVersion, inUse, type Unheld, unheldLimits } from "./cgroup";
import { type CgroupVersion, HEADER, properties, type SliceUnit } from "./render";

/** Puts slices on a node and takes away those that nobody needs any more. */

/** Runs a program without a shell; never throws for what the program returns. */
export type SliceExec = (
  file: string,
  args: readonly string[],
) => Promise<{ code: number; stdout: string; stderr: string }>;

export interface SliceOptions {
  exec: SliceExec;
  /** The node's `/`. @default "/" */
  root?: string;
  /** Read from the node when left out. */
  cgroup?: CgroupVersion;
}

export interface SliceReport {
  /** Slices whose files were new or other. */
  written: string[];
  /** Slices that were started. */
  started: string[];
  removed: string[];
  /** Slices of users that are gone, in which something still runs: the next call looks again. */
  kept: string[];
  /** Limits that are written and that the kernel does not hold. */
  unheld: Unheld[];
}

/** systemd refused, or a file is in the way; `message` says which and what to do. */
export class SliceError extends Error {
  override readonly name = "SliceError";
}

/** Ours by name; whether a file is ours says its first line. */
const OURS = /^berth(-[a-z0-9_]+){0,3}\.slice$/;
const UNITS = "etc/systemd/system";
/** Where systemd keeps what `set-property --runtime` sets. */
const RUNTIME = "run/systemd/system.control";
/** What is linked here is started before Docker, which starts containers by itself after a boot. */
const WANTS = join(UNITS, "docker.service.wants");

/**
 * Makes the node's slices those that are desired: writes what differs, reloads systemd when something did, starts
 * what is not active, and removes what is no longer desired and empty. Without a difference it only asks systemd.
 * A call that was cut off anywhere is made good by the next.
 *
 * @throws SliceError where systemd refuses, or another's file has the name of one of ours.
 */
export async function applySlices(
  desired: readonly SliceUnit[],
  { exec, root = "/", cgroup = cgroupVersion(root) }: SliceOptions,
): Promise<SliceReport> {
  const units = join(root, UNITS);
  mkdirSync(join(root, WANTS), { recursive: true });
  const present = readdirSync(units).filter((name) => OURS.test(name));
  const foreign = present.filter((name) => !isOurs(join(units, name)));
  const inTheWay = desired.filter(({ name }) => foreign.includes(name)).map(({ name }) => join(units, name));
  if (inTheWay.length > 0)
    throw new SliceError(
      `${inTheWay.join(", ")}: not written by Berth, and in the way of the limits of its users. Move it away, or give the group or the user another name.`,
    );

  const { gone, kept } = partition(desired, present, foreign, cgroup, root);
  // Stopped before its file goes: what a cut-off call leaves is found again by the file.
  if (gone.length > 0) await systemctl(exec, ["stop", ...gone]);
  const written = desired.filter((unit) => place(root, unit)).map(({ name }) => name);
  for (const name of gone) {
    rmSync(join(root, WANTS, name), { force: true });
    rmSync(join(units, name));
    rmSync(join(root, RUNTIME, `${name}.d`), { recursive: true, force: true });
  }

  const names = desired.map(({ name }) => name);
  let states = await show(exec, names);
  if (written.length + gone.length > 0 || states.some(({ stale }) => stale)) {
    await systemctl(exec, ["daemon-reload"]);
    states = await show(exec, names);
  }
  const started = states.filter(({ active }) => !active).map(({ name }) => name);
  if (started.length > 0) await systemctl(exec, ["start", ...started]);
  await hold(exec, desired, cgroup, root);
  return { written, started, removed: gone, kept, unheld: unheldLimits(desired, cgroup, root) };
}

/**
 * A reload does not change the limits of an active slice at once (seen with systemd 257): they are set once more,
 * until the next boot, which reads the file. Stopping and starting it instead would take the controllers from what runs
 * in it.
 */
async function hold(
  exec: SliceExec,
  desired: readonly SliceUnit[],
  cgroup: CgroupVersion,
  root: string,
): Promise<void> {
  const wrong = unheldLimits(desired, cgroup, root).filter(({ there }) => there);
  for (const { name, limits } of desired.filter(({ name }) => wrong.some(({ slice }) => slice === name)))
    await systemctl(exec, ["set-property", "--runtime", name, ...properties(limits, cgroup)]);
}

/** What is no longer desired: what can go, the innermost first, and what still has something in it. */
function partition(
  desired: readonly SliceUnit[],
  present: readonly string[],
  foreign: readonly string[],
  cgroup: CgroupVersion,
  root: string,
): { gone: string[]; kept: string[] } {
  const wanted = new Set(desired.map(({ name }) => name));
  const leftover = present.filter((name) => !wanted.has(name) && !foreign.includes(name));
  // The keeper goes with the slice that it keeps, so look at both as one; a parent counts what is in its children.
  const depth = (name: string) => name.split("-").length;
  // Only a keeper has four words: `berth-student-keep.slice` is the slice of a user called keep.
  const ofKeeper = (name: string) => (depth(name) === 4 ? name.replace(/-keep\.slice$/, ".slice") : name);
  const busy = (name: string) => inUse(slicePath(ofKeeper(name)), cgroup, root);
  const kept = leftover.filter(busy).sort();
  const gone = leftover
    .filter((name) => !kept.includes(name))
    .sort((a, b) => depth(b) - depth(a) || (a < b ? -1 : 1));
  return { gone, kept };
}

function isOurs(file: string): boolean {
  // A link to /dev/null is how an administrator masks a unit.
  if (lstatSync(file).isSymbolicLink()) return false;
  return readFileSync(file, "utf8").startsWith(HEADER);
}

/** True when something had to be written. */
function place(root: string, { name, content }: SliceUnit): boolean {
  const file = join(root, UNITS, name);
  const link = join(root, WANTS, name);
  const target = `../${name}`;
  const linked = existsLink(link) && readlinkSync(link) === target;
  if (!linked) {
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
  if (readIfThere(file) === content) return !linked;
  replaceFile(file, content, 0o644);
  return true;
}

function existsLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

interface UnitState {
  name: string;
  active: boolean;
  /** systemd has not read the file as it is now. */
  stale: boolean;
}

async function show(exec: SliceExec, names: readonly string[]): Promise<UnitState[]> {
  const text = await systemctl(exec, ["show", "--property=Id,ActiveState,NeedDaemonReload", ...names]);
  const blocks = text
    .trim()
    .split(/\n\s*\n/)
    .map(
      (block) =>
        new Map(block.split("\n").map((line) => [line.split("=", 1)[0], line.replace(/^[^=]*=/, "")])),
    );
  return names.map((name) => {
    const block = blocks.find((one) => one.get("Id") === name);
    if (!block)
      throw new SliceError(`systemctl show said nothing of ${name}: ${JSON.stringify(text.slice(0, 200))}`);
    return {
      name,
      active: block.get("ActiveState") === "active",
      stale: block.get("NeedDaemonReload") === "yes",
    };
  });
}

async function systemctl(exec: SliceExec, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await exec("systemctl", args);
  if (code !== 0) {
    const said = (stderr.trim() || stdout.trim()).slice(0, 2000);
    throw new SliceError(
      `systemctl ${args.slice(0, 4).join(" ")}${args.length > 4 ? " …" : ""} ended with ${code}: ${said || "no message"}`,
    );
  }
  return stdout;
}

/** One apply after the other, whoever calls: of those that wait, the last alone is worth doing. */
export class Slices {
  #running: Promise<SliceReport> | undefined;
  #next: { desired: readonly SliceUnit[]; promise: Promise<SliceReport> } | undefined;

  constructor(private readonly options: SliceOptions) {}

  /** The cgroups of the node, for `desiredSlices`. */
  get cgroup(): CgroupVersion {
    return this.options.cgroup ?? cgroupVersion(this.options.root);
  }

  /** As `applySlices`. Calls that wait are answered with what the last of them asked for. */
  apply(desired: readonly SliceUnit[]): Promise<SliceReport> {
    if (this.#running === undefined) return this.#run(desired);
    if (this.#next) {
      this.#next.desired = desired;
      return this.#next.promise;
    }
    const promise = this.#running
      .catch(() => undefined)
      .then(() => {
        const next = this.#next;
        this.#next = undefined;
        return this.#run(next?.desired ?? desired);
      });
    this.#next = { desired, promise };
    return promise;
  }

  #run(desired: readonly SliceUnit[]): Promise<SliceReport> {
    const run = applySlices(desired, this.options);
    this.#running = run;
    const done = () => {
      if (this.#running === run) this.#running = undefined;
    };
    run.then(done, done);
    return run;
  }
}
