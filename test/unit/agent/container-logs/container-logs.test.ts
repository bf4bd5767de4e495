/**
 * The logs of containers in real files. Proves: a reader gets each line once and in order, from any number on, while lines
 * come, after the end and over a restart; what is missing is said; no number is given twice, whatever was lost; what is
 * old goes, and nothing else.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { ContainerLogs, LogItem } from "../../../../agent/src/container-logs";
import { until } from "../../../lib/until";
import {
  all,
  append,
  endAll,
  gapsOf,
  id,
  linesOf,
  logsOf,
  newFolder,
  numbered,
  other,
  read,
  textOf,
} from "./rig";

afterEach(endAll);

const hour = 3600_000;
const many = (from: number, to: number) => [...numbered(from, to)];

/** Follows in the background. */
function following(logs: ContainerLogs, after?: number) {
  const stop = new AbortController();
  const got: LogItem[] = [];
  const done = (async () => {
    const range = { signal: stop.signal, ...(after !== undefined && { after }) };
    for await (const item of logs.follow(id, range)) got.push(item);
  })();
  return { got, done, stop: () => stop.abort() };
}

describe("a reader of a container's log", () => {
  it("gets each line with its time, its number and what printed it", async () => {
    const { logs } = await logsOf([id]);
    expect(await logs.append(id, { line: "Cloning …" }, 5, "setup")).toBe(true);
    await logs.append(id, { line: 'a "b"\n\u0000\u001b[0m\ud800' }, 6, "start");
    await logs.append(id, { line: "" }, 7, "start");
    const [at, ...lines] = await read(logs);
    expect(at).toEqual({ at: 0 });
    expect(lines).toMatchObject([
      { line: "Cloning …", timestamp: 5, source: "setup" },
      { line: 'a "b"\n\u0000\u001b[0m\ud800', timestamp: 6, source: "start" },
      { line: "", timestamp: 7, source: "start" },
    ]);
    const seqs = linesOf(lines).map(({ seq }) => seq);
    expect(seqs[0]).toBeGreaterThan(0);
    expect(seqs).toEqual([0, 1, 2].map((n) => (seqs[0] as number) + n));
  });

  it("goes on after any line, from memory and from the files", async () => {
    const { logs } = await logsOf([id]);
    // More than is kept in memory.
    await append(logs, numbered(1, 5000, "x".repeat(50)));
    const lines = linesOf(await read(logs));
    expect(lines).toHaveLength(5000);
    for (const n of [0, 1, 2500, 4997, 4998]) {
      const rest = await read(logs, lines[n]?.seq);
      expect(rest[0]).toEqual({ at: lines[n]?.seq });
      expect(rest.slice(1)).toEqual(lines.slice(n + 1));
    }
    expect(await read(logs, lines[4999]?.seq)).toEqual([{ at: lines[4999]?.seq }]);
  });

  it("follows before the first line, and ends after the last", async () => {
    const { logs } = await logsOf([id]);
    const early = following(logs);
    await append(logs, many(1, 3));
    const late = following(logs);
    await append(logs, many(4, 6));
    await logs.end(id);
    await Promise.all([early.done, late.done]);
    expect(textOf(early.got)).toEqual(many(1, 6));
    expect(textOf(late.got)).toEqual(many(1, 6));
    expect(gapsOf([...early.got, ...late.got])).toEqual([]);
  });

  it("who goes ends, and takes nobody along", async () => {
    const { logs } = await logsOf([id]);
    const [one, two] = [following(logs), following(logs)];
    one.stop();
    await one.done;
    await append(logs, many(1, 1));
    await logs.end(id);
    await two.done;
    expect(textOf(one.got)).toEqual([]);
    expect(textOf(two.got)).toEqual(many(1, 1));
  });

  it("gets nothing of another container", async () => {
    const { logs } = await logsOf([id, other]);
    await append(logs, ["mine"]);
    await append(logs, ["theirs"], other);
    expect(textOf(await read(logs))).toEqual(["mine"]);
    expect(textOf(await read(logs, 0, other))).toEqual(["theirs"]);
  });

  it("is told where a record is damaged, and gets the others", async () => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, numbered(1, 3));
    const lines = linesOf(await read(logs));
    await logs.close();
    const file = join(folder, `${id}.jsonl`);
    writeFileSync(file, readFileSync(file, "utf8").replace('"line 2"', '"line 2'));
    const { logs: again } = await logsOf([id], { folder });
    const got = await read(again);
    expect(textOf(got)).toEqual(["line 1", "line 3"]);
    const seq = lines[1]?.seq as number;
    expect(gapsOf(got)).toEqual([{ gap: { after: seq - 1, before: seq + 1 } }]);
  });

  it("with a number that nobody was given waits for what comes", async () => {
    const { logs } = await logsOf([id]);
    await append(logs, ["old"]);
    const far = following(logs, Number.MAX_SAFE_INTEGER);
    await until("it follows", 30_000, () => far.got.length === 1);
    await append(logs, ["new"]);
    await logs.end(id);
    await far.done;
    expect(textOf(far.got)).toEqual(["new"]);
    expect(gapsOf(far.got)).toEqual([]);
  });
});

