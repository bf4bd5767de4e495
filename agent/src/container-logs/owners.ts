/** Whose logs those are: in a file beside each, for as long as there is the log. */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InTurn } from "../waiting";

const FILE = /^([0-9a-f]{8})\.owner$/;
/** One whose write a crash cut off. */
const HALF = /^[0-9a-f]{8}\.owner\.new$/;
/** Characters of a name. */
const LONGEST = 64;

export class Owners {
  private readonly byId = new Map<string, string>();
  private readonly writes = new InTurn();

  /** @param failed told of what could not be written */
  constructor(
    private readonly folder: string,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Reads what is there. */
  async restore(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (HALF.test(name)) await rm(join(this.folder, name), { force: true });
      const id = FILE.exec(name)?.[1];
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
    const path = this.path(id);
    this.write(async () => {
      await writeFile(`${path}.new`, owner, { mode: 0o600 });
      await rename(`${path}.new`, path);
    });
  }

  /** Forgets those of logs that are gone. */
  prune(there: (id: string) => boolean): void {
    for (const id of this.byId.keys()) {
      if (there(id)) continue;
      this.byId.delete(id);
      this.write(() => rm(this.path(id), { force: true }));
    }
  }

  /** Resolves when all is written. */
  settled(): Promise<void> {
    return this.writes.run(async () => {});
  }

  private write(work: () => Promise<void>): void {
    this.writes.run(work).catch(this.failed);
  }

  private path(id: string): string {
    return join(this.folder, `${id}.owner`);
  }
}
