/**
 * What dockerd's streams are read into, the pure parts. Proves: frames and lines come out the same however the bytes are cut;
 * what is longer than its bound takes no more memory than that; what is no stream of dockerd's is refused.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DockerError } from "../../../../agent/src/docker";
import { type Piece, readFrames } from "../../../../agent/src/docker/frames";
import { Kept } from "../../../../agent/src/docker/kept";
import { LineCutter, LONGEST_LINE } from "../../../../agent/src/docker/lines";
import { type LogLine, parseLogs } from "../../../../agent/src/docker/logs";
import { frame } from "../../../fakes/dockerd-exec";
import { failureOf } from "../../../lib/failure";

/** The same bytes in pieces of those sizes, again and again. */
async function* inPieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of source) values.push(value);
  return values;
}

const whole = (bytes: Buffer) => inPieces(bytes, [bytes.length || 1]);
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

function together(pieces: Piece[], from: Piece["from"]): string {
  return Buffer.concat(pieces.filter((piece) => piece.from === from).map(({ bytes }) => bytes)).toString(
    "hex",
  );
}

describe("frames", () => {
  const part = fc.record({
    output: fc.constantFrom(1 as const, 2 as const),
    bytes: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  });

  it("give each output what was written to it, however they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(part), sizes, async (parts, cuts) => {
        const bytes = Buffer.concat(parts.map(({ output, bytes }) => frame(output, bytes)));
        const pieces = await all(readFrames(inPieces(bytes, cuts), "read"));
        const written = (wanted: 1 | 2) =>
          Buffer.concat(parts.filter(({ output }) => output === wanted).map(({ bytes }) => bytes)).toString(
            "hex",
          );
        expect(together(pieces, "stdout")).toBe(written(1));
        expect(together(pieces, "stderr")).toBe(written(2));
        const ends = pieces.filter(({ last }) => last).length;
        expect(ends).toBe(parts.filter(({ bytes }) => bytes.length > 0).length);
      }),
    );
  });

  it("of any length are handed on as they come", async () => {
    const header = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    const pieces = readFrames(whole(Buffer.concat([header, Buffer.from("begin")])), "read");
    const { value } = await pieces.next();
    expect(value).toMatchObject({ from: "stdout", last: false });
    expect(String(value?.bytes)).toBe("begin");
  });

  it.each([
    ["a terminal's bytes", Buffer.from("$ ls -l /app\r\n"), /no frame; a container with a terminal has none/],
    ["an output that there is not", Buffer.from([4, 0, 0, 0, 0, 0, 0, 1, 65]), /no frame/],
    ["the end of a daemon in a header", frame(1, "abc").subarray(0, 5), /ends inside a frame/],
    ["the end of a daemon in a frame", frame(1, "abc").subarray(0, 9), /ends inside a frame/],
  ])("are not %s", async (_what, bytes, message) => {
    const error = await failureOf(DockerError, all(readFrames(whole(bytes), "read the logs of container x")));
    expect(error.message).toMatch(/^read the logs of container x: dockerd's answer makes no sense/);
    expect(error.message).toMatch(message);
  });
});

describe("lines", () => {
  const cut = (text: string, at: readonly number[]) => {
    const cutter = new LineCutter();
    const bytes = Buffer.from(text);
    const lines = [];
    for (let from = 0, i = 0; from < bytes.length; i++) {
      const size = at[i % at.length] ?? 1;
      lines.push(...cutter.push(bytes.subarray(from, from + size)));
      from += size;
    }
    return [...lines, ...cutter.rest()];
  };

  it("are what stands between ends of lines, however the bytes are cut", () => {
    const word = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, "."));
    fc.assert(
      fc.property(fc.array(word), sizes, (words, at) => {
        const text = words.map((one) => `${one}\n`).join("");
        expect(cut(text, at).map(({ line }) => line)).toEqual(words);
      }),
    );
  });

  it("lose the carriage return of a terminal, and no other", () => {
    expect(cut("a\r\n10%\r20%\r\n\r\nend", [3])).toEqual([
      { line: "a" },
      { line: "10%\r20%" },
      { line: "" },
      { line: "end" },
    ]);
  });

  it("have their beginning when they are too long, and say so", () => {
    const long = "ä".repeat(LONGEST_LINE);
    const [first, second] = cut(`x${long}\nshort\n`, [1000]);
    // Half a character is none.
    expect(first).toEqual({ line: `x${"ä".repeat(LONGEST_LINE / 2 - 1)}`, cut: 2 * LONGEST_LINE + 1 });
    expect(second).toEqual({ line: "short" });
    expect(cut("y".repeat(LONGEST_LINE), [7])).toEqual([{ line: "y".repeat(LONGEST_LINE) }]);
  });
});

