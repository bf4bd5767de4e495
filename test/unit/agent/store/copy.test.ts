/**
 * What tenants have, kept twice, over real files. Proves: whatever becomes of the ledger's file, a new one begins with all of it, and
 * with nothing that was over, or that is no tenant's; a berthd that is killed in between begins again; a copy that is lost, damaged or
 * cannot be written fails nobody, is told of, and is made anew.
 */
import { existsSync, mkdirSync, rmdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as after } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Batch, ManagedRow, OperationRow, Store, StoredToken } from "../../../../agent/src/store";
import { closeAll, file, folder, grant, NOW, opened, storeForEachTest } from "./rig";

storeForEachTest();

const managed = (id: string, more: Partial<ManagedRow> = {}): ManagedRow => ({
  ...{ id, owner: "web", name: id, state: "ready", image: "node:24-slim", ports: [] },
  ...{ memoryMiB: 512, cpus: 1, pids: 4096, diskMiB: 0, gpus: false, pooled: true, createdAt: NOW },
  ...more,
});
const operation = (id: string, kind: string): OperationRow => ({
  ...{ id, kind, owner: "web", step: "accept", body: { container: "00000001" }, at: NOW },
});
const volume = { name: "berth-s-web.deps", owner: "web", usedAt: NOW };
const image = {
  ...{ key: "k", owner: "web", shown: "o-r:main", image: "sha256:1", base: "sha256:2", lock: "l" },
  ...{ createdAt: NOW, usedAt: NOW },
};
const message = {
  ...{
    container: "00000001",
    sequence: 3,
    owner: "web",
    url: "https://x.example",
    secret: "s",
    body: "{}",
    at: NOW,
  },
};

const token = (id: string, more: Partial<StoredToken> = {}): StoredToken => ({
  ...{ id, hash: `hash of ${id}`, role: "admin", createdAt: NOW },
  ...more,
});
const write = (store: Store, { puts }: Pick<Batch, "puts">) =>
  store.commit({ puts, events: [], nextToken: 1 });

/** Of tenants, and of others. */
function filled(): Store {
  const store = opened();
  write(store, {
    puts: [
      { table: "managed", row: managed("00000001", { env: { A: "ä" }, claimedAt: NOW }) },
      { table: "managed", row: managed("00000002") },
      { table: "volumes", row: volume },
      { table: "volumes", row: { ...volume, name: "berth-s-web.old" } },
      { table: "mainImages", row: image },
      { table: "callbacks", row: message },
      { table: "operations", row: operation("setup-1", "setup") },
      { table: "operations", row: operation("00aa", "create") },
      { table: "tokens", row: token("of-web", { role: "tenant", owner: "web" }) },
      { table: "tokens", row: token("of-root") },
      { table: "grants", row: grant(7) },
    ],
  });
  write(store, {
    puts: [
      { table: "managed", row: managed("00000002", { state: "gone", goneAt: NOW }) },
      { table: "volumes", row: { ...volume, name: "berth-s-web.old", over: true } },
    ],
  });
  closeAll();
  return store;
}

const has = ({ tables }: Store) => ({
  managed: tables.managed.all(),
  volumes: tables.volumes.all(),
  images: tables.mainImages.all(),
  callbacks: tables.callbacks.all(),
  operations: tables.operations.all().map(({ id }) => id),
  tokens: tables.tokens.all().map(({ id }) => id),
});
const all = {
  managed: [managed("00000001", { env: { A: "ä" }, claimedAt: NOW })],
  ...{
    volumes: [volume],
    images: [image],
    callbacks: [message],
    operations: ["setup-1"],
    tokens: ["of-web"],
  },
};
const copy = () => join(folder, "tenants.db");
const seen = { token: 0, event: 0, seen: true };

it.each<[string, () => void]>([
  ["is missing", () => rmSync(file)],
  ["is empty", () => truncateSync(file)],
  ["is no database", () => writeFileSync(file, "x".repeat(8192))],
  ["lacks its end", () => truncateSync(file, 4096)],
])("all that tenants have is there where the ledger %s", (_, lose) => {
  filled();
  lose();
  const store = opened();
  expect(store.loaded).toMatchObject({
    ...{ lost: expect.any(String), rebuilding: "copy", found: { rows: 6, unusable: 0 }, live: [] },
  });
  expect(has(store)).toEqual(all);
  closeAll();
  // Found once, it is as if it had never been lost; that not all may be found yet is still known.
  const next = opened();
  expect([next.loaded.lost, next.rebuilding, has(next)]).toEqual([undefined, "copy", all]);
  next.rebuilt();
  expect(next.rebuilding).toBeUndefined();
  closeAll();
  expect(opened().rebuilding).toBeUndefined();
});

