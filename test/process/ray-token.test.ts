/** The stage that places Ray's token: no task of before ever sees another one, nor is a program of theirs started with it. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renderToken } from "../../components/ray";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-ray-token-"));
  mkdirSync(join(folder, "bin"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Places a token where Ray's container is of this generation, or not there. @returns what docker was told, and the token then */
function place(token: string, generation: string, container: string | undefined): string[] {
  const told = join(folder, "told");
  rmSync(told, { force: true });
  writeFileSync(
    join(folder, "bin/docker"),
    `#!/bin/bash
case "$2 $3" in
  "inspect -f") printf 'PATH=/bin\\n'; ${container ? `echo BERTH_RAY_GENERATION=${container}` : ":"} ;;
  inspect*) ${container === undefined ? "exit 1" : "exit 0"} ;;
  *) echo "$2 with $(cat ${folder}/state/ray/token 2>/dev/null)" >>${told} ;;
esac
`,
  );
  chmodSync(join(folder, "bin/docker"), 0o755);
  const text = renderToken("node-0", "berth-dev-ray", generation)
    .replaceAll("/var/log/berth", `${folder}/log`)
    .replaceAll("/var/lib/berth", `${folder}/state`)
    .replaceAll("/run/berth-stage.lock", `${folder}/lock`)
    .replace("PATH=/usr/local/sbin:", `PATH=${folder}/bin:`);
  const done = spawnSync("bash", ["-c", text], { encoding: "utf8", input: JSON.stringify({ token }) });
  expect([done.status, done.stderr]).toEqual([0, ""]);
  expect(readFileSync(join(folder, "state/ray/token"), "utf8")).toBe(token);
  return existsSync(told) ? readFileSync(told, "utf8").trim().split("\n") : [];
}

describe.runIf(process.getuid?.() === 0)("Ray's token on a node", () => {
  it("is placed while Ray is down, which stays so where its container is of another generation", () => {
    expect(place("one", "aa", undefined)).toEqual([]);
    expect(place("one", "aa", "aa")).toEqual([]);
    expect(place("two", "bb", "aa")).toEqual(["stop with one"]);
    // A container of before there were lists, and the way back.
    expect(place("three", "cc", "")).toEqual(["stop with two"]);
    expect(place("four", "", "cc")).toEqual(["stop with three"]);
  });

  it("starts Ray again where another seed made it another one", () => {
    place("one", "aa", undefined);
    expect(place("two", "aa", "aa")).toEqual(["stop with one", "start with two"]);
    expect(place("three", "", "")).toEqual(["stop with two"].concat("start with three"));
  });
});
