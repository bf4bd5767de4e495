/** The ledger on disk: what a crash, a full disk, a broken file or a second berthd does to it. Real SQLite files. */
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { type Store, schemaVersion, takeLock } from "../../../../agent/src/store";
import type { Grant } from "../../../../core/gpu";
import { closeAll, event, file, folder, grant, NOW, opened, storeForEachTest, trouble, write } from "./rig";

storeForEachTest();

/** A ledger with so many grants, closed. */
function filled(count: number): void {
  const store = opened();
  const tokens = Array.from({ length: count }, (_, i) => i + 1);
  write(store, {
    grants: tokens.map((token) => grant(token)),
    nextToken: count + 1,
    events: tokens.map(event),
  });
  store.close();
}
const aside = () => readdirSync(folder).filter((name) => name.includes(".corrupt-"));

describe("what was committed", () => {
  it("is there again, with the numbers that come next", () => {
    const store = opened();
    write(store, { grants: [grant(1), grant(2)], nextToken: 3, events: [event(1), event(2)] });
    write(store, {
      grants: [grant(1, { state: "released", releasedAt: NOW })],
      nextToken: 3,
      events: [event(3)],
    });
    store.close();
    const again = opened();
    expect(again.loaded.live.map(({ id }) => id)).toEqual(["g2"]);
    expect(again.loaded).toMatchObject({ nextToken: 3, nextEvent: 4 });
    expect(again.loaded.lost).toBeUndefined();
    expect(again.tables.grants.get("g1")?.state).toBe("released");
    expect(again.tables.grants.history({ limit: 10 }).map(({ token }) => token)).toEqual([2, 1]);
    expect(again.tables.grants.history({ limit: 10, before: 2 }).map(({ token }) => token)).toEqual([1]);
    expect(again.tables.grants.history({ limit: 10, user: "bob" })).toEqual([]);
    expect(again.tables.outbox.after(1).map(({ seq }) => seq)).toEqual([2, 3]);
  });

  it("is on the disk when the commit returns: write-ahead log, synchronous full", () => {
    // The setting is the connection's own.
    const { db } = opened() as unknown as { db: DatabaseSync };
    expect(db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(db.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  });

  it("forgets answers and history that are too old, and nothing else", () => {
    const store = opened();
    const answered = { actor: "a", key: "k", fingerprint: "f", grantId: "g1", at: NOW };
    const old = grant(1, { state: "released", releasedAt: NOW - 401 * 86_400_000 });
    const young = grant(2, { state: "released", releasedAt: NOW - 399 * 86_400_000 });
    write(store, { grants: [old, young, grant(3)], nextToken: 4, events: [], answered: [answered] });
    expect(store.tables.answered.find("a", "k", NOW)).toEqual(answered);
    expect(store.tables.answered.find("b", "k", NOW)).toBeUndefined();
    expect(store.tables.answered.find("a", "k", NOW + 86_400_001)).toBeUndefined();
    const actors = (prefix: string, now = NOW) => store.tables.answered.actors(prefix, now);
    expect([actors("a"), actors("b"), actors("a", NOW + 86_400_001)]).toEqual([["a"], [], []]);
    store.prune(NOW);
    expect(store.tables.grants.history({ limit: 10 }).map(({ token }) => token)).toEqual([3, 2]);
    expect(store.tables.answered.find("a", "k", NOW)).toBeDefined();
  });
});

describe("a row that is not as it should be", () => {
  const over = (token: number) => grant(token, { state: "released", releasedAt: NOW });
  const changed = (sql: string) => {
    const store = opened();
    write(store, { grants: [over(1), over(2)], nextToken: 3, events: [] });
    (store as unknown as { db: DatabaseSync }).db.exec(sql);
    return store;
  };

  it.each([
    ["UPDATE grants SET body = 'no' WHERE token = 2", "Row 2 of the table grants", "not JSON"],
    [
      "UPDATE grants SET body = json_set(body, '$.units[0].uuid', 7) WHERE token = 2",
      "Row 2 of",
      "units.0.uuid",
    ],
    ["UPDATE grants SET body = json_set(body, '$.token', 9) WHERE token = 2", "Row 2 of", "token 9"],
  ])("of the history is named, whoever reads it: %s", (sql, named, why) => {
    const store = changed(sql);
    const { grants } = store.tables;
    for (const read of [() => grants.get("g2"), () => grants.history({ limit: 9 })]) {
      expect(trouble(read)).toMatch(/^corrupt: /);
      expect(trouble(read)).toContain(named);
      expect(trouble(read)).toContain(why);
    }
    // The others can be read, and are forgotten when they are old.
    expect(grants.get("g1")).toEqual(over(1));
    store.prune(NOW + 500 * 86_400_000);
    expect(grants.get("g1")).toBeUndefined();
  });

  it("of the tokens is named", () => {
    const store = changed(`INSERT INTO tokens VALUES ('t7', 'h', '{"id":"t7","hash":"h","role":"king"}')`);
    expect(trouble(() => store.tables.tokens.all())).toMatch(/^corrupt: Row t7 of the table tokens .*role/);
  });

  it("may have more than this berthd knows: it is read as it is", () => {
    const store = changed("UPDATE grants SET body = json_set(body, '$.later', 'x', '$.units[0].later', 1)");
    expect(store.tables.grants.get("g1")).toMatchObject({ later: "x", units: [{ later: 1 }] });
  });
});

describe("keys that the stack dropped", () => {
  const over = (token: number, more: Partial<Grant>) =>
    grant(token, { state: "released", releasedAt: NOW, ...more });
  const rows = [
    over(1, { key: "workspace/alice" }),
    grant(2, { key: "workspace/bob" }),
    over(3, {}),
    over(4, { key: "ray" }),
  ];
  const known = ({ tables: { grants } }: Store) =>
    ["workspace/alice", "workspace/bob", "ray", "no"].filter((key) => grants.hadKey(key));

  it("are known once their grant is over, without a look at the whole history", () => {
    const store = opened();
    write(store, { grants: rows, nextToken: 5, events: [] });
    expect(known(store)).toEqual(["workspace/alice", "ray"]);
    write(store, { grants: [over(2, { key: "workspace/bob" })], nextToken: 5, events: [] });
    expect(known(store)).toEqual(["workspace/alice", "workspace/bob", "ray"]);
    const plan = (store as unknown as { db: DatabaseSync }).db
      .prepare("EXPLAIN QUERY PLAN SELECT 1 FROM grants WHERE live = 0 AND key = ? LIMIT 1")
      .all("x");
    expect(plan.map(({ detail }) => detail)).toEqual([
      "SEARCH grants USING COVERING INDEX grants_over_key (key=?)",
    ]);
  });

  it("are known in a ledger that was written before they had a column", () => {
    const first = opened();
    write(first, { grants: rows, nextToken: 5, events: [event(1)] });
    first.close();
    const db = new DatabaseSync(file);
    db.exec(
      "DROP TABLE setups; DROP TABLE main_images; DROP TABLE managed; DROP TABLE volumes; DROP TABLE callbacks; DROP TABLE operations; DROP INDEX grants_over_key; ALTER TABLE grants DROP COLUMN key; DELETE FROM migrations WHERE version > 1",
    );
    // A grant that is over and cannot be read keeps nobody from the rest.
    db.exec("UPDATE grants SET body = 'no' WHERE token = 3");
    db.close();
    const store = opened();
    expect(store.loaded).toMatchObject({ nextToken: 5, nextEvent: 2 });
    expect(store.loaded.lost).toBeUndefined();
    expect(store.loaded.live).toEqual([rows[1]]);
    expect(known(store)).toEqual(["workspace/alice", "ray"]);
    expect(aside()).toEqual([]);
  });
});

describe("a disk that is full", () => {
  it("refuses the commit whole, keeps what was there, and goes on when there is room", () => {
    const mount = join(folder, "small");
    mkdirSync(mount);
    const made = spawnSync("mount", ["-t", "tmpfs", "-o", "size=600k", "tmpfs", mount]);
    if (made.status !== 0) {
      console.warn("a small tmpfs cannot be mounted here: NOT CHECKED what a full disk does");
      return;
    }
    try {
      const small = join(mount, "ledger.db");
      const store = opened({ file: small });
      write(store, { grants: [grant(1)], nextToken: 2, events: [event(1)] });
      const filler = join(mount, "filler");
      const fd = openSync(filler, "w");
      try {
        for (;;) writeSync(fd, Buffer.alloc(4096));
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
      }
      const many = Array.from({ length: 200 }, (_, i) => grant(i + 2, { purpose: "x".repeat(200) }));
      expect(trouble(() => write(store, { grants: many, nextToken: 300, events: [event(2)] }))).toMatch(
        /^(full|io): /,
      );
      expect(store.tables.grants.get("g1")).toBeDefined();
      expect(store.tables.grants.get("g2")).toBeUndefined();
      expect(store.tables.outbox.after(0).map(({ seq }) => seq)).toEqual([1]);
      ftruncateSync(fd, 0);
      closeSync(fd);
      write(store, { grants: [grant(300)], nextToken: 301, events: [event(2)] });
      store.close();
      expect(opened({ file: small }).loaded).toMatchObject({ nextToken: 301, nextEvent: 3 });
    } finally {
      closeAll();
      spawnSync("umount", [mount]);
    }
  });
});

describe("a database that cannot be used", () => {
  it("of a newer version is refused, untouched, with what to do", () => {
    filled(3);
    const db = new DatabaseSync(file);
    db.prepare("INSERT INTO migrations (version, name, applied_at) VALUES (?, 'later', 0)").run(
      schemaVersion + 1,
    );
    db.close();
    const before = readFileSync(file);
    const said = trouble(() => opened());
    expect(said).toMatch(/^newer: /);
    expect(said).toContain(`version ${schemaVersion + 1}`);
    expect(said).toContain("Start that later version again");
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(aside()).toEqual([]);
  });

  const changed = (sql: string) => () => {
    const db = new DatabaseSync(file);
    db.exec(sql);
    db.close();
  };
  const damage: [string, () => void][] = [
    ["emptied", () => truncateSync(file, 0)],
    ["cut in the middle of a page", () => truncateSync(file, 4096 * 2 + 100)],
    ["cut at the end of a page", () => truncateSync(file, 4096 * 3)],
    [
      "no database at all",
      () => writeFileSync(file, "this is no database, and long enough for a header".repeat(100)),
    ],
    [
      "overwritten in its pages",
      () => {
        const fd = openSync(file, "r+");
        const { size } = statSync(file);
        for (let at = 4096 + 50; at < size; at += 4096) writeSync(fd, Buffer.alloc(500, 0xa5), 0, 500, at);
        closeSync(fd);
      },
    ],
    ["with a grant that is no JSON", changed("UPDATE grants SET body = 'no' WHERE token = 2")],
    ["with a grant of another token", changed("UPDATE grants SET token = 5000 WHERE token = 2")],
    [
      "with a grant that has no units",
      changed("UPDATE grants SET body = json_remove(body, '$.units') WHERE token = 2"),
    ],
    [
      "with a live grant that is over",
      changed(`UPDATE grants SET body = json_set(body, '$.state', 'released') WHERE token = 2`),
    ],
    [
      "with a bearer token of no role",
      changed(`INSERT INTO tokens VALUES ('t1', 'h', '{"id":"t1","hash":"h","createdAt":1}')`),
    ],
    ["with an event that has no number", changed(`INSERT INTO outbox VALUES (9000, '{"event":"granted"}')`)],
    ["without counters", changed("DELETE FROM counters")],
    [
      "of another program",
      () => {
        rmSync(file);
        const db = new DatabaseSync(file);
        db.exec("CREATE TABLE music (name TEXT)");
        db.close();
      },
    ],
  ];
  it.each(damage)("%s is moved aside, and tokens go on far above", (_name, break_) => {
    filled(500);
    break_();
    const store = opened({ floor: { token: 500, event: 700, seen: true } });
    expect(store.loaded.lost).toEqual(expect.any(String));
    expect(store.loaded.movedTo).toMatch(/ledger\.db\.corrupt-20261121T000000Z$/);
    expect(existsSync(store.loaded.movedTo as string)).toBe(true);
    expect(store.loaded.live).toEqual([]);
    expect(store.loaded.nextToken).toBeGreaterThanOrEqual(NOW);
    expect(store.loaded.nextEvent).toBe(701);
    write(store, {
      grants: [grant(store.loaded.nextToken)],
      nextToken: store.loaded.nextToken + 1,
      events: [],
    });
    store.close();
    // The new one is a good one.
    const again = opened().loaded;
    expect(again.lost).toBeUndefined();
    expect(again.live).toHaveLength(1);
  });

  it("takes its log with it, so that the log is not played into the new one", () => {
    const store = opened();
    write(store, { grants: [grant(1)], nextToken: 2, events: [event(1)] });
    // As a crash leaves it: the log is still there.
    for (const suffix of ["-wal", "-shm"]) copyFileSync(file + suffix, `${file}${suffix}.kept`);
    store.close();
    for (const suffix of ["-wal", "-shm"]) copyFileSync(`${file}${suffix}.kept`, file + suffix);
    rmSync(file);
    const again = opened();
    expect(again.loaded.lost).toContain("its log is there");
    expect(again.loaded.live).toEqual([]);
    expect(aside().some((name) => name.endsWith("-wal"))).toBe(true);
  });

  it("twice in the same second keeps both", () => {
    filled(1);
    truncateSync(file, 0);
    opened().close();
    truncateSync(file, 0);
    opened();
    expect(new Set(aside().filter((name) => !/-(wal|shm)$/.test(name))).size).toBe(2);
  });

  it("missing where there was one is a loss; missing on a new node is not", () => {
    expect(opened({ floor: { token: 0, event: 0, seen: false } }).loaded).toMatchObject({
      nextToken: 1,
      nextEvent: 1,
      lost: undefined,
    });
    closeAll();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
    const lost = opened({ floor: { token: 41, event: 9, seen: true } }).loaded;
    expect(lost.lost).toContain("missing");
    expect(lost.nextToken).toBeGreaterThan(1_000_041);
  });

  it("never numbers lower than what the event log has seen: an old copy put back is no way to reuse a token", () => {
    filled(3);
    expect(opened({ floor: { token: 90, event: 80, seen: true } }).loaded).toMatchObject({
      nextToken: 91,
      nextEvent: 81,
    });
    expect(aside()).toEqual([]);
  });

  it("lost twice goes on above the first time", () => {
    const first = opened({ floor: { token: 5, event: 1, seen: true } }).loaded.nextToken;
    closeAll();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
    const second = opened({ now: NOW + 3000, floor: { token: first + 10, event: 1, seen: true } }).loaded
      .nextToken;
    expect(second).toBeGreaterThan(first + 10);
  });
});

describe("the lock", () => {
  const lockFile = () => join(folder, "berthd.lock");
  const pidFile = () => join(folder, "berthd.pid");
  const child = () => {
    const code = `const { DatabaseSync } = require("node:sqlite");
      const db = new DatabaseSync(${JSON.stringify(lockFile())}, { timeout: 0 });
      db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
      require("node:fs").writeFileSync(${JSON.stringify(pidFile())}, process.pid + "\\n");
      console.log("held"); setInterval(() => {}, 1000);`;
    const process_ = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
    return new Promise<typeof process_>((resolve) => process_.stdout.once("data", () => resolve(process_)));
  };

  it("is refused to a second, naming the first, and free after kill -9", async () => {
    const other = await child();
    const said = trouble(() => takeLock(lockFile(), pidFile()));
    expect(said).toMatch(/^locked: /);
    expect(said).toContain(`pid ${other.pid}`);
    other.kill("SIGKILL");
    await new Promise((resolve) => other.once("close", resolve));
    const lock = takeLock(lockFile(), pidFile());
    expect(readFileSync(pidFile(), "utf8").trim()).toBe(String(process.pid));
    lock.release();
    takeLock(lockFile(), pidFile()).release();
  });
});