it.each(["ledger:before-rebuilt", "ledger:after-rebuilt"])("so it is where berthd ends at %s", (point) => {
  filled();
  rmSync(file);
  const die = (at: string) => {
    if (at === point) throw new Error("killed");
  };
  expect(() => opened({ reached: die })).toThrow("killed");
  const store = opened();
  expect([has(store), store.rebuilding]).toEqual([all, "copy"]);
});

it("rows that were damaged, or are of another version's tables, are left out, and those of a later version are kept", () => {
  filled();
  const db = new DatabaseSync(copy());
  const put = db.prepare("INSERT INTO kept (name, key, body) VALUES (?, ?, ?)");
  put.run("managed", "1", "{");
  put.run("managed", "2", JSON.stringify({ id: "2" }));
  put.run("unheard-of", "3", "{}");
  put.run("managed", "00000009", JSON.stringify({ ...managed("00000009"), later: [1] }));
  db.close();
  rmSync(file);
  const store = opened();
  // Whose a container is may have stood in one of them.
  expect([store.loaded.found, store.rebuilding]).toEqual([{ rows: 7, unusable: 3 }, "labels"]);
  expect(store.tables.managed.all()).toEqual([...all.managed, { ...managed("00000009"), later: [1] }]);
});

it("without a copy, what was lost is found by labels alone; a first start has lost nothing", () => {
  expect([opened().rebuilding, existsSync(copy())]).toEqual([undefined, false]);
  closeAll();
  rmSync(file);
  const store = opened({ floor: seen });
  expect([store.rebuilding, store.loaded.found]).toEqual(["labels", undefined]);
});

it("a copy that was lost or damaged is made anew from the ledger", () => {
  filled();
  for (const spoil of [() => rmSync(copy()), () => writeFileSync(copy(), "y".repeat(8192))]) {
    spoil();
    expect(opened().problem).toBeUndefined();
    closeAll();
    rmSync(file);
    expect(has(opened())).toEqual(all);
    closeAll();
  }
  writeFileSync(copy(), "z".repeat(8192));
  rmSync(file);
  expect(opened().rebuilding).toBe("labels");
  expect(existsSync(`${copy()}.unusable`)).toBe(true);
});

it("a copy that cannot be written fails nobody, is told of, and is made good", () => {
  const store = opened();
  mkdirSync(copy());
  write(store, { puts: [{ table: "managed", row: managed("00000001") }] });
  expect(store.problem).toContain("is not kept twice now");
  write(store, { puts: [{ table: "managed", row: managed("00000002") }] });
  expect(store.tables.managed.all()).toHaveLength(2);
  rmdirSync(copy());
  store.prune(NOW);
  expect(store.problem).toBeUndefined();
  closeAll();
  rmSync(file);
  expect(opened().tables.managed.all()).toEqual([managed("00000001"), managed("00000002")]);
});

it("a copy that lacks a turn is taken away, and is whole again with a turn a second later", async () => {
  const store = opened();
  write(store, { puts: [{ table: "managed", row: managed("00000001") }] });
  const meddled = new DatabaseSync(copy());
  meddled.exec("DROP TABLE kept");
  meddled.close();
  write(store, { puts: [{ table: "managed", row: managed("00000002") }] });
  expect(store.problem).toContain("is not kept twice now");
  // Whoever began with it would not know of the second one.
  expect(existsSync(copy())).toBe(false);
  await after(1100);
  write(store, { puts: [{ table: "managed", row: managed("00000003") }] });
  expect(store.problem).toBeUndefined();
  closeAll();
  rmSync(file);
  expect(
    opened()
      .tables.managed.all()
      .map(({ id }) => id),
  ).toEqual(["00000001", "00000002", "00000003"]);
});

it("a node without tenants has no copy", () => {
  write(opened(), {
    puts: [
      { table: "grants", row: grant(1) },
      { table: "tokens", row: token("t") },
    ],
  });
  expect(existsSync(copy())).toBe(false);
});
