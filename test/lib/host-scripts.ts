/** What every rendered stage script is held to, and stand-ins for the tools that one calls. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stageBody } from "../../components/host/stage";
import { shortenSnapshots } from "./snapshots";

/**
 * One group of tests a script: its snapshot, the shells' syntax, shellcheck.
 *
 * @param of for the warning where shellcheck is missing: `the storage stage`
 * @param leaveOut codes of shellcheck that are no fault here
 */
export function describeScripts(of: string, scripts: Record<string, string>, leaveOut: string[] = []): void {
  const shellcheck = spawnSync("shellcheck", ["--version"]).status === 0;
  shortenSnapshots();
  const exclude = leaveOut.length > 0 ? ["-e", leaveOut.join(",")] : [];

  describe.each(Object.entries(scripts))("%s", (_, command) => {
    it("is what was reviewed", () => expect(command).toMatchSnapshot());

    it("is valid for bash, and its wrapping for sh", () => {
      expect(spawnSync("bash", ["-n"], { input: stageBody(command), encoding: "utf8" }).stderr).toBe("");
      expect(spawnSync("sh", ["-n"], { input: command, encoding: "utf8" }).stderr).toBe("");
    });

    it(shellcheck ? "passes shellcheck" : "NOT CHECKED by shellcheck: it is not installed", (context) => {
      if (!shellcheck) {
        console.warn(`shellcheck is not installed: the scripts of ${of} were NOT checked by it`);
        context.skip("shellcheck is not installed");
      }
      const { stdout } = spawnSync("shellcheck", ["-s", "bash", "-f", "gcc", ...exclude, "-"], {
        input: stageBody(command),
        encoding: "utf8",
      });
      expect(stdout).toBe("");
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
