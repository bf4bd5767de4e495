/**
 * Parts of set-ups by themselves. Proves: what is read of a working tree, whatever its author put there; what is in its
 * archive; what comes into a container's log again after a restart, and how much of what is printed faster than it is read.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LogLine as DockerLine, LogsOptions } from "../../../../agent/src/docker";
import { archiveOf } from "../../../../agent/src/setup/archive";
import { LogFollower, SKIPPED } from "../../../../agent/src/setup/follow";
import { readProject } from "../../../../agent/src/setup/project";
import { until } from "../../../lib/until";
import { endAll, logsOf, read, textOf } from "../container-logs/rig";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-setup-parts-"));
});
afterEach(async () => {
  await endAll();
  rmSync(folder, { recursive: true, force: true });
});

const never = new AbortController().signal;

describe("a project", () => {
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);

  it("is installed and started as its files say, and its lock file is told from another", async () => {
    put("package.json", JSON.stringify({ scripts: { dev: "vite" }, packageManager: "yarn@4.1.0" }));
    put("yarn.lock", "__metadata:\n  version: 8\n");
    const files = ["package.json", "yarn.lock"];
    const one = await readProject({ folder, files });
    expect(one.install({ incremental: false })).toMatchObject({ manager: "yarn", lockFile: "yarn.lock" });
    expect(one.start(undefined)).toContain("run dev");
    expect(one.start("")).toBeUndefined();
    expect(one.install({ incremental: true, override: "make" }).command).toBe("make");
    put("yarn.lock", "__metadata:\n  version: 9\n");
    const two = await readProject({ folder, files });
    expect(two.lock).not.toBe(one.lock);
    put("package.json", "{}");
    expect((await readProject({ folder, files })).lock).toBe(two.lock);
  });

  it("has none of what a link leads to, and nothing is awaited from a pipe", async () => {
    symlinkSync("/etc/passwd", join(folder, "package.json"));
    await expect(readProject({ folder, files: ["package.json"] })).rejects.toThrow("ELOOP");
    // The list of a commit's files has no links: a link counts as nothing.
    expect((await readProject({ folder, files: [] })).start(undefined)).toBeUndefined();
    execFileSync("mkfifo", [join(folder, "yarn.lock")]);
    expect(
      (await readProject({ folder, files: ["yarn.lock"] })).install({ incremental: false }).manager,
    ).toBe("yarn");
  });

  it("may have a package.json that is too large to be read", async () => {
    put("package.json", `{"scripts":{"dev":"vite"},"x":"${"x".repeat(2 ** 20)}"}`);
    expect((await readProject({ folder, files: ["package.json"] })).start(undefined)).toBeUndefined();
  });
});

describe("an archive", () => {
  it("has all that is in the folder, links as links, names as they are, of the account", async () => {
    mkdirSync(join(folder, "tree/.git"), { recursive: true });
    for (const name of ["-rf", "a b", "--checkpoint=1", ".git/x", "new\nline"])
      writeFileSync(join(folder, "tree", name), "1");
    symlinkSync("/etc", join(folder, "tree/link"));
    const parts: Buffer[] = [];
    for await (const part of archiveOf(join(folder, "tree"), { uid: 1234, gid: 99 }, never))
      parts.push(part as Buffer);
    const listed = execFileSync("tar", ["--list", "--verbose", "--numeric-owner"], {
      input: Buffer.concat(parts),
    });
    const lines = String(listed).trim().split("\n");
    expect(lines.every((line) => line.includes(" 1234/99 "))).toBe(true);
    const names = lines.map((line) => line.replace(/^.*:\d\d /, "")).sort();
    expect(names).toEqual(
      ["./--checkpoint=1", "./-rf", "./.git/", "./.git/x", "./a b", "./link -> /etc", "./new\\nline"].sort(),
    );
  });

  it("of a folder that cannot be read, or that is given up, breaks", async () => {
    const all = async (signal: AbortSignal, path = folder) => {
      for await (const _ of archiveOf(path, { uid: 0, gid: 0 }, signal));
    };
    await expect(all(never, join(folder, "gone"))).rejects.toThrow("ENOENT");
    await expect(all(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

describe("what a container prints", () => {
  const at = (ms: number, nanos = 0) =>
    `1796050800.${String(ms).padStart(3, "0")}${String(nanos).padStart(6, "0")}`;
  const lines: DockerLine[] = [
    { stream: "stdout", at: at(1), line: "a" },
    { stream: "stdout", at: at(5, 1), line: "b" },
    { stream: "stderr", at: at(5, 2), line: "c" },
    { stream: "stdout", at: at(5, 3), line: "d" },
    { stream: "stdout", at: at(9), line: "e" },
  ];
  /** As dockerd, which begins with the moment itself. */
  const engine = (count: number) => ({
    logs: async (_: string, { since = "0" }: { since?: string } = {}) =>
      (async function* () {
        for (const line of lines.slice(0, count)) if (Number(line.at) >= Number(since)) yield line;
      })(),
  });

  it.each([0, 1, 2, 3, 4, 5])(
    "comes into its log once, also where berthd was restarted after %i lines",
    async (count) => {
      const { logs } = await logsOf(["0123abcd"]);
      await logs.append("0123abcd", { line: "before" }, 1, "setup");
      // Lines of a set-up stand between.
      await new LogFollower(engine(count), logs).follow("0123abcd", "c", never);
      for (const line of ["x", "y"]) await logs.append("0123abcd", { line }, 1, "setup");
      const follower = new LogFollower(engine(5), logs);
      await follower.follow("0123abcd", "c", never);
      await follower.follow("0123abcd", "c", never);
      await follower.catchUp("0123abcd", "c");
      const got = textOf(await read(logs)).filter((line) => !["before", "x", "y"].includes(line));
      expect(got).toEqual(["a", "b", "c", "d", "e"]);
    },
  );

  /** As dockerd with so many lines, of which it counts those that are read. */
  const printing = (count: number, text: string) => {
    const asked: LogsOptions[] = [];
    const all = Array.from({ length: count }, (_, n) => ({
      ...{ stream: "stdout" as const, at: at(n), line: `${n} ${text}` },
    }));
    const rig = {
      asked,
      read: 0,
      logs: async (_: string, options: LogsOptions = {}) => {
        asked.push(options);
        const { since = "0", tail = count } = options;
        const lines = all.slice(count - Math.min(count, tail));
        return (async function* () {
          for (const line of lines) {
            if (Number(line.at) < Number(since)) continue;
            rig.read++;
            yield line;
          }
        })();
      },
    };
    return rig;
  };
  const numbers = (lines: readonly string[]) =>
    lines.map((line) => (line === SKIPPED ? "…" : Number(line.split(" ")[0])));
  const few = { spanMs: 200, most: 10, lastLines: 5 };

  it.each([
    ["comes whole, where it is little more than the bounds", 12, "", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    ["lacks the middle, and says so", 900, "", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "…", 895, 896, 897, 898, 899]],
    // Each counts as five.
    ["counts by its length too", 900, "x".repeat(512), [0, 1, "…", 898, 899]],
  ])("%s", async (_, count, text, wanted) => {
    const { logs } = await logsOf(["0123abcd"]);
    const dockerd = printing(count, text);
    const bounds = { ...few, lastLines: text === "" ? 5 : 2 };
    expect(await new LogFollower(dockerd, logs, bounds).follow("0123abcd", "c", never)).toBe(true);
    expect(numbers(textOf(await read(logs)))).toEqual(wanted);
    expect(dockerd.read).toBeLessThan(20);
    expect(dockerd.asked.map(({ tail }) => tail)).toEqual([undefined, bounds.lastLines]);
  });

  it("of one owner's containers counts together, and of another's it does not", async () => {
    const ids = ["0123abcd", "1123abcd", "2123abcd"];
    const { logs } = await logsOf(ids);
    for (const id of ids) logs.open(id, id.startsWith("2") ? "bench" : "web");
    const follower = new LogFollower(printing(8, ""), logs, { ...few, spanMs: 60_000, mostOfOwner: 10 });
    for (const id of ids) await follower.catchUp(id, "c");
    const counts = await Promise.all(ids.map(async (id) => textOf(await read(logs, 0, id)).length));
    expect(counts).toEqual([8, 2, 8]);
  });

  it("ends to be waited for with its signal", async () => {
    const { logs } = await logsOf(["0123abcd"]);
    const ended = new AbortController();
    const dockerd = printing(900, "");
    const following = new LogFollower(dockerd, logs, { ...few, spanMs: 600_000 });
    const over = following.follow("0123abcd", "c", ended.signal);
    await until("it waits", 10_000, async () => textOf(await read(logs)).length === 10);
    ended.abort(new Error("enough"));
    await expect(over).rejects.toThrow("enough");
    expect(dockerd.asked).toHaveLength(1);
  });

  it("is not asked for where the log has ended", async () => {
    const { logs } = await logsOf([]);
    expect(await new LogFollower(engine(5), logs).follow("0123abcd", "c", never)).toBe(false);
  });
});
