/**
 * Putting systemd's slices on a node.
 * Proves: files are put in place whole, systemd is reloaded only for a difference, a call that was cut off is made good
 * by the next; what is no longer needed goes unless something runs in it; other people's files are left alone; refusals
 * of systemd are told; calls at once are done one after the other.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { applySlices, desiredSlices, SliceError, type SliceExec, Slices } from "../../../../agent/src/slices";
import { document, root, rootForEachTest, users } from "./helpers";

rootForEachTest();

const unit = (name: string) => join(root, "etc/systemd/system", name);
const link = (name: string) => join(root, "etc/systemd/system/docker.service.wants", name);

/** What systemctl would say, from the files; every call is recorded. */
class FakeSystemd {
  readonly calls: string[][] = [];
  readonly active = new Set<string>();
  /** Arguments whose first word fails, with what it prints. */
  fail: Record<string, string> = {};
  #loaded = new Map<string, string>();

  readonly exec: SliceExec = async (file, args) => {
    expect(file).toBe("systemctl");
    this.calls.push([...args]);
    const [verb = "", ...rest] = args;
    const said = this.fail[verb];
    if (said !== undefined) return { code: 1, stdout: "", stderr: `${said}\n` };
    if (verb === "daemon-reload") this.#loaded.clear();
    if (verb === "stop") for (const name of rest) this.active.delete(name);
    if (verb === "start")
      for (const name of rest) {
        if (!existsSync(unit(name))) return { code: 5, stdout: "", stderr: `Unit ${name} not found.\n` };
        this.active.add(name);
      }
    return { code: 0, stdout: verb === "show" ? this.#show(rest.slice(1)) : "", stderr: "" };
  };

  #show(names: readonly string[]): string {
    return names
      .map((name) => {
        const now = existsSync(unit(name)) ? readFileSync(unit(name), "utf8") : "";
        const known = this.#loaded.get(name) ?? now;
        this.#loaded.set(name, known);
        const state = this.active.has(name) ? "active" : "inactive";
        return `Id=${name}\nActiveState=${state}\nNeedDaemonReload=${known === now ? "no" : "yes"}\n`;
      })
      .join("\n");
  }

  verbs(): string[] {
    return this.calls.splice(0).map(([verb = ""]) => verb);
  }
}

