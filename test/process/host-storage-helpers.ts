/** What the tests of the storage stage's tools share: a folder with stand-ins, and steps of the stage run in it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect } from "vitest";
import { renderStage } from "../../components/host/stage";
import { type StorageOptions, storageSteps } from "../../components/host/storage";
import { standIns } from "../lib/host-scripts";

/** Its steps run as root alone: for anybody else these tests are left out. */
export const asRoot = describe.runIf(process.getuid?.() === 0);

const node = "node-0";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-storage-"));
  for (const name of ["bin", "etc", "by-id", "tree", "state/storage"])
    mkdirSync(join(folder, name), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** In a folder of the test's own. */
export const { at, read, calls, tool } = standIns(() => folder);

/** Runs some of the steps; what they write outside goes to the folder of this test. */
export function run(
  options: StorageOptions,
  names: string[],
  before = "",
  move: Record<string, string> = {},
) {
  const steps = storageSteps(options).filter(({ name }) => names.includes(name));
  expect(steps).toHaveLength(names.length);
  const moved = steps.map((step) => ({
    ...step,
    body: `PATH=${at("bin")}:$PATH\n${before}\n${step.body
      .replaceAll("/etc/", `${at("etc")}/`)
      .replaceAll("/dev/disk/by-id", at("by-id"))
      .replaceAll("/mnt/storage", at("tree"))}`,
  }));
  for (const step of moved) {
    for (const [from, to] of Object.entries(move)) step.body = step.body.replaceAll(from, to);
  }
  const command = renderStage({
    name: "storage",
    node,
    uses: ["files", "apt"],
    steps: moved,
    paths: { logs: at("log"), state: at("state"), lock: at("lock") },
  });
  return spawnSync("dash", ["-c", command], { encoding: "utf8" });
}
