/**
 * Callbacks in the ledger on disk, in real SQLite files. Proves: those that are still to be sent are there after a restart, each
 * container's in order; and a ledger of a version that had none gets their table and loses nothing.
 */
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import type { CallbackRow, Store } from "../../../../agent/src/store";
import { event, file, grant, NOW, opened, storeForEachTest, write } from "./rig";

storeForEachTest();

describe("callbacks", () => {
  const callback = (container: string, sequence: number, more = {}) => ({
    ...{ container, sequence, owner: "web", url: "https://example.org/", secret: "s", body: "{}", at: NOW },
    ...more,
  });
  const rows = ["b1", "a2", "a1"].map((name) => callback(name[0] ?? "", Number(name[1])));
  const put = (store: Store, all: readonly CallbackRow[]) =>
    store.commit({
      ...{ puts: all.map((row) => ({ table: "callbacks" as const, row })), events: [], nextToken: 1 },
    });

  it("that are still to be sent are there again, each container's in order, until they are over", () => {
    const store = opened();
    put(store, rows);
    store.close();
    const again = opened();
    expect(again.tables.callbacks.all()).toEqual([callback("a", 1), callback("a", 2), callback("b", 1)]);
    put(again, [callback("a", 1, { over: true }), callback("c", 9, { over: true })]);
    again.prune(NOW + 500 * 86_400_000);
    expect(again.tables.callbacks.all()).toEqual([callback("a", 2), callback("b", 1)]);
  });

  it("have a table in a ledger that was written before there were any", () => {
    const first = opened();
    write(first, { grants: [grant(1)], nextToken: 2, events: [event(1)] });
    first.close();
    const db = new DatabaseSync(file);
    db.exec(
      "DROP TABLE callbacks; DROP TABLE managed; DROP TABLE volumes; DROP TABLE setups; DROP TABLE main_images; DELETE FROM migrations WHERE version > 3",
    );
    db.close();
    const store = opened();
    expect(store.loaded).toMatchObject({ nextToken: 2, nextEvent: 2, live: [grant(1)] });
    expect(store.loaded.lost).toBeUndefined();
    put(store, rows);
    expect(store.tables.callbacks.all()).toHaveLength(3);
  });
});
