/** For the tests of the inventory: recorded output, a driver that answers as a table says, and a folder for each test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { Exec, ExecResult } from "../../../../agent/src/inventory";

/** What nvidia-smi printed, or prints by NVIDIA's manual. */
export const fixture = (name: string) =>
  readFileSync(join(__dirname, "../../../fixtures/nvidia-smi", name), "utf8");

/** A program that ended at once, and well unless `more` says otherwise. */
export const ended = (more: Partial<ExecResult> = {}): ExecResult => ({
  code: 0,
  stdout: "",
  stderr: "",
  timedOut: false,
  tooMuch: false,
  gone: Promise.resolve(),
  ...more,
});

/** A driver that answers by its arguments, with text or with more; `calls` has them in order. The table may change. */
export function answers(table: Record<string, string | Partial<ExecResult>>): {
  exec: Exec;
  calls: string[];
} {
  const calls: string[] = [];
  return {
    calls,
    exec: async (_, args) => {
      const key = args.join(" ");
      calls.push(key);
      const answer = table[key];
      if (answer === undefined) throw new Error(`nobody answers ${key}`);
      return ended(typeof answer === "string" ? { stdout: answer } : answer);
    },
  };
}

/** Empty before each test. */
export let root = "";

/** Makes `root` before each test of the file that calls this, and removes it after. */
export function rootForEachTest(): void {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-inventory-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
}
