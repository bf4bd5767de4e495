import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { lstat, lutimes, mkdir, readdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Generation } from "../../../core/manager";
import { readIfThere } from "../files";
import type { PackageCachesOptions } from "./types";

const noteSchema = z.object({
  owner: z.string(),
  name: z.string(),
  branch: z.string(),
  fingerprint: z.string(),
  bytes: z.number(),
  entries: z.number(),
});
type Note = z.infer<typeof noteSchema>;
type KeptGeneration = Omit<Generation, "inUse"> & Note;

/** What is kept, each whole: `CACHE/NUMBER/tree`, and `note.json` beside it. */
export class Shelf {
  private readonly kept = new Map<string, KeptGeneration>();
  /** By container: the folder of the generation below it. */
  private readonly users = new Map<string, string>();
  private readonly caches: string;
  private readonly works: string;

  /** @param removeAll of a folder with all that is in it, however deep */
  constructor(
    private readonly options: Pick<PackageCachesOptions, "folder" | "log" | "now">,
    private readonly removeAll: (folder: string) => Promise<unknown>,
  ) {
    this.caches = join(options.folder, "caches");
    this.works = join(options.folder, "work");
  }

  /** Whether there is something, also before it is read. */
  get hasSome(): boolean {
    return existsSync(this.caches) && readdirSync(this.caches).length > 0;
  }

  /** Reads what is there, without what a berthd before this one left half done. */
  async load(): Promise<void> {
    await this.removeAll(this.works);
    for (const folder of [this.caches, this.works]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.kept.clear();
    for (const cache of await readdir(this.caches))
      for (const number of await readdir(join(this.caches, cache))) await this.read(cache, Number(number));
  }

  get all(): (KeptGeneration & { inUse: boolean })[] {
    const used = new Set(this.users.values());
    return [...this.kept].map(([folder, one]) => ({ ...one, inUse: used.has(folder) }));
  }

  newest(cache: string): KeptGeneration | undefined {
    const own = [...this.kept.values()].filter((one) => one.cache === cache);
    return own.sort((a, b) => b.number - a.number)[0];
  }

  get(cache: string, number: number): KeptGeneration | undefined {
    return this.kept.get(this.place(cache, number));
  }

  tree({ cache, number }: Pick<Generation, "cache" | "number">): string {
    return join(this.place(cache, number), "tree");
  }

  /** It stays for as long as the container has it. */
  async use(container: string, one: KeptGeneration): Promise<void> {
    this.users.set(container, this.place(one.cache, one.number));
    await this.stamp(one);
  }

  async giveBack(container: string): Promise<void> {
    const one = this.kept.get(this.users.get(container) ?? "");
    this.users.delete(container);
    if (one) await this.stamp(one);
  }

  /** An empty folder for the next generation, which nobody else knows. */
  async work(): Promise<string> {
    const folder = join(this.works, randomUUID());
    await mkdir(folder, { mode: 0o700 });
    return folder;
  }

  /** Puts a folder with a whole `tree` among the kept. */
  async put(cache: string, work: string, note: Note): Promise<number> {
    await writeFile(join(work, "note.json"), JSON.stringify(note), { mode: 0o600, flush: true });
    await mkdir(join(this.caches, cache), { recursive: true, mode: 0o700 });
    // Also after one that cannot be read.
    const number = Math.max(0, ...(await readdir(join(this.caches, cache))).map(Number)) + 1;
    renameSync(work, this.place(cache, number));
    const one = { ...note, cache, number, usedAt: this.now() };
    this.kept.set(this.place(cache, number), one);
    await this.stamp(one);
    return number;
  }

  /** From this moment on nobody gets it. */
  async remove({ cache, number }: Pick<Generation, "cache" | "number">): Promise<void> {
    const place = this.place(cache, number);
    const aside = join(this.works, randomUUID());
    this.kept.delete(place);
    renameSync(place, aside);
    await this.removeAll(aside);
    if ((await readdir(join(this.caches, cache))).length === 0) await rmdir(join(this.caches, cache));
  }

  private async read(cache: string, number: number): Promise<void> {
    const place = this.place(cache, number);
    try {
      const note = noteSchema.parse(JSON.parse(readIfThere(join(place, "note.json")) ?? ""));
      const { mtimeMs } = await lstat(place);
      this.kept.set(place, { ...note, cache, number, usedAt: mtimeMs });
    } catch (error) {
      this.options.log.warn(
        { folder: place, reason: (error as Error).message },
        "kept packages cannot be read: berthd does without them, and leaves the folder to be looked at and removed by hand",
      );
    }
  }

  private place(cache: string, number: number): string {
    return join(this.caches, cache, String(number));
  }

  private now(): number {
    return (this.options.now ?? Date.now)();
  }

  /** The time of its folder is that of its last use, for the berthd after this one. */
  private async stamp(one: KeptGeneration): Promise<void> {
    one.usedAt = this.now();
    const seconds = one.usedAt / 1000;
    await lutimes(this.place(one.cache, one.number), seconds, seconds);
  }
}
