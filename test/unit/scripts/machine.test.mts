import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countReport, failed, lastLine, sum } from "../../../scripts/lib/counts.mjs";
import { findSum } from "../../../scripts/lib/download.mjs";
import { newFolder, placeFolder, processIdentity, writeWhole } from "../../../scripts/lib/files.mjs";
import { sameTree } from "../../../scripts/lib/npm.mjs";
import { PLUGINS, ROOT } from "../../../scripts/lib/paths.mjs";
import { CommandError, run, waitFor } from "../../../scripts/lib/process.mjs";
import { installed } from "../../../scripts/lib/provider-plugins.mjs";
import { acceptable } from "../../../scripts/lib/pulumi-cli.mjs";
import { requireMemory, requireRoom } from "../../../scripts/lib/room.mjs";
import { takeTurn } from "../../../scripts/lib/single.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-unit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("requireRoom", () => {
  const look = (free: number) => (path: string) => ({ disk: path.startsWith("/a") ? 1 : 2, free });
  const needs = [
    { path: "/a/cache", bytes: 3e9, why: "for tools" },
    { path: "/a/docker", bytes: 2e9, why: "for images" },
    { path: "/b", bytes: 4e9, why: "for the rest" },
  ];
  it("adds up what one disk must hold, and says how much is needed where", () => {
    expect(() => requireRoom(needs, look(5e9))).not.toThrow();
    expect(() => requireRoom(needs, look(4.9e9))).toThrow(
      /5\.0 GB needed, 4\.9 GB free:\n {4}3\.0 GB in \/a\/cache for tools\n {4}2\.0 GB in \/a\/docker/,
    );
    expect(() => requireRoom(needs, look(1e9))).toThrow(/4\.0 GB needed, 1\.0 GB free:\n {4}4\.0 GB in \/b/);
  });
  it("asks the real disk, for a folder that is not there yet", () => {
    expect(() => requireRoom([{ path: join(folder, "x/y"), bytes: 1, why: "" }])).not.toThrow();
    expect(() => requireRoom([{ path: join(folder, "x/y"), bytes: 1e18, why: "" }])).toThrow(/GB needed/);
  });
});

describe("requireMemory", () => {
  it("says how much is needed for what, and how much is free", () => {
    expect(() => requireMemory(6e9, "for machines", 6e9)).not.toThrow();
    expect(() => requireMemory(6e9, "for machines", 5.9e9)).toThrow(
      "Too little memory: 6.0 GB needed for machines, 5.9 GB free.",
    );
    expect(() => requireMemory(1e18, "for machines")).toThrow(/Too little memory/);
  });
});

describe("counting tests", () => {
  const report = { success: true, numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, testResults: [] };
  it.each([
    ["all well", report, 0, { passed: 3, failed: 0, skipped: 1 }],
    ["no report", undefined, 0, { passed: 0, failed: 1, skipped: 0 }],
    ["nothing ran", { success: true, testResults: [] }, 0, { passed: 0, failed: 1, skipped: 0 }],
    ["an error outside any test", report, 1, { passed: 3, failed: 1, skipped: 1 }],
    [
      "a file that cannot be read",
      { ...report, success: false, testResults: [{ status: "failed", assertionResults: [] }] },
      1,
      { passed: 3, failed: 1, skipped: 1 },
    ],
    [
      "one failed test, counted once",
      {
        ...report,
        success: false,
        numFailedTests: 1,
        testResults: [{ status: "failed", assertionResults: [{ status: "failed" }] }],
      },
      1,
      { passed: 3, failed: 1, skipped: 1 },
    ],
  ])("%s", (_, given, code, counts) => expect(countReport(given, code)).toEqual(counts));
  it("names what failed: tests, and files that could not be read", () => {
    const file = (name: string, status: string, ...tests: [string, string][]) => ({
      name: join(ROOT, name),
      status,
      assertionResults: tests.map(([fullName, state]) => ({ fullName, status: state })),
    });
    const report = {
      testResults: [
        file("test/a.test.ts", "failed", ["a works", "passed"], ["a holds", "failed"]),
        file("test/b.test.ts", "passed", ["b works", "passed"]),
        file("test/c.test.ts", "failed"),
      ],
    };
    expect(failed(report)).toEqual(["test/a.test.ts > a holds", "test/c.test.ts"]);
    expect(failed(undefined)).toEqual([]);
  });
  it("ends with the one line", () => {
    const total = sum([
      { passed: 2, failed: 0, skipped: 1 },
      { passed: 5, failed: 1, skipped: 0 },
    ]);
    expect(lastLine(total)).toBe("7 passed, 1 failed");
  });
});

