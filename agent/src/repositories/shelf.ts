import { randomUUID } from "node:crypto";
import { renameSync } from "node:fs";
import { chmod, lstat, lutimes, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Repository } from "../../../core/manager";
import { entries, makeFolder, makeLeaf, removeAll, removeLeftovers, sizeOf } from "./files";
import { TEMPLATE } from "./tree";
import type { RepositoryCacheOptions } from "./types";

interface Kept {
  bytes: number;
  /** Milliseconds since the epoch. */
  usedAt: number;
}

/** What is under way: half repositories, and working trees. No name of a host begins with a dot. */
const WORK = ".work";
/** What the `.git` of each working tree begins with. */
const START = ".template";
const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._:[\]-]+$/;

/** The repositories that are kept, each whole: `HOST/OWNER/NAME.git`. */
export class Shelf {
  private readonly kept = new Map<string, Kept>();

  private readonly folder: string;

  constructor(private readonly options: Pick<RepositoryCacheOptions, "folder" | "account" | "log">) {
    this.folder = resolve(options.folder);
  }

  /** A repository's name here, and its place below the folder. */
  keyOf({ host, owner, name }: Repository): string {
    const parts = [host, owner, `${name}.git`];
    if (host.startsWith(".") || !parts.every((part) => NAME.test(part)))
      throw new Error(`a repository that was not looked at: ${JSON.stringify(parts)}`);
    return parts.join("/");
  }

  get bytes(): number {
    return [...this.kept.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  bytesOf(key: string): number {
    return this.kept.get(key)?.bytes ?? 0;
  }

  get count(): number {
    return this.kept.size;
  }

  place(key: string): string {
    return join(this.folder, key);
  }

  has(key: string): boolean {
    return this.kept.has(key);
  }

  /** An empty folder of git's for something that is under way. */
  async work(): Promise<string> {
    const folder = this.aside();
    await makeLeaf(folder, this.options.account);
    return folder;
  }

  get template(): string {
    return join(this.folder, START);
  }

  /** Puts a whole repository in the place of the one that is there, if there is one. */
  async put(key: string, from: string, at: number): Promise<void> {
    const { folder } = this;
    await makeFolder(dirname(this.place(key)), folder, this.passed);
    const bytes = await sizeOf(from);
    const aside = this.aside();
    if (this.kept.delete(key)) renameSync(this.place(key), aside);
    renameSync(from, this.place(key));
    this.kept.set(key, { bytes, usedAt: at });
    await this.stamp(key, at);
    await removeAll(aside);
  }

  /** Notes that it was used; its size is looked at where it may be another. */
  async used(key: string, at: number, changed: boolean): Promise<void> {
    const bytes = changed ? await sizeOf(this.place(key)) : this.bytesOf(key);
    this.kept.set(key, { bytes, usedAt: at });
    await this.stamp(key, at);
  }

  /** Looks at its size, without a use of it. */
  async measure(key: string): Promise<number> {
    const bytes = await sizeOf(this.place(key));
    this.kept.set(key, { bytes, usedAt: this.kept.get(key)?.usedAt ?? 0 });
    return bytes;
  }

  /** The one that nobody has used for the longest time, of those that `mayGo`. */
  oldest(mayGo: (key: string) => boolean): string | undefined {
    const those = [...this.kept].filter(([key]) => mayGo(key));
    return those.sort(([, a], [, b]) => a.usedAt - b.usedAt)[0]?.[0];
  }

  /** At once out of its place, so that whoever comes next finds none. */
  async remove(key: string): Promise<void> {
    const aside = this.aside();
    this.kept.delete(key);
    renameSync(this.place(key), aside);
    await removeAll(aside);
  }

  /** Reads what is there, without what a berthd before this one left half done. */
  async load(): Promise<void> {
    const { folder } = this;
    await makeFolder(folder, folder, this.passed);
    for (const { name } of await entries(folder)) if (name.startsWith(WORK)) await this.clear(name);
    await makeFolder(join(folder, WORK), folder, this.passed);
    await this.makeTemplate();
    this.kept.clear();
    for (const key of await this.keys()) {
      const { mtimeMs } = await lstat(this.place(key));
      await removeLeftovers(this.place(key));
      await this.used(key, mtimeMs, true);
    }
  }

  /** What will not go is put where nobody works, so that one such thing does not keep the node from all others. */
  private async clear(name: string): Promise<void> {
    try {
      await removeAll(this.place(name));
    } catch (error) {
      const folder = name === WORK ? this.place(`${WORK}-${randomUUID()}`) : this.place(name);
      if (name === WORK) renameSync(this.place(name), folder);
      const reason = (error as Error).message;
      this.options.log.warn(
        { folder, reason },
        "what was left under way cannot be removed: remove it by hand",
      );
    }
  }

  /** A new path that nobody else knows. */
  private aside(): string {
    return join(this.folder, WORK, randomUUID());
  }

  private get passed(): boolean {
    return this.options.account !== undefined;
  }

  private async makeTemplate(): Promise<void> {
    await removeAll(this.template);
    for (const [path, text] of Object.entries(TEMPLATE)) {
      const file = join(this.template, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
      // Git's account reads it, whatever berthd's umask is.
      for (const folder of [this.template, dirname(file)]) await chmod(folder, 0o755);
      await chmod(file, 0o644);
    }
  }

  private async keys(): Promise<string[]> {
    const keys: string[] = [];
    const hosts = (await this.folders("")).filter((name) => !name.startsWith("."));
    for (const host of hosts)
      for (const owner of await this.folders(host))
        for (const name of await this.folders(owner)) if (name.endsWith(".git")) keys.push(name);
    return keys;
  }

  private async folders(below: string): Promise<string[]> {
    const found = await entries(this.place(below));
    return found.filter((entry) => entry.isDirectory()).map(({ name }) => join(below, name));
  }

  /** The time of a repository's folder is that of its last use, for the berthd after this one. */
  private stamp(key: string, at: number): Promise<void> {
    return lutimes(this.place(key), at / 1000, at / 1000);
  }
}
