/** `--help` of every npm script: what it is called with, what its options do, and what its exit codes mean. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };

describe.each(Object.entries(scripts))("npm run %s", (name, command) => {
  const words = command.split(" ").slice(1);
  const help = () => spawnSync(process.execPath, [...words, "--help"], { encoding: "utf8" });

  it("says how it is used and how it ends", () => {
    const { status, stdout, stderr } = help();
    expect([status, stderr]).toEqual([0, ""]);
    const first = stdout.split("\n")[0] ?? "";
    expect(first).toMatch(/npm (run|start|test|-s)?/);
    expect(first).toContain(name);
    expect(stdout).toMatch(/^Exit codes: 0 [^\n]+, [12] /m);
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(120);
  });

  it("names each option that it takes", () => {
    const text = readFileSync(words[0] ?? "", "utf8");
    const lists = [...text.matchAll(/\b(?:flags|values): \[([^\]]*)\]/g)].map(([, list = ""]) => list);
    const options = lists.flatMap((list) => list.match(/[a-z-]+/g) ?? []);
    const told = help().stdout;
    for (const option of options) expect(told).toContain(`--${option}`);
  });
});

describe("a script whose reader goes away", () => {
  it("ends as it would have, and says nothing of it", async () => {
    const child = spawn(process.execPath, ["scripts/status.mjs", "--help"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
    const [code] = await once(child, "close");
    expect([code, said]).toEqual([0, ""]);
  });
});
