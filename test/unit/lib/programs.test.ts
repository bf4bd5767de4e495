/** How tests call shellcheck. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { missing, shellcheck } from "../../lib/programs";

describe.skipIf(missing("shellcheck"))("shellcheck", () => {
  const before = process.env.BERTH_CACHE;
  let cache = "";
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "berth-programs-test-"));
    process.env.BERTH_CACHE = cache;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.BERTH_CACHE;
    else process.env.BERTH_CACHE = before;
    rmSync(cache, { recursive: true });
  });
  const noted = () => readdirSync(join(cache, "shellcheck")).length;

  it("notes what passed, by script and options", () => {
    for (let time = 0; time < 2; time++) expect(shellcheck("echo a\n", "-s", "sh")).toBe("");
    expect(noted()).toBe(1);
    expect(shellcheck("echo a\n", "-s", "bash")).toBe("");
    expect(shellcheck("echo b\n", "-s", "sh")).toBe("");
    expect(noted()).toBe(3);
  });

  it("tells what it finds each time", () => {
    for (let time = 0; time < 2; time++) expect(shellcheck("echo $1\n", "-s", "sh")).toContain("SC2086");
    expect(readdirSync(cache)).toEqual([]);
  });
});
