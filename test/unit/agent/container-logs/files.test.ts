/** The ids of container logs, and their files. Proves: what is no id makes, reads and writes nothing; what is not a log stays as it is. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../../../lib/until";
import { append, endAll, id, logsOf, newFolder, numbered } from "./rig";

afterEach(endAll);

const hour = 3600_000;
const many = (from: number, to: number) => [...numbered(from, to)];

describe("ids and files", () => {
  it.each([
    "",
    ".",
    "..",
    "../../etc",
    "/etc/abc",
    "abc/defa",
    "0123ABCD",
    "0123abc",
    "0123abcde",
    "0123abc\n",
    "0123abcd\n",
    "0123abc\0",
    "0123abcd.jsonl",
    "..%2f..%2",
    "__proto__",
    "constructor",
    "０１２３４５６７",
  ])("%j is no id: nothing is made, read or written", async (bad) => {
    const outside = newFolder();
    const folder = join(outside, "logs");
    const { logs } = await logsOf([], { folder });
    for (const use of ["open", "has", "read", "follow"] as const)
      expect(() => logs[use](bad)).toThrow("8 characters of 0-9 and a-f");
    expect(await logs.append(bad, { line: "x" }, 1, "start")).toBe(false);
    await logs.end(bad);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(outside)).toEqual(["logs"]);
  });

  it("are for berthd alone", async () => {
    const { logs, folder } = await logsOf([id], { folder: join(newFolder(), "logs") });
    await append(logs, ["secret"]);
    await logs.end(id);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, `${id}.jsonl`)).mode & 0o007).toBe(0);
  });

  it("with other names, folders and links are left alone", async () => {
    const folder = newFolder();
    const target = join(mkdtempSync(join(newFolder(), "t-")), "target");
    writeFileSync(target, "precious");
    symlinkSync(target, join(folder, "abcdef02.jsonl"));
    mkdirSync(join(folder, "abcdef03.jsonl"));
    for (const name of ["notes.txt", "abcdef01.jsonl.old", "abcdef01.jsonl.10", "ABCDEF01.jsonl"])
      writeFileSync(join(folder, name), "x");
    const before = readdirSync(folder);
    const { logs } = await logsOf([], { folder, now: () => Date.now() + 1000 * hour });
    await logs.prune();
    expect(readdirSync(folder)).toEqual(before);
    expect(readFileSync(target, "utf8")).toBe("precious");
  });

  it("that cannot be removed keep no other from going, nor the rest from being written", async () => {
    const folder = newFolder();
    const names = ["00000001", "00000002", "00000003"].map((name) => join(folder, `${name}.jsonl`));
    for (const name of names) writeFileSync(name, "{}\n");
    const [, stuck = ""] = names;
    let late = 0;
    // It is asked for the time between the look at the files and their end: by then a folder is in one's place.
    const now = () => {
      if (late > 0 && !statSync(stuck).isDirectory()) {
        rmSync(stuck);
        mkdirSync(stuck);
      }
      return Date.now() + late;
    };
    const { logs } = await logsOf([id], { folder, now });
    const file = join(folder, `${id}.jsonl`);
    mkdirSync(file);
    await append(logs, many(1, 1000));
    rmSync(file, { recursive: true });
    late = 25 * hour;
    await expect(logs.prune()).rejects.toThrow(/^1 files could not be removed; the first: .*00000002/);
    await until("it is written", 30_000, () => logs.problems().length === 0);
    expect(readdirSync(folder).toSorted()).toEqual(["00000002.jsonl", `${id}.jsonl`]);
    late = 0;
    await logs.prune();
  });

  it.each([
    [{ maxBytes: 1 }, "at least 2097152 bytes"],
    [{ maxBytes: 4 * 2 ** 20, maxAll: 2 * 2 ** 20 }, "as many as for one"],
  ])("sizes that leave no room are refused: %o", async (options, words) => {
    await expect(logsOf([], options)).rejects.toThrow(words);
  });
});
