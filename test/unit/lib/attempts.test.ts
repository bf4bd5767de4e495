/** Attempts as one script, run by a real bash. */
import { describe, expect, it } from "vitest";
import { type Attempt, attemptsScript, readAttempts } from "../../lib/attempts";
import { run } from "../../lib/run";

async function tried(attempts: Attempt[], variables?: Record<string, string>): Promise<string[]> {
  const { stdout, code } = await run("bash", ["-s"], { input: attemptsScript(attempts, variables) });
  expect(code).toBe(0);
  return readAttempts(stdout, attempts.length);
}
const one = async (command: string, variables?: Record<string, string>) =>
  (await tried([{ command }], variables))[0];

describe("an attempt", () => {
  it.each([
    ["what it says on both streams", "echo out; echo err >&2", "out\nerr"],
    ["its code, where that is not 0", "echo no; exit 3", "no\nexit 3"],
    ["its code alone, where it says nothing", "exit 7", "exit 7"],
    ["nothing, where all is well and it says nothing", "true", ""],
    ["quotes, dollars and lines of its own", `printf '%s\\n' "it's" '$5' 'exit 1'`, "it's\n$5\nexit 1"],
    ["an end by a signal", "kill -9 $$", "exit 137"],
    ["a command that is not there", "no-such-thing-at-all", /no-such-thing-at-all: .*not found\nexit 127$/],
  ])("gives %s", async (_, command, said) => {
    const found = await one(command);
    if (typeof said === "string") expect(found).toBe(said);
    else expect(found).toMatch(said);
  });

  it("finds its variables as they were given, and nothing on standard input", async () => {
    expect(await one('echo "$A-$B"; cat', { A: "it's", B: "$(id) `id`" })).toBe("it's-$(id) `id`");
  });

  it("is ended after its seconds, and the next one goes on", async () => {
    const [late, next] = await tried([
      { command: "echo begun; sleep 60", seconds: 1 },
      { command: "echo next" },
    ]);
    expect([late, next]).toEqual(["begun\nexit 124", "next"]);
  });

  it("that waits lets the next ones begin", async () => {
    const box = "/tmp/berth-attempts-$BOX";
    const said = await tried(
      [
        { command: `until [ -e ${box} ]; do sleep 0.05; done; echo saw it`, waits: true },
        { command: `touch ${box}` },
      ],
      { BOX: String(process.pid) },
    );
    await run("rm", ["-f", `/tmp/berth-attempts-${process.pid}`]);
    expect(said).toEqual(["saw it", ""]);
  });

  it("that leaves something running behind does not hold up the rest", async () => {
    expect(await tried([{ command: "sleep 5 & echo gone" }, { command: "echo next" }])).toEqual([
      "gone",
      "next",
    ]);
  });

  it("shows the end of what is long", async () => {
    const said = (await one("seq 1 100000")) ?? "";
    expect(said.length).toBeLessThanOrEqual(20_000);
    expect(said).toMatch(/\n99999\n100000$/);
  });
});

it("fails where the script was cut off, and where an attempt is missing", async () => {
  const text = "ATTEMPT 0 0 b2s=\n";
  expect(readAttempts(`${text}END\n`, 1)).toEqual(["ok"]);
  expect(() => readAttempts(text, 1)).toThrow("1 of 1");
  expect(() => readAttempts(`${text}END\n`, 2)).toThrow("1 of 2");
  expect(() => readAttempts("", 1)).toThrow("0 of 1");
});
