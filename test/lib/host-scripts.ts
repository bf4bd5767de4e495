/** What every rendered stage script is held to, and stand-ins for the tools that one calls. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stageBody } from "../../components/host/stage";
import { missing, shellcheck } from "./programs";
import { shortenSnapshots } from "./snapshots";

/**
 * One group of tests a script: its snapshot, the shells' syntax, and shellcheck, which sees here that what stands before a
 * file's text sets what that needs. host-script-files.test.ts looks at the files themselves.
 */
export function describeScripts(scripts: Record<string, string>): void {
  shortenSnapshots();

  describe.each(Object.entries(scripts))("%s", (_, command) => {
    it("is what was reviewed", () => expect(command).toMatchSnapshot());

    it("is valid for bash, and its wrapping for sh", () => {
      expect(spawnSync("bash", ["-n"], { input: stageBody(command), encoding: "utf8" }).stderr).toBe("");
      expect(spawnSync("sh", ["-n"], { input: command, encoding: "utf8" }).stderr).toBe("");
    });

    // 2034, 2317, 2329: a variable or a function that one set of options does not need is no fault.
    it.skipIf(missing("shellcheck"))("passes shellcheck", () => {
      expect(shellcheck(stageBody(command), "-s", "bash", "-e", "SC2034,SC2317,SC2329")).toBe("");
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
