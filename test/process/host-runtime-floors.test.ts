/**
 * Version floors.
 * Proves: what is judged as below, mended or fine, for each tool and source; the bash on the node judges every version
 * as the function here does; what the stage does with the judgement.
 */
import { execFileSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { atFloor, belowFloors, type DockerOptions, FLOORS, RUNC_CVES } from "../../components/host/runtime";
import { AT_FLOOR, type EngineVersions, type FloorTool, words } from "../../components/host/runtime/floors";
import { runtimeMachine } from "../unit/components/host/runtime-helpers";

const CVES = Object.keys(RUNC_CVES);
const tools = Object.keys(FLOORS) as FloorTool[];

const table: [FloorTool, string, boolean][] = [
  ["runc", "1.1.5+ds1", false],
  ["runc", "1.1.12", false],
  ["runc", "1.2.7", false],
  ["runc", "1.2.8", true],
  ["runc", "1.2.10", true],
  ["runc", "1.3.0-0ubuntu2~24.04.1", false],
  ["runc", "1.3.3-0ubuntu1~24.04.2", true],
  ["runc", "1.4.0-rc.2", false],
  ["runc", "1.4.0-rc.3", true],
  ["runc", "1.4.0~rc.2", false],
  ["runc", "1.4.0", true],
  ["runc", "1.5.0-rc.1", true],
  ["runc", "2.0.0", true],
  ["runc", "", false],
  ["runc", "unknown", false],
  ["containerd", "v1.7.28", false],
  ["containerd", "v1.7.29", true],
  ["containerd", "1.6.39", false],
  ["containerd", "2.0.6", false],
  ["containerd", "2.1.5", true],
  ["containerd", "2.2.0-rc.0", false],
  ["containerd", "2.3.0", true],
  ["docker", "24.0.9", false],
  ["docker", "25.0.1", false],
  ["docker", "25.0.2", true],
  ["docker", "26.1.5+dfsg1", true],
  ["docker", "29.3.1", true],
];

/** What the node's bash says to many versions at once. */
function onNode(cases: readonly (readonly [FloorTool, string])[]): boolean[] {
  const lines = cases.map(([tool, version]) => {
    return `if at_floor '${version}' ${words(FLOORS[tool])}; then echo yes; else echo no; fi`;
  });
  const out = execFileSync("bash", ["-euo", "pipefail", "-c", `${AT_FLOOR}\n${lines.join("\n")}`], {
    encoding: "utf8",
  });
  return out
    .trim()
    .split("\n")
    .map((line) => line === "yes");
}

describe("a version's floor", () => {
  it.each(table)("%s %j: %s", (tool, version, fine) => expect(atFloor(FLOORS[tool], version)).toBe(fine));

  it("is the same on the node, for the table", () => {
    expect(onNode(table.map(([tool, version]) => [tool, version] as const))).toEqual(
      table.map(([, , fine]) => fine),
    );
  });

  it("is the same on the node, for any version", () => {
    const suffix = fc.constantFrom(
      "",
      "-rc.1",
      "-rc.3",
      "~rc.2",
      "-rc.10",
      "-beta.1",
      "+ds1",
      "+dfsg1",
      "-rc.3+ds1",
    );
    const around = (tool: FloorTool) => {
      const [major = 0, minor = 0, patch = 0] = (FLOORS[tool][0] ?? "").split(".").map(Number);
      return fc
        .tuple(
          fc.integer({ min: Math.max(0, major - 1), max: major + 1 }),
          fc.integer({ min: 0, max: minor + 3 }),
          fc.integer({ min: 0, max: patch + 4 }),
          suffix,
        )
        .map(([a, b, c, rest]) => `${a}.${b}.${c}${rest}`);
    };
    const cases = fc.sample(
      fc.constantFrom(...tools).chain((tool) => around(tool).map((version) => [tool, version] as const)),
      400,
    );
    expect(onNode(cases)).toEqual(cases.map(([tool, version]) => atFloor(FLOORS[tool], version)));
  }, 60_000);
});

describe("an engine", () => {
  const fine = { runc: "1.3.4", containerd: "v2.2.1", docker: "29.3.1" };
  const mended = (runc: string, cves: readonly string[]): EngineVersions => ({
    ...fine,
    distribution: true,
    runc,
    mended: cves,
  });
  const runcFloors = "(1.2.8, 1.3.3, 1.4.0-rc.3)";
  it.each<[string, EngineVersions, string[]]>([
    ["new enough", { distribution: false, ...fine }, []],
    [
      "with Docker's old runc, whatever a changelog says",
      { distribution: false, ...fine, runc: "1.2.6", mended: CVES },
      [`runc 1.2.6 ${runcFloors}`],
    ],
    [
      "of a distribution that mended all of it",
      { ...mended("1.1.5+ds1", CVES), containerd: "1.6.20", docker: "20.10.24" },
      [],
    ],
    [
      "of a distribution that mended some of it",
      mended("1.1.5+ds1", ["CVE-2024-21626"]),
      [`runc 1.1.5+ds1 ${runcFloors}`],
    ],
    [
      "of a distribution whose number is enough for the first of them",
      mended("1.1.15+ds1", CVES.slice(1, 3)),
      [`runc 1.1.15+ds1 ${runcFloors}`],
    ],
    ["of a distribution that mended what its number leaves open", mended("1.1.15+ds1", CVES.slice(1)), []],
    ["without runc", { distribution: false, ...fine, runc: "" }, []],
  ])("%s", (_, versions, below) => expect(belowFloors(versions)).toEqual(below));
});

describe.runIf(process.getuid?.() === 0)("the step that judges versions", () => {
  const machine = runtimeMachine();
  const engine = (
    from: string,
    versions: { docker: string; containerd: string; runc: string },
    changelog?: string,
  ) => {
    const { tool, installed, write, at } = machine;
    tool("dockerd", `echo 'Docker version ${versions.docker}, build 1'`);
    tool("containerd", `echo 'containerd github.com/containerd/containerd ${versions.containerd} abc'`);
    tool("runc", `echo 'runc version ${versions.runc}'`);
    if (from === "distribution") installed("runc", "1", "runc");
    if (changelog !== undefined) {
      write("usr/share/doc/runc/x", "");
      writeFileSync(at("usr/share/doc/runc/changelog.Debian.gz"), gzipSync(changelog));
    }
    return (allowBelowFloor?: boolean) =>
      machine.run(
        { gpu: "off", docker: { allowBelowFloor } },
        ["version floors"],
        `echo ${from} >"$work/docker-from"`,
      );
  };
  const bookworm = { docker: "20.10.24+dfsg1", containerd: "1.6.20~ds1", runc: "1.1.5+ds1" };
  // As Debian 12's package has it.
  const changelog =
    "runc (1.1.5+ds1-1+deb12u1) bookworm-security; urgency=high\n\n  * CVE-2024-21626: several container breakouts\n";

  it("takes a distribution's, tells what is open, and says so in the log", () => {
    const { status, facts, stderr } = engine("distribution", bookworm, changelog)();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(facts).toMatchObject({
      dockerFrom: "distribution",
      runc: "1.1.5+ds1",
      runcMended: ["CVE-2024-21626"],
    });
    expect(machine.log()).toContain("BELOW THE FLOOR, and taken as configured: runc 1.1.5+ds1");
  });

  it("refuses a distribution's below the floor where that is asked for, unless it mended everything", () => {
    const judge = engine("distribution", bookworm, changelog);
    expect(judge(false).stderr).toMatch(
      /below the oldest version .*runc 1\.1\.5\+ds1 \(1\.2\.8, 1\.3\.3, 1\.4\.0-rc\.3\)/,
    );
    const mended = engine("distribution", bookworm, `${changelog}${CVES.join(" ")}\n`)(false);
    expect(mended.status).toBe(0);
    expect(machine.log()).not.toContain("BELOW THE FLOOR, and taken");
  });

  it("counts what the number alone has mended, and a changelog for one architecture", () => {
    const trixie = { ...bookworm, runc: "1.1.15+ds1" };
    const judge = engine(
      "distribution",
      trixie,
      `runc (1.1.15+ds1-2+b4)\n\n  * ${CVES.slice(1).join(", ")}\n`,
    );
    renameSync(
      machine.at("usr/share/doc/runc/changelog.Debian.gz"),
      machine.at("usr/share/doc/runc/changelog.Debian.amd64.gz"),
    );
    expect(judge(false)).toMatchObject({ status: 0, facts: { runcMended: CVES.slice(1) } });
  });

  it("refuses Docker's own below the floor, all of it in one message, and takes it when told by name", () => {
    const judge = engine("docker", { docker: "24.0.9", containerd: "1.6.28", runc: "1.1.12" });
    const { status, stderr } = judge();
    expect(status).not.toBe(0);
    for (const part of [
      "runc 1.1.12 (",
      "containerd 1.6.28 (",
      "Docker 24.0.9 (25.0.2)",
      "allowBelowFloor: true",
    ])
      expect(stderr).toContain(part);
    expect(judge(true).status).toBe(0);
    expect(machine.log()).toContain("BELOW THE FLOOR, and taken as configured: runc 1.1.12");
  });

  it("judges an engine that stays before anything of it is touched, and only once", () => {
    engine("docker", { docker: "24.0.9", containerd: "1.6.28", runc: "1.1.12" });
    const steps = [
      "what Docker is told by others",
      "version floors of what is there",
      "daemon.json",
      "version floors",
    ];
    const judge = (docker: DockerOptions) =>
      machine.run(
        { gpu: "off", docker },
        steps,
        'echo docker >"$work/docker-from"; echo docker-ce >"$work/docker-package"',
      );
    expect(judge({}).stderr).toContain("below the oldest version");
    expect(machine.listed("etc/docker")).toEqual([]);
    const { stdout } = judge({ allowBelowFloor: true });
    expect(stdout.split('"runc":')).toHaveLength(2);
    expect(machine.listed("etc/docker")).toEqual(["daemon.json"]);
  });

  it("waits for the version that is to be installed", () => {
    engine("docker", { docker: "24.0.9", containerd: "1.6.28", runc: "1.1.12" });
    machine.installed("docker-ce", "5:24.0.9-1~debian.12~bookworm");
    const judge = (step: string) =>
      machine.run(
        { gpu: "off", docker: { from: "docker", version: "29.3.1" } },
        [step],
        'echo docker >"$work/docker-from"',
      );
    expect(judge("version floors of what is there")).toMatchObject({ status: 0, facts: { changed: [] } });
    expect(judge("version floors").stderr).toContain("below the oldest version");
    machine.installed("docker-ce", "5:29.3.1-1~debian.12~bookworm");
    expect(judge("version floors of what is there").stderr).toContain("below the oldest version");
  });

  it("says nothing about an engine that is new enough", () => {
    const { status } = engine("docker", { docker: "29.3.1", containerd: "v2.2.1", runc: "1.3.4" })(false);
    expect(status).toBe(0);
    expect(machine.log()).not.toContain("BELOW");
  });
});
