/**
 * What hostile containers and slow readers cost. Proves: disk and memory stay bounded, whatever is printed and however
 * slowly it is read, and all of a log is read with little more than its size; the oldest lines go first, which readers are told, and the newest stay.
 */
import { open } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { LogItem } from "../../../../agent/src/container-logs";
import { LONGEST_LINE } from "../../../../agent/src/docker";
import { LineCutter } from "../../../../agent/src/docker/lines";
import {
  all,
  append,
  bytesIn,
  endAll,
  gapsOf,
  id,
  linesOf,
  logsOf,
  numbered,
  other,
  read,
  textOf,
} from "./rig";

afterEach(endAll);

const MiB = 2 ** 20;

/** Bytes on the heap that somebody still holds. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe("a container's log", () => {
  it("of a million lines is as large as it may be, and has the newest", async () => {
    const { logs, folder } = await logsOf([id], { maxBytes: 2 * MiB });
    const before = heldBytes();
    let most = 0;
    for (let n = 0; n < 10; n++) {
      await append(logs, numbered(n * 100_000 + 1, (n + 1) * 100_000));
      most = Math.max(most, bytesIn(folder));
    }
    expect(heldBytes() - before).toBeLessThan(16 * MiB);
    const got = await read(logs);
    const lines = textOf(got);
    expect(lines.length).toBeGreaterThan(5000);
    expect(lines).toEqual([...numbered(1_000_001 - lines.length, 1_000_000)]);
    expect(gapsOf(got)).toHaveLength(1);
    await logs.end(id);
    expect(Math.max(most, bytesIn(folder))).toBeLessThan(2 * MiB);
  });

  it.each([
    ["letters", "x", "x".repeat(16_384)],
    ["characters of several bytes", "é", "é".repeat(8192)],
    ["characters of two places in a string", "😀", "😀".repeat(4096)],
    ["control characters, which take six bytes in the file", "\u0001", "\u0001".repeat(16_384)],
    ["bytes that are no characters", Buffer.from([0xff]), "\ufffd".repeat(16_384)],
  ])("has of a line of 100 MB of %s the first 16 KiB, and how long it was", async (_, letter, kept) => {
    const { logs, folder } = await logsOf([id], { maxBytes: 2 * MiB });
    const cutter = new LineCutter();
    const piece = Buffer.alloc(100_000, letter);
    for (let n = 0; n < 1000; n++) expect([...cutter.push(piece)]).toEqual([]);
    for (const line of cutter.push(Buffer.from("\nnext\n"))) await logs.append(id, line, 1, "start");
    const [, line, next] = await read(logs);
    expect(line).toMatchObject({ line: `${kept} [cut here: the line has 100000000 bytes]` });
    expect(next).toMatchObject({ line: "next" });
    await logs.end(id);
    expect(bytesIn(folder)).toBeLessThan(128 * 1024);
  });

  it("takes no line that is longer, and goes on", async () => {
    const { logs } = await logsOf([id]);
    const line = "x".repeat(LONGEST_LINE + 1);
    for (const one of [{ line }, { line, cut: 100_000 }])
      await expect(logs.append(id, one, 1, "start")).rejects.toThrow("takes lines that are cut to that");
    await append(logs, ["next"]);
    const got = await read(logs);
    expect([textOf(got), gapsOf(got)]).toEqual([["next"], []]);
  });

  it("of the longest lines and characters is as large as it may be", async () => {
    const { logs, folder } = await logsOf([id], { maxBytes: 2 * MiB });
    const line = "\u0001".repeat(LONGEST_LINE);
    for (let n = 0; n < 200; n++) {
      await logs.append(id, { line }, n, "start");
      expect(bytesIn(folder)).toBeLessThan(2 * MiB);
    }
    const lines = linesOf(await read(logs));
    expect(lines.at(-1)).toMatchObject({ line, timestamp: 199 });
    expect(lines.length).toBeGreaterThan(5);
  });

  it("loses lines of a writer who does not wait, and says so", async () => {
    const { logs } = await logsOf([id]);
    const text = "x".repeat(100);
    const appends = Array.from({ length: 50_000 }, (_, n) =>
      logs.append(id, { line: `${n} ${text}` }, n, "start"),
    );
    expect(new Set(await Promise.all(appends))).toEqual(new Set([true]));
    await logs.append(id, { line: "last" }, 1, "start");
    const got = await read(logs);
    const lines = linesOf(got);
    expect(lines.length).toBeLessThan(2000);
    expect(lines.at(-1)).toMatchObject({ line: "last" });
    expect(gapsOf(got)).toEqual([{ gap: { after: lines.at(-2)?.seq, before: lines.at(-1)?.seq } }]);
  });
});

describe("a reader of all of a log", () => {
  /** Bytes that were asked of the files. */
  async function bytesRead(act: () => Promise<unknown>): Promise<number> {
    const handle = await open("/dev/null");
    const spy = vi.spyOn(Object.getPrototypeOf(handle), "read");
    await handle.close();
    await act();
    const sizes = spy.mock.calls.map(([, , size]) => size as number);
    spy.mockRestore();
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  it.each<[string, number, Iterable<string>, number]>([
    ["short ones", 2, numbered(1, 50_000), 50_000],
    ["long ones", 4, numbered(1, 2000, "x".repeat(4000)), 2000],
    ["the longest there are", 20, Array<string>(100).fill("\u0001".repeat(LONGEST_LINE)), 100],
  ])("of lines that are %s reads at most %i times as much as there is", async (_, times, lines, count) => {
    const { logs, folder } = await logsOf([id]);
    await append(logs, lines);
    await logs.end(id);
    let got: LogItem[] = [];
    const bytes = await bytesRead(async () => {
      got = await read(logs);
    });
    expect(linesOf(got)).toHaveLength(count);
    expect(bytes).toBeLessThan(times * bytesIn(folder));
  });
});

