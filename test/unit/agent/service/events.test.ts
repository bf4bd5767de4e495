/** events.jsonl: each change once, in order, over crashes, rotation and a disk that refuses. Real files. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { until } from "../../../lib/until";
import { closeRigs, got, refused, rigged, rigs, wish } from "./cases";
import { makeRig, newFolder } from "./rig";

closeRigs();

describe("the event log", () => {
  const changes = (lines: Record<string, unknown>[]) =>
    lines.filter(({ grant }) => grant !== undefined).map(({ event, grant }) => [event, grant]);

  it("has each accepted change once, in order, with who did it", async () => {
    const { ledger, events } = await rigged();
    const grant = got(await ledger.reserve(wish("alice", { actor: "user:alice" })));
    refused(await ledger.reserve(wish("nobody")));
    got(await ledger.bind({ id: grant.id, token: grant.token, container: "c1" }));
    got(await ledger.release(grant.id, "done", true, "root"));
    const lines = await events();
    expect(changes(lines)).toEqual([
      ["granted", grant.id],
      ["bound", grant.id],
      ["released", grant.id],
    ]);
    expect(lines.filter(({ grant: id }) => id !== undefined).map(({ by }) => by)).toEqual([
      "user:alice",
      undefined,
      "root",
    ]);
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
  });

  it("gets after a crash what was committed and not yet appended, and a torn line only whole", async () => {
    const folder = newFolder();
    const file = join(folder, "log", "events.jsonl");
    const first = await makeRig({ folder });
    const a = got(await first.ledger.reserve(wish("alice")));
    await first.events();
    const text = readFileSync(file, "utf8");
    // The log ends in the middle of the last line, and a later one never came.
    first.log.append = () => {};
    const b = got(await first.ledger.reserve(wish("bob")));
    await first.crash();
    writeFileSync(file, text.slice(0, -20));
    const { events } = await rigged({ folder });
    const lines = await events();
    expect(changes(lines)).toEqual([
      ["granted", a.id],
      ["granted", b.id],
    ]);
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
  });

  it("doubles nothing when the crash came between append and clean-up", async () => {
    const folder = newFolder();
    const first = await makeRig({ folder });
    for (let n = 0; n < 5; n++) got(await first.ledger.reserve(wish("alice")));
    await first.events();
    expect(first.store.tables.outbox.after(0).length).toBeGreaterThan(0);
    await first.crash();
    const { events } = await rigged({ folder });
    const seqs = (await events()).map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, i) => i + 1));
  });

  it("is put aside when it is large, and the numbers go on over a restart with an empty file", async () => {
    const folder = newFolder();
    const file = join(folder, "log", "events.jsonl");
    const first = await makeRig({ folder, eventLog: { maxBytes: 2000, keep: 2 } });
    for (let n = 0; n < 40; n++) {
      const grant = got(await first.ledger.reserve(wish("alice")));
      got(await first.ledger.release(grant.id));
      await first.events();
    }
    expect(existsSync(`${file}.1`)).toBe(true);
    expect(existsSync(`${file}.2`)).toBe(true);
    expect(existsSync(`${file}.3`)).toBe(false);
    expect(statSync(`${file}.1`).size).toBeLessThan(4000);
    const last = Math.max(...(await first.events()).map(({ seq }) => seq as number));
    await first.crash();
    rmSync(file);
    writeFileSync(file, "");
    const { events } = await rigged({ folder });
    // What was put aside is known; what the emptied file had and the outbox still has comes again.
    const seqs = (await events()).map(({ seq }) => seq as number);
    expect(seqs).toEqual([...new Set(seqs)].sort((x, y) => x - y));
    expect(Math.max(...seqs)).toBeGreaterThan(last);
  });

  it("that cannot be written loses nothing, and says so until it can", async () => {
    const folder = newFolder();
    mkdirSync(join(folder, "log"), { recursive: true });
    mkdirSync(join(folder, "log", "events.jsonl.new"));
    const rig = await makeRig({ folder, start: false });
    rigs.push(rig);
    // A folder where the file should be.
    const file = join(folder, "log", "events.jsonl");
    mkdirSync(file);
    await rig.ledger.start();
    const grant = got(await rig.ledger.reserve(wish("alice")));
    await until("it is said", 30_000, () => rig.ledger.health().reasons.join().includes("events.jsonl"));
    rmSync(file, { recursive: true });
    await until("it is written", 30_000, () => rig.log.backlog === 0);
    expect(changes(await rig.events())).toEqual([["granted", grant.id]]);
    expect(rig.ledger.health().status).toBe("ok");
  });

  it("goes on in a new file when somebody removes it", async () => {
    const { ledger, events, folder, log } = await rigged();
    got(await ledger.reserve(wish("alice")));
    await events();
    rmSync(join(folder, "log", "events.jsonl"));
    const grant = got(await ledger.reserve(wish("bob")));
    await until("written", 30_000, () => log.backlog === 0);
    expect(changes(await events())).toEqual([["granted", grant.id]]);
    appendFileSync(join(folder, "log", "events.jsonl"), "");
  });
});