/** A file of the kernel's, in the node of the test. */
function kernel(path: string, content: string): void {
  const file = join(root, "sys/fs/cgroup", path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

describe("applying", () => {
  const apply = (systemd: FakeSystemd, who = users, doc = document, cgroup: 1 | 2 = 1) =>
    applySlices(desiredSlices(doc, who, cgroup), { exec: systemd.exec, root, cgroup });

  it("writes, reloads once, starts, and then only asks", async () => {
    const systemd = new FakeSystemd();
    const first = await apply(systemd);
    const names = desiredSlices(document, users, 1).map(({ name }) => name);
    expect(first).toMatchObject({ written: names, started: names, removed: [], kept: [] });
    expect(systemd.calls.filter(([verb]) => verb !== "show")).toEqual([
      ["daemon-reload"],
      ["start", ...names],
    ]);
    expect(statSync(unit("berth.slice")).mode & 0o777).toBe(0o644);
    expect(readlinkSync(link("berth-student.slice"))).toBe("../berth-student.slice");
    expect(readdirSync(join(root, "etc/systemd/system")).filter((name) => name.endsWith("new"))).toEqual([]);
    systemd.calls.length = 0;
    expect(await apply(systemd)).toMatchObject({ written: [], started: [], removed: [], kept: [] });
    expect(systemd.calls).toEqual([["show", "--property=Id,ActiveState,NeedDaemonReload", ...names]]);
  });

  it("writes what changed, and starts nothing twice", async () => {
    const systemd = new FakeSystemd();
    await apply(systemd);
    systemd.verbs();
    const more = {
      ...document,
      groups: { student: { ...document.groups?.student, total: { max_cpus: 1 } } },
    };
    expect(await apply(systemd, users, more)).toMatchObject({
      written: ["berth-student.slice"],
      started: [],
    });
    expect(systemd.verbs()).toEqual(["show", "daemon-reload", "show"]);
    expect(readFileSync(unit("berth-student.slice"), "utf8")).toContain("CPUQuota=100%");
  });

  it("sets again what an active slice does not hold after a reload, and forgets it with the slice", async () => {
    const systemd = new FakeSystemd();
    await apply(systemd);
    systemd.calls.length = 0;
    const bob = "memory/berth.slice/berth-student.slice/berth-student-bob.slice";
    kernel(`${bob}/memory.limit_in_bytes`, "134217728\n");
    const report = await apply(systemd);
    expect(systemd.calls.filter(([verb]) => verb !== "show")).toEqual([
      [
        "set-property",
        "--runtime",
        "berth-student-bob.slice",
        "CPUQuota=1650%",
        "MemoryMax=infinity",
        "TasksMax=4096",
      ],
    ]);
    // systemd of the test changes nothing, so it is told as well.
    expect(report.unheld).toContainEqual({
      slice: "berth-student-bob.slice",
      limit: "memory",
      wanted: null,
      actual: 134217728,
      there: true,
    });
    kernel(`${bob}/memory.limit_in_bytes`, "9223372036854771712\n");
    systemd.verbs();
    await apply(systemd);
    expect(systemd.verbs()).toEqual(["show"]);
    const dropIn = join(root, "run/systemd/system.control/berth-student-bob.slice.d");
    mkdirSync(dropIn, { recursive: true });
    await apply(systemd, [{ name: "alice" }]);
    expect(existsSync(dropIn)).toBe(false);
  });

  it("starts again what somebody stopped, and links again what somebody disabled", async () => {
    const systemd = new FakeSystemd();
    await apply(systemd);
    systemd.active.delete("berth-student-bob.slice");
    rmSync(link("berth-student-alice.slice"));
    systemd.verbs();
    expect(await apply(systemd)).toMatchObject({
      started: ["berth-student-bob.slice"],
      written: ["berth-student-alice.slice"],
    });
    expect(existsSync(link("berth-student-alice.slice"))).toBe(true);
  });

  it("reloads when the call that wrote was cut off before", async () => {
    const systemd = new FakeSystemd();
    await apply(systemd);
    systemd.fail = { "daemon-reload": "Connection timed out" };
    await expect(apply(systemd, users, {})).rejects.toThrow(
      /systemctl daemon-reload ended with 1: Connection timed out/,
    );
    systemd.fail = {};
    systemd.verbs();
    await apply(systemd, users, {});
    expect(systemd.verbs()).toContain("daemon-reload");
    systemd.verbs();
    await apply(systemd, users, {});
    expect(systemd.verbs()).toEqual(["show"]);
  });

  it.each([1, 2] as const)(
    "takes away what nobody needs, the inner before the outer (version %s)",
    async (version) => {
      const systemd = new FakeSystemd();
      await apply(systemd, users, document, version);
      systemd.verbs();
      const report = await apply(systemd, [{ name: "alice" }], document, version);
      expect(report.removed.at(-1)).toBe("berth-default.slice");
      expect([...report.removed].sort()).toEqual(
        [
          "berth-default.slice",
          "berth-default-eve.slice",
          "berth-student-bob.slice",
          ...(version === 2 ? ["berth-default-eve-keep.slice", "berth-student-bob-keep.slice"] : []),
        ].sort(),
      );
      expect(systemd.verbs()).toEqual(["stop", "show", "daemon-reload", "show"]);
      for (const name of report.removed) {
        expect(existsSync(unit(name)), name).toBe(false);
        expect(existsSync(link(name)), name).toBe(false);
        expect(systemd.active.has(name), name).toBe(false);
      }
      expect(existsSync(unit("berth-student-alice.slice"))).toBe(true);
    },
  );

  it("finishes a removal that was cut off", async () => {
    const systemd = new FakeSystemd();
    await apply(systemd);
    systemd.fail = { "daemon-reload": "no" };
    await expect(apply(systemd, [])).rejects.toThrow(SliceError);
    systemd.fail = { stop: "no" };
    // Its files are gone, so there is nothing left to stop.
    await apply(systemd, []);
    systemd.fail = {};
    await apply(systemd);
    systemd.fail = { stop: "Failed to stop" };
    await expect(apply(systemd, [])).rejects.toThrow("Failed to stop");
    expect(existsSync(unit("berth-student-bob.slice"))).toBe(true);
    systemd.fail = {};
    expect((await apply(systemd, [])).removed).toContain("berth-student-bob.slice");
  });

  it.each<[1 | 2, string, string, string]>([
    [1, "memory/berth.slice/berth-student.slice/berth-student-bob.slice/0af3/cgroup.procs", "77\n", ""],
    [
      2,
      "berth.slice/berth-student.slice/berth-student-bob.slice/cgroup.events",
      "populated 1\nfrozen 0\n",
      "populated 0\nfrozen 0\n",
    ],
  ])("keeps the limits of what still runs (version %s)", async (version, file, busy, idle) => {
    const systemd = new FakeSystemd();
    await apply(systemd, users, document, version);
    kernel(file, busy);
    const report = await apply(systemd, [{ name: "alice" }], document, version);
    expect(report.kept).toEqual([
      ...(version === 2 ? ["berth-student-bob-keep.slice"] : []),
      "berth-student-bob.slice",
    ]);
    expect(report.removed).toContain("berth-default-eve.slice");
    expect(systemd.active.has("berth-student-bob.slice")).toBe(true);
    kernel(file, idle);
    expect((await apply(systemd, [{ name: "alice" }], document, version)).removed).toContain(
      "berth-student-bob.slice",
    );
  });

  it("takes no user or group called keep for a keeper", async () => {
    const systemd = new FakeSystemd();
    const names = [...users, { name: "keep", group: "student" }, { name: "zoe", group: "keep" }];
    await apply(systemd, names, document, 2);
    // Their own are empty; what runs is another's, below the slices that the names would give.
    kernel("berth.slice/cgroup.events", "populated 1\n");
    kernel("berth.slice/berth-student.slice/cgroup.events", "populated 1\n");
    const report = await apply(systemd, users, document, 2);
    expect(report.kept).toEqual([]);
    expect([...report.removed].sort()).toEqual([
      "berth-keep-zoe-keep.slice",
      "berth-keep-zoe.slice",
      "berth-keep.slice",
      "berth-student-keep-keep.slice",
      "berth-student-keep.slice",
    ]);
  });

  it("leaves other people's slices alone, and says when one is in the way", async () => {
    const systemd = new FakeSystemd();
    mkdirSync(join(root, "etc/systemd/system"), { recursive: true });
    writeFileSync(unit("berth-extra.slice"), "[Slice]\nMemoryMax=1G\n");
    writeFileSync(unit("user.slice"), "[Slice]\n");
    expect((await apply(systemd)).removed).toEqual([]);
    expect(readFileSync(unit("berth-extra.slice"), "utf8")).toBe("[Slice]\nMemoryMax=1G\n");
    systemd.verbs();
    writeFileSync(unit("berth-student.slice"), "[Slice]\n");
    await expect(apply(systemd)).rejects.toThrow(/berth-student\.slice: not written by Berth/);
    expect(readFileSync(unit("berth-student.slice"), "utf8")).toBe("[Slice]\n");
    expect(systemd.calls).toEqual([]);
  });

  it("tells what systemd refused, and answers that make no sense", async () => {
    const systemd = new FakeSystemd();
    systemd.fail = { start: "Failed to start berth.slice: Access denied" };
    await expect(apply(systemd)).rejects.toThrow(
      /start berth.slice .* ended with 1: Failed to start.*Access denied/,
    );
    const mute: SliceExec = async () => ({ code: 0, stdout: "", stderr: "" });
    await expect(applySlices(desiredSlices({}, [], 1), { exec: mute, root, cgroup: 1 })).rejects.toThrow(
      "said nothing of berth.slice",
    );
  });
});

describe("many calls at once", () => {
  it("are done one after the other, and those that wait once", async () => {
    const systemd = new FakeSystemd();
    let inside = 0;
    const exec: SliceExec = async (...call) => {
      expect(++inside).toBe(1);
      await new Promise((next) => setImmediate(next));
      inside--;
      return systemd.exec(...call);
    };
    const slices = new Slices({ exec, root, cgroup: 1 });
    const of = (...names: string[]) =>
      slices.apply(
        desiredSlices(
          {},
          names.map((name) => ({ name })),
          slices.cgroup,
        ),
      );
    const [first, second, third, last] = await Promise.all([of("a"), of("b"), of("c"), of("d")]);
    expect(first?.written).toContain("berth-default-a.slice");
    expect(last).toMatchObject({ written: ["berth-default-d.slice"], removed: ["berth-default-a.slice"] });
    expect([second, third]).toEqual([last, last]);
    expect(systemd.active).toEqual(new Set(["berth.slice", "berth-default.slice", "berth-default-d.slice"]));
  });

  it("go on after one that failed", async () => {
    const systemd = new FakeSystemd();
    systemd.fail = { "daemon-reload": "no" };
    const slices = new Slices({ exec: systemd.exec, root, cgroup: 1 });
    const first = slices.apply(desiredSlices({}, [{ name: "a" }], 1));
    const second = slices.apply(desiredSlices({}, [{ name: "b" }], 1));
    await expect(first).rejects.toThrow(SliceError);
    await expect(second).rejects.toThrow(SliceError);
    systemd.fail = {};
    expect((await slices.apply(desiredSlices({}, [{ name: "b" }], 1))).started).toContain(
      "berth-default-b.slice",
    );
  });
});
