/**
 * systemd slices of users and groups.
 * Proves: names never nest by accident, and Docker gets the right parent for either driver; the files say what the
 * limits document says, for both versions of cgroups, and systemd knows every word of them; what the
 * kernel holds is read from its files.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cgroupVersion,
  desiredSlices,
  inUse,
  SliceNameError,
  systemExec,
  unheldLimits,
} from "../../../../agent/src/slices";
import { cgroupParent, slicePath, userSlice } from "../../../../core/limits";
import { document, root, rootForEachTest, users } from "./helpers";

rootForEachTest();

const GiB = 2 ** 30;
/** A file of the kernel's, in the node of the test. */
function kernel(path: string, content: string): void {
  const file = join(root, "sys/fs/cgroup", path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

describe("names", () => {
  it("give Docker a path with cgroupfs and a slice with systemd", () => {
    const alice = { name: "alice", group: "student" };
    expect(cgroupParent(alice, "cgroupfs")).toBe(
      "/berth.slice/berth-student.slice/berth-student-alice.slice",
    );
    expect(cgroupParent(alice, "systemd")).toBe("berth-student-alice.slice");
    expect(cgroupParent({ name: "mary-ann", group: "lab-2" }, "cgroupfs")).toBe(
      "/berth.slice/berth-lab_2.slice/berth-lab_2-mary_ann.slice",
    );
  });

  it("are always three deep, whatever people are called", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,31}$/);
    fc.assert(
      fc.property(name, name, (user, group) => {
        const slice = userSlice({ name: user, group });
        expect(slice.split("-")).toHaveLength(3);
        expect(slicePath(slice).split("/")).toHaveLength(4);
        expect(slice.length).toBeLessThan(256);
      }),
    );
  });

  it("that would be one slice are refused, all of them", () => {
    const same = [{ name: "a-b" }, { name: "a_b" }, { name: "c-d" }, { name: "c_d" }];
    expect(() => desiredSlices({}, same, 1)).toThrow(SliceNameError);
    expect(() => desiredSlices({}, same, 1)).toThrow(
      /user a-b and user a_b would both be berth-default-a_b.slice; user c-d and user c_d/,
    );
    expect(() =>
      desiredSlices(
        {},
        [
          { name: "x", group: "g-1" },
          { name: "y", group: "g_1" },
        ],
        1,
      ),
    ).toThrow(SliceNameError);
    expect(() => desiredSlices({}, [{ name: "a-b" }, { name: "a_b", group: "g" }], 1)).not.toThrow();
  });
});

describe("the files", () => {
  const content = (name: string, version: 1 | 2) =>
    desiredSlices(document, users, version).find((one) => one.name === name)?.content;

  it("are one for all, one for a group, one for a user; the outer before the inner", () => {
    expect(desiredSlices(document, [...users].reverse(), 1).map(({ name }) => name)).toEqual([
      "berth.slice",
      "berth-default.slice",
      "berth-default-eve.slice",
      "berth-student.slice",
      "berth-student-alice.slice",
      "berth-student-bob.slice",
    ]);
    expect(desiredSlices(document, [], 2).map(({ name }) => name)).toEqual(["berth.slice"]);
    // The group of the stack, where the document lists no member.
    expect(desiredSlices(document, [{ name: "eve", group: "student" }], 1).at(-1)).toMatchObject({
      name: "berth-student-eve.slice",
      path: "/berth.slice/berth-student.slice/berth-student-eve.slice",
      limits: { max_cpus: 16.5, memory: 64 * GiB, max_tasks: 4096 },
    });
  });

  it("say what the document says, on version 2", () => {
    expect(content("berth-student-alice.slice", 2)).toBe(`# Written by Berth: a change here is lost.
[Unit]
Description=Containers of alice
Before=docker.service

[Slice]
CPUAccounting=yes
MemoryAccounting=yes
TasksAccounting=yes
IOAccounting=yes
CPUQuota=1650%
MemoryMax=${64 * GiB}
MemorySwapMax=0
TasksMax=4096
`);
    expect(content("berth-student-bob.slice", 2)).toContain("MemoryMax=infinity\nMemorySwapMax=infinity\n");
    expect(content("berth-student.slice", 2)).toContain(`CPUQuota=6400%\nMemoryMax=${256 * GiB}\n`);
    expect(content("berth-default-eve.slice", 2)).toContain("CPUQuota=\n");
    // Accounting keeps the controllers of containers that systemd does not know.
    expect(content("berth-student-alice-keep.slice", 2)).toMatch(
      /MemoryAccounting=yes[\s\S]*MemoryMax=infinity/,
    );
  });

  it("say no word of version 2 on version 1", () => {
    const all = desiredSlices(document, users, 1);
    for (const { content: text, name } of all) {
      expect(text, name).not.toMatch(/MemorySwapMax|IOAccounting|MemoryHigh/);
      expect(text, name).toContain("MemoryAccounting=yes");
      expect(name).not.toContain("keep");
    }
    expect(content("berth-student-alice.slice", 1)).toContain(
      `CPUQuota=1650%\nMemoryMax=${64 * GiB}\nTasksMax=4096`,
    );
  });

  const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;
  it.runIf(analyze).each([1, 2] as const)("are understood by systemd, on version %s", (version) => {
    const slices = desiredSlices(document, users, version);
    for (const { name, content: text } of slices) writeFileSync(join(root, name), text);
    const verify = () =>
      spawnSync("systemd-analyze", ["verify", ...slices.map(({ name }) => join(root, name))], {
        encoding: "utf8",
      });
    expect(verify().stderr).toBe("");
    // It would say so.
    writeFileSync(join(root, "berth.slice"), "[Slice]\nMemoryMx=1\n");
    expect(verify().stderr).toContain("MemoryMx");
  });
});

