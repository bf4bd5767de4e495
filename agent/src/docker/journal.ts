/**
 * The creations under way, one small file each. They outlive a berthd that is killed in the middle; what a loss of power
 * takes with it is left to the end of the reservation.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface JournalEntry {
  creation: string;
  user: string;
  /** The container's. */
  name: string;
  /** The grant's; no other grant has the same. */
  purpose: string;
  /** The caller was told that it failed: nothing of it is to stay. */
  abandoned?: true;
}

const NAME = /^([0-9a-f]{16})\.json$/;

export class Journal {
  /** @param folder made when it is not there. */
  constructor(private readonly folder: string) {}

  begin(entry: JournalEntry): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    this.write(entry);
  }

  /** @throws Error also when the folder has gone: it is not made anew for a creation that is over. */
  abandon(entry: JournalEntry): void {
    this.write({ ...entry, abandoned: true });
  }

  private write(entry: JournalEntry): void {
    const file = this.file(entry.creation);
    writeFileSync(`${file}.new`, JSON.stringify(entry), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  remove(creation: string): void {
    rmSync(this.file(creation), { force: true });
  }

  /** What is no entry (half a file after a loss of power) is told and taken away: it names nothing. */
  read(onGarbage: (file: string) => void): JournalEntry[] {
    const entries: JournalEntry[] = [];
    for (const file of this.files()) {
      const creation = NAME.exec(file)?.[1];
      const entry = creation === undefined ? undefined : parse(join(this.folder, file));
      if (entry !== undefined && entry.creation === creation) entries.push(entry);
      // One that ends in .new was not renamed: its creation had not begun.
      else {
        if (!file.endsWith(".new")) onGarbage(file);
        rmSync(join(this.folder, file), { force: true, recursive: true });
      }
    }
    return entries;
  }

  private files(): string[] {
    try {
      return readdirSync(this.folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  private file(creation: string): string {
    return join(this.folder, `${creation}.json`);
  }
}

function parse(file: string): JournalEntry | undefined {
  try {
    const value = JSON.parse(readFileSync(file, "utf8")) as Partial<JournalEntry> | null;
    const { creation, user, name, purpose } = value ?? {};
    const texts = [creation, user, name, purpose].every((text) => typeof text === "string" && text !== "");
    return texts ? (value as JournalEntry) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