describe("run", () => {
  it("gives lines as they come, and the tail with an error", async () => {
    const lines: string[] = [];
    const script = "echo one; echo two >&2; printf three; exit 3";
    const failing = run("bash", ["-c", script], { onLine: (line) => lines.push(line) });
    const error = await failing.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CommandError);
    expect((error as CommandError).message).toBe("bash -c: ended with exit code 3");
    expect(lines.toSorted()).toEqual(["one", "three", "two"]);
  });
  it("ends a program and its children at the deadline", async () => {
    const pidFile = join(folder, "pid");
    const began = Date.now();
    const failing = run("bash", ["-c", `sleep 60 & echo $! > ${pidFile}; wait`], { deadlineMs: 300 });
    await expect(failing).rejects.toThrow("not done after 0 s");
    expect(Date.now() - began).toBeLessThan(8_000);
  });
  it.each(["yes", "exec yes >&2", "head -c 5000 /dev/zero | tr '\\0' x; exec sleep 60"])(
    "ends a program that prints more than may be kept: %s",
    async (script) => {
      const began = Date.now();
      const failing = run("bash", ["-c", script], { mostOutput: 4000, deadlineMs: 30_000 });
      await expect(failing).rejects.toThrow("printed more than can be read");
      expect(Date.now() - began).toBeLessThan(8_000);
    },
  );
  it("passes input, and takes a program that does not exist for an error", async () => {
    expect((await run("cat", [], { input: "x" })).stdout).toBe("x");
    await expect(run("berth-no-such-program", [])).rejects.toThrow("did not begin");
  });
  it("waits for a condition, not for time", async () => {
    let asked = 0;
    expect(await waitFor(async () => ++asked > 2 && asked, { deadlineMs: 5_000, everyMs: 1 })).toBe(3);
    expect(await waitFor(async () => false, { deadlineMs: 20, everyMs: 5 })).toBeUndefined();
  });
});

