/** What the tests of slices share: a limits document, its people, and a node's root in a folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { LimitsDocument } from "../../../../core/limits";

export const document: LimitsDocument = {
  defaults: { user_total: { max_tasks: 4096 } },
  groups: {
    student: {
      members: ["alice", "bob"],
      total: { max_cpus: 64, memory: "256GiB" },
      user_total: { max_cpus: 16.5, memory: "64GiB" },
    },
  },
  user_overrides: { bob: { user_total: { memory: null } } },
};
export const users = [{ name: "alice" }, { name: "bob" }, { name: "eve" }];

/** Empty before each test. */
export let root = "";

/** Makes `root` before each test of the file that calls this, and removes it after. */
export function rootForEachTest(): void {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-slices-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
}
