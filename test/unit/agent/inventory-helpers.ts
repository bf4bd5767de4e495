/** A folder for each test of the inventory that writes files. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";

/** Empty before each test. */
export let root = "";

/** Makes `root` before each test of the file that calls this, and removes it after. */
export function rootForEachTest(): void {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-inventory-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
}
