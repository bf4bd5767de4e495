/** The command that tests on whole machines: what it is told, what it asks for, and that `npm test` leaves it out. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mmdebstrap } from "../../../scripts/image/mmdebstrap.mjs";
import { ROOT } from "../../../scripts/lib/paths.mjs";
import { APART, partsOf, testFiles } from "../../../scripts/lib/suites.mjs";
import { missingTools, tellMissing } from "../../../scripts/lib/test-tools.mjs";
import { FOLDER_PREFIX, linkOf, NAMESPACE_PREFIX, sweepMachines } from "../../../scripts/machines/sweep.mjs";

const machines = (...words: string[]) =>
  spawnSync(process.execPath, ["scripts/machines.mjs", ...words], { cwd: ROOT, encoding: "utf8" });

const names = testFiles("machines").map((file) => file.replace("test/machines/", "").replace(".test.ts", ""));

describe("npm run test:machines", () => {
  it("is no part of npm test", () => {
    expect(Object.keys(APART)).toEqual(["machines"]);
    expect(partsOf(undefined)).not.toContain("machines");
    expect(partsOf("machines")).toBeUndefined();
  });

  it("has a project of its own for its files", () => {
    expect(names.length).toBeGreaterThan(0);
    expect(readFileSync(join(ROOT, "vitest.config.mts"), "utf8")).toContain('name: "machines"');
  });

  it("tells what it does and which files there are", () => {
    const { status, stdout } = machines("--help");
    expect(status).toBe(0);
    for (const name of names) expect(stdout).toContain(name);
  });

  it.each([
    [["--only", "nothing"], '--only: "nothing" is no test. Allowed: '],
    [["--deadline", "soon"], '--deadline: "soon" is no number of minutes.'],
    [["--deadline", "0"], '--deadline: "0" is no number of minutes.'],
    // A timer that cannot wait so long would end the tests at once.
    [
      ["--deadline", "40000"],
      '--deadline: "40000" is no number of minutes. Allowed: more than 0, at most 35791.',
    ],
    [["--deadline", "Infinity"], '--deadline: "Infinity" is no number of minutes.'],
    [["--only"], "--only: a value is missing after it."],
  ])("refuses %j", (words, said) => {
    const { status, stderr } = machines(...words);
    expect(status).toBe(2);
    expect(stderr).toContain(said);
  });

  it("names the packages of what is missing", () => {
    const missing = missingTools(["machines"], { PATH: "/nowhere" });
    const packages = missing.map((tool) => tool.package);
    expect(packages).toEqual(expect.arrayContaining(["qemu-system-x86", "qemu-utils"]));
    expect(tellMissing(missing)).toContain("sudo apt-get install qemu-system-x86");
  });
});

let folder = "";
const before = { ...process.env };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-machines-test-"));
});
afterEach(() => {
  process.env = { ...before };
  rmSync(folder, { recursive: true, force: true });
});
/** A program of that name comes before the computer's own. */
function fake(name: string, text: string): void {
  writeFileSync(join(folder, name), text, { mode: 0o755 });
  process.env.PATH = [folder, before.PATH].join(delimiter);
}

describe("what a killed run leaves", () => {
  it("goes: its folder, its namespaces and its link; those of a run that goes on stay", async () => {
    const ended = spawnSync("true").pid;
    const alive = process.pid;
    fake(
      "ip",
      `#!/bin/sh
echo "$*" >>${folder}/asked
if [ "$*" = "netns list" ]; then
  printf '%s\\n' '${NAMESPACE_PREFIX}${ended} (id: 1)' ${NAMESPACE_PREFIX}${ended}-allowed ${NAMESPACE_PREFIX}${alive} other-${ended}
fi
`,
    );
    const names = [`${FOLDER_PREFIX}${ended}-a`, `${FOLDER_PREFIX}${alive}-a`, `other-${ended}`];
    for (const name of names) mkdirSync(join(folder, name));
    await sweepMachines(folder);
    expect(names.map((name) => existsSync(join(folder, name)))).toEqual([false, true, true]);
    expect(readFileSync(join(folder, "asked"), "utf8").trim().split("\n")).toEqual([
      "netns list",
      `link delete ${linkOf(ended)}`,
      `netns delete ${NAMESPACE_PREFIX}${ended}`,
      `link delete ${linkOf(ended)}`,
      `netns delete ${NAMESPACE_PREFIX}${ended}-allowed`,
    ]);
  });
});

describe("a system made by mmdebstrap", () => {
  beforeEach(() => fake("mmdebstrap", `#!/bin/sh\nprintf '%s\\n' "$@" >${folder}/words\n`));

  const make = async (mirror: string | undefined) => {
    if (mirror === undefined) delete process.env.BERTH_APT_MIRROR;
    else process.env.BERTH_APT_MIRROR = mirror;
    const system = {
      suite: "trixie",
      include: ["one", "two"],
      dpkg: ["path-exclude=/x"],
      customize: ["finish it"],
    };
    await mmdebstrap(system, "/target", { say: () => {}, deadlineMs: 10_000, what: "It is needed" });
    return readFileSync(join(folder, "words"), "utf8").trim().split("\n");
  };
  const keyring = spawnSync("test", ["-e", "/usr/share/keyrings/debian-archive-keyring.gpg"]).status === 0;

  it.skipIf(!keyring)(
    "asks Debian's own mirrors where none is named, so that no host is written down",
    async () => {
      const words = await make(undefined);
      expect(words).toEqual(expect.arrayContaining(["--include=one,two", "--dpkgopt=path-exclude=/x"]));
      expect(words.slice(-2)).toEqual(["trixie", "/target"]);
      expect(words.filter((word) => word.startsWith("--customize-hook=")).at(-1)).toBe(
        "--customize-hook=finish it",
      );
      expect(words.join("\n")).not.toMatch(/https?:/);
    },
  );

  it.skipIf(!keyring)("asks the operator's mirror while it is made, and does not keep it", async () => {
    const words = (await make("http://mirror.example/debian/")).join("\n");
    expect(words).toContain("deb http://mirror.example/debian trixie main");
    expect(words).toContain("deb http://mirror.example/debian-security trixie-security main");
    expect(words).toMatch(/--customize-hook=mv "\$1"\/etc\/apt\/sources.own "\$1"\/etc\/apt\/sources.list/);
  });
});
