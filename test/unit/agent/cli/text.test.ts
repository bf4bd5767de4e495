/** What `berth` prints: nothing that a terminal obeys, tables that align, sizes and times; and what it reads. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { askInWords, readAsk, readDuration, readMemory } from "../../../../agent/src/cli/ask";
import { Failure } from "../../../../agent/src/cli/failure";
import { asJson, away, bytes, clean, duration, memory, table } from "../../../../agent/src/cli/text";
import { character, LAST_CHARACTER, placeOf } from "../../../lib/characters";

/** What a terminal may obey, or what hides text in it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const orders = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]/;

describe("text of somebody else", () => {
  it.each([
    ["\u001b[31mred\u001b[0m", "\\e[31mred\\e[0m"],
    ["a\nb\r\tc", "a\\nb\\r\\tc"],
    ["\u009b2J", "\\u009b2J"],
    ["x\u202etxt.exe", "x\\u202etxt.exe"],
    ["\u0007\u007f", "\\u0007\\u007f"],
    ["Ünïcode, 表, 🙂", "Ünïcode, 表, 🙂"],
  ])("%j is shown as %j", (text, shown) => {
    expect(clean(text)).toBe(shown);
  });

  it("never moves a terminal, in text, tables or JSON, and JSON keeps its meaning", () => {
    const nasty = fc.string({
      unit: fc.oneof(
        fc.string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf), maxLength: 1 }),
        fc.constantFrom("\u001b", "\u009b", "\n", "\u202e", "\u007f"),
      ),
    });
    fc.assert(
      fc.property(nasty, nasty, (a, b) => {
        expect(clean(a)).not.toMatch(orders);
        expect(table(["A", "B"], [[a, b]]).split("\n")).toHaveLength(3);
        expect(table(["A", "B"], [[a, b]]).replaceAll("\n", "")).not.toMatch(orders);
        const json = asJson({ [a]: [b] });
        expect(json.replaceAll("\n", "")).not.toMatch(orders);
        expect(JSON.parse(json)).toEqual({ [a]: [b] });
      }),
    );
  });
});

it("aligns a table and leaves no blanks at the end of a line", () => {
  expect(
    table(
      ["UNIT", "MODEL"],
      [
        ["0:1", "H100"],
        ["10", ""],
      ],
    ),
  ).toBe(["UNIT  MODEL", "----  -----", "0:1   H100", "10"].join("\n"));
});

it.each([
  [0, "0 s"],
  [0.4, "0 s"],
  [59, "59 s"],
  [60, "1 min"],
  [185, "3 min 5 s"],
  [3600, "1 h"],
  [5400, "1 h 30 min"],
  [100_000, "1 d 3 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it("tells how far away a moment is", () => {
  expect(away(0, 65_000)).toBe("1 min 5 s ago");
  expect(away(65_000, 0)).toBe("in 1 min 5 s");
});

it("writes memory in the unit that people use", () => {
  expect([memory(512), memory(10_240), memory(81_559)]).toEqual(["512 MiB", "10 GiB", "79.6 GiB"]);
  expect([bytes(100), bytes(64 * 1024 ** 3), bytes(1536)]).toEqual(["100 B", "64 GiB", "1.5 KiB"]);
});

describe("what is asked for", () => {
  const problem = (options: Parameters<typeof readAsk>[0]): string => {
    try {
      readAsk(options);
    } catch (error) {
      if (error instanceof Failure) return `${error.exitCode} ${error.message}`;
      throw error;
    }
    return "none";
  };

  it("is one GPU unless something else is said", () => {
    expect(readAsk({})).toEqual({ kind: "gpu", count: 1 });
    expect(readAsk({ profile: "1g.10gb" })).toEqual({ kind: "mig", count: 1, profile: "1g.10gb" });
    expect(readAsk({ kind: "mig", count: "2" })).toEqual({ kind: "mig", count: 2 });
    expect(readAsk({ kind: "share", memory: "20GiB" })).toEqual({
      kind: "share",
      count: 1,
      memoryMiB: 20_480,
    });
    expect(readAsk({ pin: ["GPU-a", "GPU-b"], strategy: "pack", model: "H100" })).toEqual({
      kind: "gpu",
      count: 2,
      model: "H100",
      strategy: "pack",
      pins: ["GPU-a", "GPU-b"],
    });
  });

  it("is refused with all that is wrong at once", () => {
    expect(problem({ kind: "tpu", count: "0", memory: "20", strategy: "best" })).toBe(
      "2 --kind tpu: one of gpu, mig, share; --count 0: a whole number from 1; " +
        "--memory 20: a size with its unit, such as 20GiB or 512MiB; --strategy best: one of least-allocated, pack, spread",
    );
    expect(problem({ kind: "gpu", profile: "1g.10gb" })).toMatch(/--profile is of --kind mig/);
    expect(problem({ kind: "share" })).toMatch(/needs --memory/);
    expect(problem({ kind: "share", memory: "1g", count: "2" })).toMatch(/one GPU/);
    expect(problem({ pin: ["GPU-a"], count: "2" })).toMatch(/as many as/);
  });

  it.each(["1", "-1", "1.5", "1e3", " 2", "0x2", "9007199254740993", ""])("count %j", (count) => {
    expect(problem({ count })).toBe(count === "1" ? "none" : `2 --count ${count}: a whole number from 1`);
  });

  it("reads sizes and times with their units alone", () => {
    expect([readMemory("512m"), readMemory("1.5GiB"), readMemory("10GB")]).toEqual([512, 1536, 9536]);
    expect([
      readDuration("--wait", "90s"),
      readDuration("--wait", "0.25h"),
      readDuration("--wait", "1h30m"),
    ]).toEqual([90, 900, 5400]);
    for (const text of ["", "0", "-5m", "5", "soon"])
      expect(() => readDuration("--wait", text)).toThrow(/--wait/);
    for (const text of ["", "0g", "20", "1k", "-1g"]) expect(() => readMemory(text)).toThrow(/--memory/);
  });

  it("is said in words", () => {
    expect(askInWords({ kind: "mig", count: 2, profile: "1g.10gb" }, memory)).toBe("2 x MIG 1g.10gb");
    expect(askInWords({ kind: "share", count: 1, memoryMiB: 20_480, model: "H100" }, memory)).toBe(
      "1 x share of 20 GiB on H100",
    );
  });
});
