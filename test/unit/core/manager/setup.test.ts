/** Set-ups of managed containers. Proves: which folders a repository may be put into; when a main image is made, and which go. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  imageDecision,
  imagesToRemove,
  type KeptImage,
  SETUP_PHASES,
  setupStatus,
  workdirProblem,
} from "../../../../core/manager";

it("a container is being set up until its set-up is ready or has failed", () => {
  expect(SETUP_PHASES.map(setupStatus)).toEqual([...Array(6).fill("setting-up"), "ready", "failed"]);
});

describe("the folder of a repository", () => {
  it.each(["/app", "/usr/src/app", "/home/node/app", "/workspace", "/srv/a-b_c.d", "/root/x"])(
    "may be %s",
    (path) => {
      expect(workdirProblem(path)).toBeUndefined();
    },
  );

  it.each([
    ...[
      "",
      "app",
      "/",
      "//app",
      "/app/",
      "/app/..",
      "/../app",
      "/a/./b",
      "/.app",
      "/-app",
      "/a b",
      "/a\nb",
      "/a\0",
      "/ä",
    ],
    ...[
      "/usr",
      "/usr/lib",
      "/etc",
      "/tmp",
      "/proc/1",
      "/sys/fs/x",
      "/dev/shm",
      "/home",
      `/${"a".repeat(255)}`,
    ],
  ])("may not be %j", (path) => {
    expect(workdirProblem(path)).toMatch(/^is (no plain absolute path|a folder of the system)/);
  });
});

describe("a main image", () => {
  const now = { base: "sha256:b", lock: "l1" };
  const asked = { isDefault: true, fromMain: false, now };

  it.each<[string, Partial<Parameters<typeof imageDecision>[0]>, string]>([
    ["there is none", {}, "build"],
    ["it is wished for, and there is none", { build: true }, "build"],
    ["it is not wished for", { build: false }, "keep"],
    ["the branch is another", { isDefault: false, build: true }, "keep"],
    ["there is one that is right", { kept: now }, "keep"],
    ["it is wished for, and there is one that is right", { kept: now, build: true }, "keep"],
    ["the lock file is another", { kept: { ...now, lock: "l0" } }, "build"],
    ["the base is another", { kept: { ...now, base: "sha256:a" } }, "build"],
    ["the container stands on it", { fromMain: true, kept: { ...now, base: "sha256:a" } }, "keep"],
    [
      "the container stands on it, with another lock file",
      { fromMain: true, kept: { ...now, lock: "l0" } },
      "outdate",
    ],
    ["the container stands on one that nobody knows any more", { fromMain: true }, "keep"],
  ])("where %s", (_where, more, decision) => {
    expect(imageDecision({ ...asked, ...more })).toBe(decision);
  });

  const bounds = { now: 1000, unusedMs: 500, spareMs: 10, maxBytes: 100, maxBytesOfOwner: 80, maxOfOwner: 3 };
  const image = (key: string, usedAt: number, more: Partial<KeptImage> = {}): KeptImage => ({
    ...{ key, owner: "a", bytes: 10, usedAt },
    ...more,
  });

  it.each<[string, KeptImage[], string[]]>([
    ["unused for long", [image("a", 500), image("b", 501)], ["a"]],
    ["too many of one owner", [1, 2, 3, 4].map((n) => image(`i${n}`, 900 + n)), ["i1"]],
    ["too much of all", [image("a", 600, { bytes: 60 }), image("b", 700, { owner: "b", bytes: 60 })], ["a"]],
    [
      "too much of all, but asked for a moment ago",
      [image("a", 995, { bytes: 70 }), image("b", 996, { owner: "b", bytes: 70 })],
      [],
    ],
    [
      "too much of one owner, though asked for a moment ago",
      [image("a", 995, { bytes: 60 }), image("b", 996, { bytes: 60 })],
      ["a"],
    ],
    [
      "too many of one owner, though asked for a moment ago",
      [1, 2, 3, 4].map((n) => image(`i${n}`, 994 + n)),
      ["i1"],
    ],
    ["none", [], []],
  ])("goes where it is %s", (_why, images, going) => {
    expect(imagesToRemove(images, bounds)).toEqual(going);
  });

  it("stays within all bounds with the others, but for those asked for a moment ago; the newest stay", () => {
    const images = fc.array(
      fc.record({
        ...{
          owner: fc.constantFrom("a", "b", "c"),
          bytes: fc.nat(60),
          usedAt: fc.integer({ min: 0, max: 1000 }),
        },
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(images, (given) => {
        const all = given.map((one, n) => ({ ...one, key: String(n) }));
        const going = imagesToRemove(all, bounds);
        const rest = all.filter(({ key, usedAt }) => !going.includes(key) && 1000 - usedAt >= bounds.spareMs);
        expect(rest.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(100);
        expect(rest.every(({ usedAt }) => 1000 - usedAt < 500)).toBe(true);
        for (const owner of ["a", "b", "c"]) {
          const own = all.filter((one) => one.owner === owner && !going.includes(one.key));
          expect(own.length).toBeLessThanOrEqual(3);
          expect(own.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(80);
        }
      }),
    );
  });
});