describe("slow readers", () => {
  it("of a log that is flooded hold next to nothing, and get all that is kept when they go on", async () => {
    const { logs } = await logsOf([id], { maxBytes: 64 * MiB });
    const text = "x".repeat(1000);
    await append(logs, numbered(1, 10, text));
    const readers = Array.from({ length: 50 }, () => logs.follow(id)[Symbol.asyncIterator]());
    for (const reader of readers) {
      await reader.next();
      expect(await reader.next()).toMatchObject({ value: { line: `line 1${text}` } });
    }
    const before = heldBytes();
    await append(logs, numbered(11, 40_000, text));
    const held = heldBytes() - before;
    // One copy of what was printed would be 40 MB.
    expect(held).toBeLessThan(16 * MiB);
    await logs.end(id);
    const rest = await all({ [Symbol.asyncIterator]: () => readers[0] as AsyncIterator<LogItem> });
    expect(textOf(rest)).toEqual([...numbered(2, 40_000, text)]);
  });

  it("who are overtaken are told how much they miss, and go on with the oldest that is kept", async () => {
    const { logs } = await logsOf([id], { maxBytes: 2 * MiB });
    const reader = logs.follow(id)[Symbol.asyncIterator]();
    await append(logs, numbered(1, 10));
    await reader.next();
    const { value: first } = await reader.next();
    await append(logs, numbered(11, 100_000));
    await logs.end(id);
    let last = first.seq as number;
    let gaps = 0;
    let count = 1;
    for (let one = await reader.next(); !one.done; one = await reader.next()) {
      const item = one.value;
      if ("gap" in item) {
        gaps++;
        expect(item.gap.after).toBe(last);
        last = item.gap.before - 1;
      } else if ("seq" in item) {
        expect(item.seq).toBe(last + 1);
        last = item.seq;
        count++;
      }
    }
    expect(gaps).toBe(1);
    expect(count).toBeLessThan(100_000);
    expect(last).toBe(first.seq + 99_999);
  });
});

describe("all logs together", () => {
  it("are as large as they may be: those of containers that are gone go first, then the oldest of the largest", async () => {
    const { logs, folder } = await logsOf([id, other, "00000001", "00000002"], {
      maxBytes: 4 * MiB,
      maxAll: 8 * MiB,
    });
    const text = "x".repeat(1000);
    await append(logs, numbered(1, 3000, text), "00000001");
    await logs.end("00000001");
    await append(logs, numbered(1, 100, text), other);
    let most = 0;
    for (let n = 0; n < 20; n++) {
      for (const one of [id, "00000002"]) await append(logs, numbered(n * 300, n * 300 + 299, text), one);
      most = Math.max(most, bytesIn(folder));
    }
    await logs.prune();
    expect(most).toBeLessThan(9 * MiB);
    expect(bytesIn(folder)).toBeLessThanOrEqual(8 * MiB);
    expect(logs.has("00000001")).toBe(false);
    expect(textOf(await read(logs, 0, other))).toEqual([...numbered(1, 100, text)]);
    for (const one of [id, "00000002"])
      expect(textOf(await read(logs, 0, one)).at(-1)).toBe(`line 5999${text}`);
  });
});
