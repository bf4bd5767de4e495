/** The stage that makes a person's folders and files: whatever its owner does as root in the workspace ends no update. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readUnwell, renderPrepare, renderPurge } from "../../components/workspace/prepare";
import type { UserPlan } from "../../config";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-prepare-"));
  for (const name of [
    "bin",
    "storage/homes",
    "storage/workspaces",
    "storage/docker-volumes",
    "storage/shared/tensorboard",
  ])
    mkdirSync(join(folder, name), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const home = (name: string) => join(folder, "storage/homes", name);

/** A stage whose places are in the test's folder. */
const placed = (stage: string) =>
  stage
    .replaceAll("/mnt/storage", `${folder}/storage`)
    .replaceAll("/var/log/berth", `${folder}/log`)
    .replaceAll("/var/lib/berth", `${folder}/state`)
    .replaceAll("/run/berth-stage.lock", `${folder}/lock`)
    .replace("PATH=/usr/local/sbin:", `PATH=${folder}/bin:`)
    .replace("seconds=240", "seconds=2")
    .replace("timeout -k 5", "timeout -k 1");

/** Runs the stage with a workspace whose `berth-apply` is this bash. */
function prepare(name: string, uid: number, { apply = "true", files = "1" } = {}) {
  writeFileSync(
    join(folder, "bin/docker"),
    `#!/bin/bash\ncase "$1" in container) echo true ;; exec) ${apply} ;; esac\n`,
  );
  chmodSync(join(folder, "bin/docker"), 0o755);
  const user = { name, uid, index: uid - 20000 } as UserPlan;
  const text = placed(renderPrepare("node-0", user, `berth-dev-workspace-${name}`));
  const input = JSON.stringify({
    "workspace.json": JSON.stringify({ user: name, uid }),
    "secrets.json": files,
    authorized_keys: "",
    ssh_host_ed25519_key: "",
  });
  const done = spawnSync("bash", ["-c", text], { encoding: "utf8", input, timeout: 60_000 });
  return { status: done.status, unwell: readUnwell(done.stdout), error: done.stderr };
}

const well = { status: 0, unwell: undefined, error: "" };

describe.runIf(process.getuid?.() === 0)("a person's folders and files", () => {
  it("are theirs, and stay when it is done again", () => {
    expect(prepare("alice", 20000)).toEqual(well);
    expect(prepare("alice", 20000)).toEqual(well);
    for (const path of [
      "homes/alice",
      "workspaces/alice",
      "shared/tensorboard/alice",
      "docker-volumes/alice-state",
    ])
      expect(statSync(join(folder, "storage", path)).uid, path).toBe(20000);
  });

  it("are put right where root in the workspace gave them away, to a neighbour or nobody", () => {
    for (const [name, uid] of [
      ["alice", 20000],
      ["bob", 20001],
    ] as const)
      prepare(name, uid);
    for (const uid of [20001, 20002, 0]) {
      chownSync(home("alice"), uid, uid);
      chownSync(join(folder, "storage/shared/tensorboard/alice"), uid, uid);
      // Neither the neighbour nor who comes new has to wait for that.
      expect(prepare("bob", 20001)).toEqual(well);
      expect(prepare("carol", 20002)).toEqual(well);
      expect(prepare("alice", 20000)).toEqual(well);
      expect(statSync(home("alice")).uid).toBe(20000);
    }
  });

  it("are refused where the home is a former user's, or the person's own of another index", () => {
    mkdirSync(home("dave"));
    chownSync(home("dave"), 20000, 20000);
    expect(prepare("alice", 20000)).toMatchObject({
      status: 1,
      error: expect.stringContaining("former user"),
    });
    rmSync(home("dave"), { recursive: true });
    expect(prepare("alice", 20000)).toEqual(well);
    expect(prepare("alice", 20005)).toMatchObject({
      status: 1,
      error: expect.stringContaining("belongs to uid 20000"),
    });
  });

  it.each([
    ["hangs", "exec sleep 30", true],
    ["prints without end", "exec yes", true],
    ["prints much, and is done", "head -c 3000000 /dev/zero | tr '\\\\0' x", false],
    ["fails", "exit 1", true],
  ])("are taken over by a running workspace, or not: its program %s", (_, apply, unwell) => {
    prepare("alice", 20000);
    const again = prepare("alice", 20000, { apply, files: "2" });
    expect(again).toMatchObject({ status: 0, error: "" });
    expect(again.unwell !== undefined).toBe(unwell);
    expect(existsSync(join(folder, "state/pending/berth-dev-workspace-alice"))).toBe(false);
    expect(readFileSync(join(folder, "log/workspace-alice.log")).length).toBeLessThan(20_000);
  });

  it("go for good although their owner writes on until the workspace is stopped", () => {
    prepare("alice", 20000);
    // The workspace, whose stop ends it.
    const write = `while [ ! -e ${folder}/stopped ]; do mkdir -p ${home("alice")}/$RANDOM/$RANDOM; done`;
    writeFileSync(
      join(folder, "bin/docker"),
      `#!/bin/bash\ncase "$2" in inspect) (${write}) & ;; stop) touch ${folder}/stopped; sleep 1 ;; esac\n`,
    );
    const text = placed(renderPurge("node-0", { name: "alice" }, "berth-dev-workspace-alice"));
    const done = spawnSync("bash", ["-c", text], { encoding: "utf8", timeout: 60_000 });
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect(existsSync(home("alice"))).toBe(false);
  });
});
