/**
 * Set-ups and main images in the ledger on disk, in real SQLite files. Proves: they are there after a restart, until they are over; and a
 * ledger of a version that had none gets their tables and loses nothing.
 */
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { MainImageRow, SetupRow, Store } from "../../../../agent/src/store";
import { event, file, grant, NOW, opened, storeForEachTest, write } from "./rig";

storeForEachTest();

const setup = (container: string, more: Partial<SetupRow> = {}): SetupRow => ({
  ...{ container, owner: "web", name: "c", phase: "installing", message: "", sequence: 4, fingerprint: "f" },
  repository: { host: "github.com", owner: "acme", name: "app", url: "https://github.com/acme/app.git" },
  ...{ env: { TOKEN: "t" }, workdir: "/app", at: NOW, changedAt: NOW },
  ...more,
});
const image = (key: string, more: Partial<MainImageRow> = {}): MainImageRow => ({
  ...{
    key,
    owner: "web",
    shown: "acme-app:main",
    image: "sha256:i",
    base: "sha256:b",
    lock: "l",
    createdAt: NOW,
    usedAt: NOW,
  },
  ...more,
});
const put = (store: Store, setups: readonly SetupRow[], images: readonly MainImageRow[]) =>
  store.commit({
    puts: [
      ...setups.map((row) => ({ table: "setups" as const, row })),
      ...images.map((row) => ({ table: "mainImages" as const, row })),
    ],
    ...{ events: [], nextToken: 1 },
  });

it("set-ups and main images are there again, one of each container and repository, until they are over", () => {
  const store = opened();
  put(
    store,
    [setup("b"), setup("a"), setup("a", { phase: "ready" })],
    [image("k"), image("k", { image: "sha256:j" })],
  );
  store.close();
  const again = opened();
  expect(again.tables.setups.all()).toEqual([setup("a", { phase: "ready" }), setup("b")]);
  expect(again.tables.mainImages.all()).toEqual([image("k", { image: "sha256:j" })]);
  put(again, [setup("a", { over: true })], [image("k", { over: true })]);
  expect([again.tables.setups.all(), again.tables.mainImages.all()]).toEqual([[setup("b")], []]);
});

it("they have tables in a ledger that was written before there were any", () => {
  const first = opened();
  write(first, { grants: [grant(1)], nextToken: 2, events: [event(1)] });
  first.close();
  const db = new DatabaseSync(file);
  db.exec("DROP TABLE setups; DROP TABLE main_images; DELETE FROM migrations WHERE version > 5");
  db.close();
  const store = opened();
  expect(store.loaded).toMatchObject({ nextToken: 2, nextEvent: 2, live: [grant(1)] });
  expect(store.loaded.lost).toBeUndefined();
  put(store, [setup("a")], [image("k")]);
  expect([store.tables.setups.all().length, store.tables.mainImages.all().length]).toEqual([1, 1]);
});