describe("over a restart", () => {
  it("a log goes on without a gap, for one who comes back and for a new reader", async () => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, numbered(1, 5));
    const before = linesOf(await read(logs));
    await logs.close();
    const { logs: again } = await logsOf([id], { folder });
    const back = following(again, before[2]?.seq);
    await append(again, numbered(6, 8));
    const whole = await read(again);
    expect(textOf(whole)).toEqual(many(1, 8));
    expect(gapsOf(whole)).toEqual([]);
    await again.end(id);
    await back.done;
    expect(textOf(back.got)).toEqual(many(4, 8));
    expect(gapsOf(back.got)).toEqual([]);
  });

  it("half a line goes, wherever it was cut off, and all others stay", async () => {
    const folder = newFolder();
    const file = join(folder, `${id}.jsonl`);
    const record = (seq: number, line: string) =>
      JSON.stringify({ seq, timestamp: 1, source: "setup", line });
    // As an older berthd wrote it.
    const whole = `${record(7, "first")}\n${record(8, "sécond")}\n`;
    const last = Buffer.from(`${record(9, "ünfinished …")}\n`);
    for (let bytes = 0; bytes < last.length; bytes++) {
      writeFileSync(file, Buffer.concat([Buffer.from(whole), last.subarray(0, bytes)]));
      const { logs } = await logsOf([id], { folder });
      expect(textOf(await read(logs)), `${bytes} bytes`).toEqual(["first", "sécond"]);
      await append(logs, ["next"]);
      await logs.close();
      expect(readFileSync(file, "utf8"), `${bytes} bytes`).toMatch(/"line":"sécond"}\n{"seq".*"next"}\n$/);
      const got = await read((await logsOf([id], { folder })).logs, 7);
      expect(textOf(got), `${bytes} bytes`).toEqual(["sécond", "next"]);
      expect(gapsOf(got), `${bytes} bytes`).toEqual([]);
    }
  });

  it("zeros that a power cut left at the end are no line", async () => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, ["first"]);
    await logs.close();
    appendFileSync(join(folder, `${id}.jsonl`), Buffer.alloc(300_000));
    const { logs: again } = await logsOf([id], { folder });
    await append(again, ["next"]);
    expect(textOf(await read(again))).toEqual(["first", "next"]);
  });

  it.each([
    ["the last lines", (file: string, size: number) => truncateSync(file, size)],
    ["the file", (file: string) => rmSync(file)],
  ])("that took %s gives no number twice: who had them misses nothing new", async (_, cut) => {
    const { logs, folder } = await logsOf([id]);
    const file = join(folder, `${id}.jsonl`);
    await append(logs, numbered(1, 3));
    await logs.close();
    const { size } = statSync(file);
    await append(logs, numbered(4, 50));
    const had = linesOf(await read(logs)).at(-1)?.seq as number;
    await logs.close();
    cut(file, size);
    // No berthd begins within the millisecond in which another one wrote.
    await until("it is later", 5000, () => Date.now() > had / 1000 + 1);
    const { logs: again } = await logsOf([id], { folder });
    const back = following(again, had);
    await append(again, numbered(100, 110));
    await again.end(id);
    await back.done;
    expect(textOf(back.got)).toEqual(many(100, 110));
    for (const { seq } of linesOf(back.got)) expect(seq).toBeGreaterThan(had);
  });

  it("with a clock that goes backwards numbers grow on", async () => {
    const { logs, folder } = await logsOf([id], { now: () => 1_800_000_000_000 });
    await append(logs, ["first"]);
    const [, first] = await read(logs);
    await logs.close();
    const { logs: again } = await logsOf([id], { folder, now: () => 5 });
    await append(again, ["second"]);
    const seqs = linesOf(await read(again)).map(({ seq }) => seq);
    expect(seqs).toEqual([linesOf([first as LogItem])[0]?.seq, (seqs[0] as number) + 1]);
  });
});

describe("what is missing", () => {
  it("is said where files were removed under the log, which goes on", async () => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, numbered(1, 3000, "x".repeat(100)));
    const first = linesOf(await read(logs))[0]?.seq as number;
    rmSync(join(folder, `${id}.jsonl`));
    await append(logs, ["next"]);
    const got = await read(logs, first);
    expect(gapsOf(got)).toHaveLength(1);
    expect(textOf(got).at(-1)).toBe("next");
    await until("it is in a new file", 30_000, () => existsSync(join(folder, `${id}.jsonl`)));
  });

  it("is said of lines that a full disk did not take; memory stays bounded, and it goes on when there is room", async () => {
    const { logs, folder } = await logsOf([id]);
    const file = join(folder, `${id}.jsonl`);
    // A folder where the file should be.
    mkdirSync(file);
    await append(logs, numbered(1, 5000));
    expect(logs.problems()).toEqual([expect.stringContaining(file)]);
    rmSync(file, { recursive: true });
    await logs.prune();
    await until("it is written", 30_000, () => logs.problems().length === 0);
    await append(logs, ["after"]);
    const got = await read(logs);
    const lines = textOf(got);
    expect(gapsOf(got)).toHaveLength(1);
    // Those from the beginning that were in memory, and what came when there was room again.
    expect(lines.slice(0, -1)).toEqual(many(1, lines.length - 1));
    expect(lines.at(-1)).toBe("after");
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.length).toBeLessThan(3000);
  });

  it("is logged where the end came while nothing could be written", async () => {
    const { logs, folder, said } = await logsOf([id]);
    mkdirSync(join(folder, `${id}.jsonl`));
    await append(logs, ["lost"]);
    await logs.end(id);
    expect(said).toEqual([expect.stringMatching(/"container":"0123abcd","lines":1.*cannot be written/)]);
  });
});

