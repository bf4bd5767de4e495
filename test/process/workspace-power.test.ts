/** The stage that starts a workspace: whatever its owner did to it, the stage says so and does not fail. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readUnwell, renderPower } from "../../components/workspace/prepare";
import type { UserPlan } from "../../config";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-power-"));
  mkdirSync(join(folder, "bin"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the stage with a docker that answers `start` and `inspect` so; its places are in the test's folder. */
function power(docker: { start?: string; states: string[] }, state = "running") {
  const states = docker.states.map((one) => `"${one}"`).join(" ");
  writeFileSync(
    join(folder, "bin/docker"),
    `#!/bin/bash
case "$2" in
  start) ${docker.start ?? "true"};;
  inspect)
    states=(${states}); n=$(cat ${folder}/n 2>/dev/null || echo 0); echo $((n + 1)) >${folder}/n
    echo "\${states[n < \${#states[@]} ? n : \${#states[@]} - 1]}";;
  *) echo "$*" >>${folder}/told;;
esac
`,
  );
  chmodSync(join(folder, "bin/docker"), 0o755);
  const user = { name: "alice", state, resources: { pids: 4096 } } as UserPlan;
  const text = renderPower("node-0", user, "berth-dev-workspace-alice", "id")
    .replaceAll("/var/log/berth", `${folder}/log`)
    .replaceAll("/var/lib/berth", `${folder}/state`)
    .replaceAll("/run/berth-stage.lock", `${folder}/lock`)
    .replace("PATH=/usr/local/sbin:", `PATH=${folder}/bin:`)
    .replaceAll("SECONDS + seconds", "SECONDS + 2");
  const done = spawnSync("bash", ["-c", text], { encoding: "utf8" });
  return { status: done.status, unwell: readUnwell(done.stdout), error: done.stderr };
}

describe("a workspace that is started", () => {
  it.each<[string, Parameters<typeof power>[0], string | undefined]>([
    ["gets well", { states: ["running starting", "running starting", "running healthy"] }, undefined],
    ["is well", { states: ["running healthy"] }, undefined],
    ["gets well late", { states: ["running unhealthy", "running healthy"] }, undefined],
    [
      "lost its entry",
      { start: "echo 'no such file: \"berth-workspace\"' >&2; exit 1", states: ["exited unhealthy"] },
      'could not be started: no such file: "berth-workspace"',
    ],
    [
      "could not be started, for a path that moves a terminal's cursor",
      { start: "printf '/a\\302\\2332J\\033]0;x\\a: no folder' >&2; exit 1", states: ["exited unhealthy"] },
      "could not be started: /a?2J ]0;x : no folder",
    ],
    [
      "ends again and again",
      { states: ["running starting", "restarting starting"] },
      "ended soon after its start",
    ],
    ["ended", { states: ["exited unhealthy"] }, "ended soon after its start"],
    ["gets ill", { states: ["running starting", "running unhealthy"] }, "did not get healthy within 120 s"],
    ["hangs", { states: ["running starting"] }, "did not get healthy within 120 s"],
  ])("and %s", (_, docker, unwell) => {
    expect(power(docker)).toEqual({ status: 0, unwell, error: "" });
  });

  it("is stopped where it is to be down, whatever it does", () => {
    expect(power({ states: ["restarting starting"] }, "stopped")).toMatchObject({
      status: 0,
      unwell: undefined,
    });
  });
});