describe("files", () => {
  it("leaves nothing beside a whole file, and sweeps what a killed run left", () => {
    writeWhole(join(folder, "a"), "text");
    expect(readdirSync(folder)).toEqual(["a"]);
    mkdirSync(join(folder, `.tool.${2 ** 22 + 1}.abcdef.tmp`));
    mkdirSync(join(folder, `.tool.${process.pid}.abcdef.tmp`));
    const made = newFolder(folder, "tool");
    expect(existsSync(join(folder, `.tool.${2 ** 22 + 1}.abcdef.tmp`))).toBe(false);
    expect(existsSync(join(folder, `.tool.${process.pid}.abcdef.tmp`))).toBe(true);
    mkdirSync(join(folder, "tool/old"), { recursive: true });
    writeFileSync(join(made, "new"), "");
    placeFolder(made, join(folder, "tool"));
    expect(readdirSync(join(folder, "tool"))).toEqual(["new"]);
  });
  it("lets one in at a time, and takes the turn of the dead", async () => {
    const file = join(folder, "lock");
    const end = await takeTurn(file, "npm start");
    await expect(takeTurn(file, "npm start")).rejects.toThrow(`process ${process.pid}`);
    end();
    writeFileSync(file, JSON.stringify({ pid: 2 ** 22 + 1, identity: "" }));
    (await takeTurn(file, "npm start"))();
    // The number lives, but it is another process than the one that took the turn.
    writeFileSync(file, JSON.stringify({ pid: process.pid, identity: "other boot/1" }));
    (await takeTurn(file, "npm start"))();
    expect(readdirSync(folder)).toEqual([]);
    expect(processIdentity(process.pid)).toMatch(/^[0-9a-f-]{36}\/\d+$/);
  });
  it("ends what a killed run left running, and nothing else", async () => {
    const file = join(folder, "lock");
    const left = spawn("sleep", ["60"], { detached: true });
    const other = spawn("sleep", ["60"], { detached: true });
    const ended = once(left, "exit");
    const children = [
      { pid: left.pid, identity: processIdentity(left.pid ?? 0) },
      { pid: other.pid, identity: "another process had this number" },
    ];
    writeFileSync(file, JSON.stringify({ pid: 2 ** 22 + 1, identity: "", children }));
    const end = await takeTurn(file, "npm start");
    await ended;
    expect(other.exitCode).toBeNull();
    other.kill();
    // What runs is noted while it runs.
    let noted: unknown;
    const whenNoted = `until grep -q children ${file}; do :; done; cat ${file}`;
    await run("bash", ["-c", whenNoted], { onLine: (line) => (noted = JSON.parse(line)) });
    expect(noted).toMatchObject({ pid: process.pid, children: [{ pid: expect.any(Number) }] });
    expect(JSON.parse(readFileSync(file, "utf8")).children).toEqual([]);
    end();
  });
});

describe("what is there already", () => {
  it("are plugins of the versions that package.json pins their SDKs to", () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    for (const { name, version } of PLUGINS) expect(dependencies[`@pulumi/${name}`], name).toBe(version);
  });

  it("finds a checksum only for the whole name", () => {
    const sum256 = "A".repeat(64);
    const list = `${sum256}  pulumi-v3.250.0-linux-x64.tar.gz\n${"b".repeat(64)} *./other.zip\nnonsense\n`;
    expect(findSum(list, "pulumi-v3.250.0-linux-x64.tar.gz")).toBe("a".repeat(64));
    expect(findSum(list, "other.zip")).toBe("b".repeat(64));
    expect(findSum(list, "x64.tar.gz")).toBeUndefined();
  });
  it.each([
    ["v3.250.0", true],
    ["v3.270.1", true],
    ["v3.249.9", false],
    ["v4.0.0", false],
  ])("Pulumi %s: %s", (version, fine) => expect(acceptable(version)).toBe(fine));
  it("compares npm's record with the lock file", () => {
    const one = { version: "1.0.0", integrity: "sha512-a" };
    const lock = {
      packages: { "": {}, "node_modules/a": one, "node_modules/mac-only": { ...one, optional: true } },
    };
    expect(sameTree(lock, { packages: { "node_modules/a": one } })).toBe(true);
    expect(sameTree(lock, { packages: {} })).toBe(false);
    expect(sameTree(lock, { packages: { "node_modules/a": { ...one, version: "2.0.0" } } })).toBe(false);
    expect(sameTree(lock, { packages: { "node_modules/a": one, "node_modules/extra": one } })).toBe(false);
    expect(sameTree({}, {})).toBe(false);
  });
  it("tells our plugins from the official ones and from half of one", () => {
    const plugin = { name: "command", version: "1.2.1" };
    const there = join(folder, "plugins/resource-command-v1.2.1");
    expect(installed(folder, plugin)).toBe("none");
    mkdirSync(there, { recursive: true });
    expect(installed(folder, plugin)).toBe("none");
    writeFileSync(join(there, "pulumi-resource-command"), "#!/bin/sh\n");
    expect(installed(folder, plugin)).toBe("ours");
    writeFileSync(join(there, "pulumi-resource-command"), "\u007fELF");
    expect(installed(folder, plugin)).toBe("official");
    writeFileSync(`${there}.partial`, "");
    expect(installed(folder, plugin)).toBe("none");
  });
});
