/** Which files of which logs go. */
import { describe, expect, it } from "vitest";
import type { LogFiles } from "../../../../agent/src/container-logs/files";
import { filesToRemove } from "../../../../agent/src/container-logs/prune";

/** A log whose files have these sizes, the oldest first. */
function log(id: string, at: number, ...sizes: number[]): LogFiles {
  const files = sizes.map((bytes, n) => ({ path: `${id}.${n}`, bytes, at }));
  return { id, files, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0), at };
}

const removed = (logs: LogFiles[], alive: string[], maxAll: number, maxGone = 9) =>
  filesToRemove(logs, {
    ...{ maxAll, maxGone, keepMs: 50, now: 100 },
    alive: (id) => alive.includes(id),
    // Logs such as `web-1` are somebody's.
    ownerOf: (id) => /^(.+)-/.exec(id)?.[1],
  }).map(({ path }) => path);

describe("the files that go", () => {
  it.each<[string, LogFiles[], string[], number, string[]]>([
    ["none, where all is young and small", [log("a", 60, 1, 2), log("b", 99, 3)], ["b"], 6, []],
    [
      "those whose container has been gone for its time",
      [log("a", 50, 1, 2), log("b", 51, 3)],
      [],
      6,
      ["a.0", "a.1"],
    ],
    ["not those of a container that is there, however old", [log("a", 0, 1, 2)], ["a"], 6, []],
    ["of too much, what ended first", [log("a", 80, 3), log("b", 70, 3), log("c", 90, 3)], [], 6, ["b.0"]],
    ["what is gone before what is there", [log("a", 80, 9), log("b", 99, 3)], ["a"], 9, ["b.0"]],
    [
      "the oldest of the largest that is there",
      [log("a", 99, 2, 2, 2), log("b", 99, 1, 4)],
      ["a", "b"],
      7,
      ["a.0", "b.0", "a.1"],
    ],
    ["all, where nothing else helps", [log("a", 99, 5), log("b", 99, 5)], ["a", "b"], 0, ["a.0", "b.0"]],
  ])("are %s", (_, logs, alive, maxAll, expected) => {
    expect(removed(logs, alive, maxAll)).toEqual(expected);
  });

  it("are those of the containers that ended first, where more are gone than may be kept", () => {
    const logs = [log("a", 70, 1, 1), log("b", 60, 1), log("c", 80, 1), log("d", 1, 1), log("e", 90, 1)];
    expect(removed(logs, ["d"], 9, 4)).toEqual([]);
    expect(removed(logs, ["d"], 9, 2)).toEqual(["b.0", "a.0", "a.1"]);
    expect(removed(logs, ["d"], 9, 0)).toEqual(["b.0", "a.0", "a.1", "c.0", "e.0"]);
  });

  it("are of whoever has most, not of others", () => {
    const many = [90, 91, 92].map((at, n) => log(`flood-${n}`, at, 2));
    const logs = [log("web-1", 60, 3), ...many, log("web-2", 70, 1), log("own", 61, 1)];
    expect(removed(logs, [], 99, 4)).toEqual(["flood-0.0", "web-1.0"]);
    expect(removed(logs, [], 10)).toEqual(["flood-0.0"]);
    // Though the others' containers are gone, and its own are there.
    expect(removed(logs, ["flood-0", "flood-1", "flood-2"], 9)).toEqual(["flood-0.0"]);
  });

  it("are none where there are no logs", () => {
    expect(removed([], ["a"], 0)).toEqual([]);
  });
});
