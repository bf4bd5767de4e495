/** What every rendered stage script is held to, and stand-ins for the tools that one calls. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stageBody } from "../../components/host/stage";
import { missing, shellcheck } from "./programs";
import { shortenSnapshots } from "./snapshots";

/**
 * One group of tests a script: its snapshot, the shells' syntax, shellcheck.
 *
 * @param leaveOut codes of shellcheck that are no fault here
 */
export function describeScripts(scripts: Record<string, string>, leaveOut: string[] = []): void {
  shortenSnapshots();
  const exclude = leaveOut.length > 0 ? ["-e", leaveOut.join(",")] : [];

  describe.each(Object.entries(scripts))("%s", (_, command) => {
    it("is what was reviewed", () => expect(command).toMatchSnapshot());

    it("is valid for bash, and its wrapping for sh", () => {
      expect(spawnSync("bash", ["-n"], { input: stageBody(command), encoding: "utf8" }).stderr).toBe("");
      expect(spawnSync("sh", ["-n"], { input: command, encoding: "utf8" }).stderr).toBe("");
    });

    it.skipIf(missing("shellcheck"))("passes shellcheck", () => {
      expect(shellcheck(stageBody(command), "-s", "bash", ...exclude)).toBe("");
    });
  });
}

/** Paths, files and stand-ins in a test's own folder, which has a `bin`; `folder` is asked at each use. */
export function standIns(folder: () => string) {
  const at = (path: string) => join(folder(), path);
  const read = (path: string) => readFileSync(at(path), "utf8");
  /** The calls that were recorded. */
  const calls = () => (existsSync(at("calls")) ? read("calls").trim().split("\n") : []);
  /** `record` in its script notes the call. */
  const tool = (name: string, script: string): void => {
    writeFileSync(
      at(`bin/${name}`),
      `#!/bin/bash\nrecord() { echo "${name} $*" >>${at("calls")}; }\n${script}\n`,
    );
    chmodSync(at(`bin/${name}`), 0o755);
  };
  return { at, read, calls, tool };
}