describe("what is kept", () => {
  it("is the beginning, and takes no memory for the rest", () => {
    const kept = new Kept(10_000);
    for (let i = 0; i < 1_000_000; i++) kept.add(Buffer.from("x"));
    expect([kept.length, kept.cut, String(kept)]).toEqual([10_000, true, "x".repeat(10_000)]);
  });

  it("holds nothing of what it was read from", () => {
    const kept = new Kept(100);
    const read = Buffer.from("abc");
    kept.add(read);
    read.fill(0);
    expect(String(kept)).toBe("abc");
  });
});

describe("a container's log", () => {
  const T = "2026-11-30T15:00:00";
  const SECONDS = Date.UTC(2026, 10, 30, 15) / 1000;
  const read = (...frames: Buffer[]) =>
    all(parseLogs(whole(Buffer.concat(frames)), "read the logs of container x"));

  it("is read to the nanosecond, each line with its output", async () => {
    const lines = await read(
      frame(1, `${T}.000000001Z listening\n`),
      frame(2, `${T}.123456789Z \n`),
      frame(1, `${T}.200000000Z 2026-01-01T00:00:00.000000000Z said by the program\n`),
    );
    expect(lines).toEqual<LogLine[]>([
      { stream: "stdout", at: `${SECONDS}.000000001`, line: "listening" },
      { stream: "stderr", at: `${SECONDS}.123456789`, line: "" },
      {
        stream: "stdout",
        at: `${SECONDS}.200000000`,
        line: "2026-01-01T00:00:00.000000000Z said by the program",
      },
    ]);
  });

  it("is the same of a daemon that sends a line's time, space and text in three frames", async () => {
    const lines = await read(
      ...[
        `${T}.000000001Z`,
        " ",
        "one\n",
        `${T}.000000002Z`,
        " ",
        "half ",
        `${T}.000000003Z`,
        " ",
        "done\n",
      ].map((text) => frame(1, text)),
    );
    expect(lines.map(({ at, line }) => [at, line])).toEqual([
      [`${SECONDS}.000000001`, "one"],
      [`${SECONDS}.000000002`, "half done"],
    ]);
  });

  it("has a long line in one piece, though the daemon keeps it in parts between others", async () => {
    const part = "a".repeat(10_000);
    const lines = await read(
      frame(1, `${T}.000000001Z ${part}`),
      frame(2, `${T}.000000002Z between\n`),
      frame(1, `${T}.000000003Z ${part}`),
      frame(1, `${T}.000000004Z end\n`),
      frame(1, `${T}.000000005Z next\n`),
    );
    expect(lines.map(({ at, line, cut }) => [at, line.length, cut])).toEqual([
      [`${SECONDS}.000000002`, 7, undefined],
      [`${SECONDS}.000000001`, LONGEST_LINE, 20_003],
      [`${SECONDS}.000000005`, 4, undefined],
    ]);
  });

  it("is read in the time zone that the daemon's driver writes", async () => {
    const [line] = await read(frame(1, "2026-11-30T17:00:00.500000000+02:00 hello\n"));
    expect(line?.at).toBe(`${SECONDS}.500000000`);
  });

  it("is the same however the bytes are cut", async () => {
    const bytes = Buffer.concat([
      frame(1, `${T}.000000001Z one ä\n`),
      frame(2, `${T}.000000002Z two\n`),
      frame(1, `${T}.000000003Z thr`),
      frame(1, `${T}.000000004Z ee\n`),
    ]);
    const expected = await all(parseLogs(whole(bytes), "read"));
    expect(expected.map(({ line }) => line)).toEqual(["one ä", "two", "three"]);
    await fc.assert(
      fc.asyncProperty(sizes, async (cuts) => {
        expect(await all(parseLogs(inPieces(bytes, cuts), "read"))).toEqual(expected);
      }),
    );
  });

  it("has a last line without an end", async () => {
    expect(await read(frame(1, `${T}.000000001Z cut`))).toMatchObject([{ line: "cut" }]);
  });

  it("ends with the daemon's words where it cannot read on", async () => {
    const words = `Error grabbing logs: invalid character '\\x00' ${"x".repeat(5000)}\n`;
    const error = await failureOf(DockerError, read(frame(1, `${T}.000000001Z one\n`), frame(3, words)));
    expect(error.message).toContain("read the logs of container x: Error grabbing logs: invalid character");
    expect(error.message.length).toBeLessThan(600);
  });

  it.each([
    "no time at all\n",
    "2026-11-30 15:00 x\n",
    `${"9".repeat(100)} x\n`,
    "2026-13-99T99:99:99.000000000Z x\n",
  ])("is none: %j", async (text) => {
    const error = await failureOf(DockerError, read(frame(1, text)));
    expect(error.message).toContain("a line without its time");
  });

  it("is read no faster than its lines are asked for", async () => {
    let sent = 0;
    const endless = (async function* () {
      for (;;) {
        sent++;
        yield frame(1, `${T}.000000001Z line ${sent}\n`);
      }
    })();
    const lines = parseLogs(endless, "read");
    for (let i = 1; i <= 3; i++) expect((await lines.next()).value).toMatchObject({ line: `line ${i}` });
    expect(sent).toBe(3);
    await lines.return(undefined);
  });
});
