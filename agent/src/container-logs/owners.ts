/** Whose logs those are: in a file beside each, for as long as there is the log. */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InTurn } from "../waiting";
import { idIn } from "./files";

const ENDING = /\.owner$/;
/** Of one whose write a crash cut off. */
const HALF = /\.owner\.new$/;
/** From when one is known until it is written: whoever asks is answered first, and the disk has a lot to do in that moment. */
const GATHER_MS = 250;
/** Characters of a name. */
const LONGEST = 64;

export class Owners {
  private readonly byId = new Map<string, string>();
  /** Known, and not written yet. */
  private readonly unwritten = new Set<string>();
  private readonly writes = new InTurn();
  private timer: NodeJS.Timeout | undefined;

  /** @param failed told of what could not be written */
  constructor(
    private readonly folder: string,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Reads what is there. */
  async restore(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (idIn(name, HALF) !== undefined) await rm(join(this.folder, name), { force: true });
      const id = idIn(name, ENDING);
      if (id === undefined) continue;
      const owner = await readFile(join(this.folder, name), "utf8");
      // A power cut may leave it empty: then it is nobody's.
      if (owner !== "" && owner.length <= LONGEST) this.byId.set(id, owner);
    }
  }

  of(id: string): string | undefined {
    return this.byId.get(id);
  }

  all(): ReadonlyMap<string, string> {
    return this.byId;
  }

  /** Known at once, and written soon. */
  set(id: string, owner: string): void {
    if (this.byId.get(id) === owner) return;
    this.byId.set(id, owner);
    this.unwritten.add(id);
    this.timer ??= setTimeout(() => this.writeAll(), GATHER_MS).unref();
  }

  /** Forgets those of logs that are gone. */
  prune(there: (id: string) => boolean): void {
    for (const id of this.byId.keys()) {
      if (there(id)) continue;
      this.byId.delete(id);
      this.unwritten.delete(id);
      this.write(() => rm(this.path(id), { force: true }));
    }
  }

  /** Resolves when all is written. */
  settled(): Promise<void> {
    this.writeAll();
    return this.writes.run(async () => {});
  }

  private writeAll(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const id of this.unwritten) this.write(() => this.save(id));
    this.unwritten.clear();
  }

  private async save(id: string): Promise<void> {
    const owner = this.byId.get(id);
    // Its log may be gone by now.
    if (owner === undefined) return;
    const path = this.path(id);
    await writeFile(`${path}.new`, owner, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  private write(work: () => Promise<void>): void {
    this.writes.run(work).catch(this.failed);
  }

  private path(id: string): string {
    return join(this.folder, `${id}.owner`);
  }
}