describe("the end of a log", () => {
  it("takes no further line; nor does a log that was never opened", async () => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, ["one"]);
    const ending = logs.end(id);
    expect(await logs.append(id, { line: "two" }, 1, "start")).toBe(false);
    expect(() => logs.open(id)).toThrow("being ended");
    await Promise.all([ending, logs.end(id)]);
    expect(await logs.append(id, { line: "three" }, 1, "start")).toBe(false);
    expect(await logs.append(other, { line: "four" }, 1, "start")).toBe(false);
    await logs.end(other);
    expect(textOf(await read(logs))).toEqual(["one"]);
    expect(readdirSync(folder)).toEqual([`${id}.jsonl`]);
  });

  it("leaves it to readers for its time, counted from the end, also over a restart", async () => {
    let now = Date.now();
    const options = { now: () => now, keepMs: 24 * hour };
    const { logs, folder } = await logsOf([id], options);
    await append(logs, numbered(1, 3));
    now += 100 * hour;
    await logs.prune();
    await logs.end(id);
    now += 23 * hour;
    await logs.prune();
    expect(textOf(await all(logs.follow(id)))).toEqual(many(1, 3));
    const { logs: again } = await logsOf([], { ...options, folder });
    expect(textOf(await all(again.follow(id)))).toEqual(many(1, 3));
    expect(again.has(id)).toBe(true);
    now += 2 * hour;
    await again.prune();
    expect(again.has(id)).toBe(false);
    expect(await all(again.follow(id))).toEqual([{ at: 0 }]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("comes for containers that went while berthd was down", async () => {
    const { logs, folder } = await logsOf([id, other]);
    await append(logs, ["mine"]);
    await append(logs, ["theirs"], other);
    await logs.close();
    const { logs: again } = await logsOf([other], { folder });
    expect(await again.append(id, { line: "late" }, 1, "start")).toBe(false);
    expect(textOf(await all(again.follow(id)))).toEqual(["mine"]);
    expect(await again.append(other, { line: "more" }, 1, "start")).toBe(true);
    const old = new Date(Date.now() - 25 * hour);
    for (const name of [id, other]) utimesSync(join(folder, `${name}.jsonl`), old, old);
    await again.prune();
    expect([again.has(id), again.has(other)]).toEqual([false, true]);
  });

  it("is where a crash's half line goes at the next start, and readers change nothing more", async () => {
    const { logs, folder } = await logsOf([id]);
    const file = join(folder, `${id}.jsonl`);
    await append(logs, many(1, 3));
    await logs.close();
    const whole = statSync(file).size;
    const tear = () => appendFileSync(file, '{"seq":9');
    tear();
    const { logs: again } = await logsOf([], { folder });
    expect(statSync(file).size).toBe(whole);
    tear();
    for (const items of [again.read(id), again.follow(id), again.read(id)])
      expect(textOf(await all(items))).toEqual(many(1, 3));
    expect(statSync(file).size).toBeGreaterThan(whole);
  });

  it("lets a reader know that its last lines were lost", async () => {
    const { logs, folder } = await logsOf([id]);
    const file = join(folder, `${id}.jsonl`);
    await append(logs, ["kept"]);
    await logs.close();
    renameSync(file, `${file}.1`);
    mkdirSync(file);
    await append(logs, ["lost"]);
    await logs.end(id);
    rmSync(file, { recursive: true });
    const got = await all(logs.follow(id));
    expect(textOf(got)).toEqual(["kept"]);
    expect(gapsOf(got)).toHaveLength(1);
  });

  it("is no end of reading for one who is in the middle of it", async () => {
    const { logs } = await logsOf([id]);
    await append(logs, numbered(1, 5000, "x".repeat(100)));
    const reader = logs.follow(id)[Symbol.asyncIterator]();
    for (let n = 0; n < 10; n++) await reader.next();
    await logs.end(id);
    const rest: LogItem[] = [];
    for (let one = await reader.next(); !one.done; one = await reader.next()) rest.push(one.value);
    expect(textOf(rest)).toEqual([...numbered(10, 5000, "x".repeat(100))]);
  });
});
