/**
 * The manager's rows in the ledger on disk, in real SQLite files. Proves: they are there after a restart; those of containers that are
 * gone stay until their ports are free for certain; a ledger of a version that had none gets their table and loses nothing; a row
 * that is not as it should be is found at the start.
 */
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import type { ManagedRow, Store } from "../../../../agent/src/store";
import { event, file, grant, NOW, opened, storeForEachTest, write } from "./rig";

storeForEachTest();

const row = (id: string, more: Partial<ManagedRow> = {}): ManagedRow => ({
  ...{ id, owner: "web", name: "app", state: "ready", container: "c".repeat(64), image: "node:24-slim" },
  ...{ ports: [{ container: 3000, host: 20_000, protocol: "tcp" }], memoryMiB: 512, cpus: 1, pids: 4096 },
  ...{ diskMiB: 1024, gpus: false, pooled: false, createdAt: NOW },
  ...more,
});
const put = (store: Store, ...rows: ManagedRow[]) =>
  store.commit({
    puts: rows.map((one) => ({ table: "managed" as const, row: one })),
    events: [],
    nextToken: 1,
  });

describe("containers of the manager", () => {
  it("are there again, and those that are gone for a while", () => {
    const store = opened();
    put(store, row("aa"), row("bb", { owner: undefined, state: "warming" }), row("cc"));
    put(store, row("cc", { state: "gone", goneAt: NOW }), row("aa", { owner: "bench" }));
    store.close();
    const again = opened();
    const all = again.tables.managed.all();
    expect(all.map(({ id, owner, state }) => [id, owner, state])).toEqual([
      ["aa", "bench", "ready"],
      ["bb", undefined, "warming"],
      ["cc", "web", "gone"],
    ]);
    again.prune(NOW + 600_000);
    expect(again.tables.managed.all()).toHaveLength(3);
    again.prune(NOW + 3_600_001);
    expect(again.tables.managed.all().map(({ id }) => id)).toEqual(["aa", "bb"]);
  });

  it("have a table in a ledger that was written before there were any", () => {
    const first = opened();
    write(first, { grants: [grant(1)], nextToken: 2, events: [event(1)] });
    first.close();
    const db = new DatabaseSync(file);
    db.exec(
      "DROP TABLE setups; DROP TABLE main_images; DROP TABLE managed; DROP TABLE volumes; DELETE FROM migrations WHERE version > 4",
    );
    db.close();
    const store = opened();
    expect(store.loaded).toMatchObject({ nextToken: 2, live: [grant(1)] });
    expect(store.loaded.lost).toBeUndefined();
    put(store, row("aa"));
    expect(store.tables.managed.all()).toHaveLength(1);
  });

  it.each(['{"id":"aa"}', "{", '{"id":"aa","state":"odd"}'])(
    "that read %s are a loss that is found at the start",
    (body) => {
      const store = opened();
      put(store, row("aa"));
      store.close();
      const db = new DatabaseSync(file);
      db.prepare("UPDATE managed SET body = ?").run(body);
      db.close();
      expect(opened().loaded.lost).toContain("Row aa of the table managed");
    },
  );
});