describe("the kernel's files", () => {
  it("tell the version", () => {
    expect(cgroupVersion(root)).toBe(1);
    kernel("cgroup.controllers", "cpu io memory pids\n");
    expect(cgroupVersion(root)).toBe(2);
  });

  it("tell whether anything runs", () => {
    expect(inUse("/berth.slice", 1, root)).toBe(false);
    expect(inUse("/berth.slice", 2, root)).toBe(false);
    kernel("pids/berth.slice/a/cgroup.procs", "");
    expect(inUse("/berth.slice", 1, root)).toBe(false);
    kernel("pids/berth.slice/a/b/cgroup.procs", "1\n");
    expect(inUse("/berth.slice", 1, root)).toBe(true);
    expect(inUse("/berth.slice/b", 1, root)).toBe(false);
  });

  it.runIf(process.getuid?.() !== 0)("are not taken for empty when they cannot be read", () => {
    kernel("memory/berth.slice/cgroup.procs", "1\n");
    chmodSync(join(root, "sys/fs/cgroup/memory/berth.slice/cgroup.procs"), 0);
    expect(() => inUse("/berth.slice", 1, root)).toThrow("EACCES");
  });

  it.each<[1 | 2, Record<string, string>]>([
    [
      1,
      {
        "memory/PATH/memory.limit_in_bytes": `${64 * GiB}\n`,
        "cpu/PATH/cpu.cfs_quota_us": "1650000\n",
        "cpu/PATH/cpu.cfs_period_us": "100000\n",
        "pids/PATH/pids.max": "4096\n",
      },
    ],
    [
      2,
      { "PATH/memory.max": `${64 * GiB}\n`, "PATH/cpu.max": "1650000 100000\n", "PATH/pids.max": "4096\n" },
    ],
  ])("tell which limits hold (version %s)", (version, files) => {
    const alice = desiredSlices(document, [{ name: "alice" }], version).filter(({ name }) =>
      name.endsWith("alice.slice"),
    );
    const path = slicePath("berth-student-alice.slice").slice(1);
    const unheld = () => unheldLimits(alice, version, root).map(({ limit, actual }) => [limit, actual]);
    expect(unheld()).toEqual([
      ["max_cpus", null],
      ["memory", null],
      ["max_tasks", null],
    ]);
    for (const [file, text] of Object.entries(files)) kernel(file.replace("PATH", path), text);
    expect(unheld()).toEqual([]);
    const memory = Object.keys(files)[0] ?? "";
    kernel(memory.replace("PATH", path), `${65 * GiB}\n`);
    expect(unheld()).toEqual([["memory", 65 * GiB]]);
    kernel(memory.replace("PATH", path), version === 1 ? "-1\n" : "max\n");
    expect(unheld()).toEqual([["memory", null]]);
    // A limit that should not be is one too; without a cgroup there is none.
    const free = desiredSlices({}, [{ name: "alice", group: "student" }], version).filter(({ name }) =>
      name.endsWith("alice.slice"),
    );
    expect(unheldLimits(free, version, root).map(({ limit, there }) => [limit, there])).toEqual([
      ["max_cpus", true],
      ["max_tasks", true],
    ]);
    kernel(memory.replace("PATH", path), version === 1 ? "9223372036854771712\n" : "max\n");
    expect(unheldLimits(free, version, root).map(({ limit }) => limit)).not.toContain("memory");
    rmSync(join(root, "sys"), { recursive: true });
    expect(unheldLimits(free, version, root)).toEqual([]);
  });
});

describe("running programs", () => {
  it("gives what they return, also where they fail or are not there", async () => {
    expect(await systemExec("sh", ["-c", "echo out; echo err >&2"])).toEqual({
      code: 0,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect(await systemExec("sh", ["-c", "echo no >&2; exit 5"])).toEqual({
      code: 5,
      stdout: "",
      stderr: "no\n",
    });
    expect(await systemExec("berth-no-such-program", [])).toMatchObject({
      code: 127,
      stderr: expect.stringContaining("ENOENT"),
    });
    // A word with blanks stays one: there is no shell between.
    expect((await systemExec("printf", ["%s|", "a b", "$HOME"])).stdout).toBe("a b|$HOME|");
  });
});
