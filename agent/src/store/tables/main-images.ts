import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { Table } from "./table";

const shape = z.object({
  /** Of the owner and the repository. */
  key: z.string(),
  owner: z.string(),
  /** As people see it: `owner-repo:main`. */
  shown: z.string(),
  /** `sha256:…` */
  image: z.string(),
  /** What it was made from: see `ImageSource`. */
  base: z.string(),
  lock: z.string(),
  /** No container is made from it any more. */
  outdated: z.literal(true).optional(),
  /** In milliseconds since the epoch. */
  createdAt: z.number(),
  usedAt: z.number(),
  /** It is not kept any more: the row goes. */
  over: z.literal(true).optional(),
});

/** An image of a repository's main branch. */
export type MainImageRow = z.infer<typeof shape>;

/** Images of main branches, one of each repository of an owner. */
export class MainImageRows extends Table<MainImageRow> {
  private readonly upsert = this.db.prepare("INSERT OR REPLACE INTO main_images (key, body) VALUES (?, ?)");
  private readonly remove = this.db.prepare("DELETE FROM main_images WHERE key = ?");
  private readonly every = this.db.prepare("SELECT key, body FROM main_images ORDER BY key");

  constructor(db: DatabaseSync) {
    super(db, "main_images", shape);
  }

  put(row: MainImageRow): void {
    if (row.over) this.remove.run(row.key);
    else this.upsert.run(row.key, JSON.stringify(row));
  }

  all(): MainImageRow[] {
    return this.read(() =>
      (this.every.all() as { key: string; body: string }[]).map(({ key, body }) => this.parsed(key, body)),
    );
  }
}
