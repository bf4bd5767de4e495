/**
 * Which packages are shared and which are kept. Proves: each owner, host, repository, branch and image has a cache of its own; a
 * branch gets nothing that another branch but the main one left; over random sets of generations, all that may be removed goes before
 * a bound is broken, nothing in use goes, and nothing goes without a reason.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Generation,
  type PackagesOf,
  packagesBelow,
  packagesHaveRoom,
  packagesKey,
  packagesName,
  packagesToRemove,
} from "../../../../core/manager";

const of: PackagesOf = {
  owner: "acme",
  repository: { host: "github.com", owner: "a", name: "b-c", url: "https://github.com/a/b-c.git" },
  branch: "main",
  image: "node:24-slim",
};
const { repository } = of;

describe("the name of packages", () => {
  it("is another one for each owner, host, repository, branch and image, and one that a folder may have", () => {
    const others: PackagesOf[] = [
      of,
      { ...of, owner: "acme2" },
      { ...of, repository: { ...repository, host: "git.lan" } },
      { ...of, repository: { ...repository, owner: "a-b", name: "c" } },
      { ...of, repository: { ...repository, name: "B-c" } },
      { ...of, branch: "Main" },
      { ...of, branch: 'main","node' },
      { ...of, image: "node:22-slim" },
    ];
    const keys = others.map(packagesKey);
    expect(new Set(keys).size).toBe(others.length);
    for (const key of keys) expect(key).toMatch(/^[a-z0-9-]{1,89}$/);
    expect(packagesKey({ ...of, mainBranch: "dev" })).toBe(keys[0]);
  });

  it("is OWNER-REPO-node_modules for people", () =>
    expect(packagesName(repository)).toBe("a-b-c-node_modules"));
});

describe("what may stand below packages", () => {
  const key = (branch: string) => packagesKey({ ...of, branch });

  it("is the branch's own, then the main branch's", () => {
    expect(packagesBelow(of)).toEqual([key("main")]);
    expect(packagesBelow({ ...of, mainBranch: "main" })).toEqual([key("main")]);
    expect(packagesBelow({ ...of, branch: "x", mainBranch: "main" })).toEqual([key("x"), key("main")]);
    expect(packagesBelow({ ...of, branch: "x" })).toEqual([key("x")]);
  });
});

const now = 1_790_000_000_000;
const wide = { maxBytes: 1000, maxBytesOfOne: 1000, maxOfOne: 10, unusedMs: 1000, now };
const one = (more: Partial<Generation> = {}): Generation => ({
  cache: "a",
  number: 1,
  owner: "acme",
  bytes: 10,
  usedAt: now - 10,
  inUse: false,
  ...more,
});

describe("the packages to remove", () => {
  it.each<[string, Generation[], Partial<typeof wide>, number[]]>([
    ["are none where all fit", [one(), one({ cache: "b" })], {}, []],
    ["are those that a newer one followed", [one(), one({ number: 2 })], {}, [0]],
    ["are none that are in use", [one({ inUse: true, usedAt: 0 }), one({ number: 2 })], { maxBytes: 0 }, [1]],
    [
      "are those unused for long",
      [one({ usedAt: now - 1000 }), one({ cache: "b", usedAt: now - 999 })],
      {},
      [0],
    ],
    ["are the ones longest unused", [one(), one({ cache: "b", usedAt: now - 20 })], { maxBytes: 19 }, [1]],
    [
      "are those of an owner who has more than a share, before others' older ones",
      [one({ owner: "x", usedAt: now - 99 }), one(), one({ cache: "b" })],
      { maxBytesOfOne: 10 },
      [1],
    ],
    [
      "are those of an owner who has too many",
      [one(), one({ cache: "b" }), one({ cache: "c" })],
      { maxOfOne: 1 },
      [0, 1],
    ],
  ])("%s", (_what, all, bounds, removed) => {
    expect(packagesToRemove(all, { ...wide, ...bounds })).toEqual(removed.map((index) => all[index]));
  });

  it("are enough and no more, whatever there is", () => {
    const generation = fc.record({
      cache: fc.constantFrom("a", "b", "c", "d"),
      number: fc.integer({ min: 1, max: 3 }),
      bytes: fc.integer({ min: 0, max: 100 }),
      usedAt: fc.integer({ min: now - 1500, max: now }),
      inUse: fc.boolean(),
    });
    const owners: Record<string, string> = { a: "x", b: "x", c: "y", d: "z" };
    const sets = fc
      .uniqueArray(generation, { selector: ({ cache, number }) => `${cache}/${number}` })
      .map((list) => list.map((each) => ({ ...each, owner: owners[each.cache] ?? "" })));
    const bound = fc.integer({ min: 0, max: 300 });
    fc.assert(
      fc.property(
        sets,
        bound,
        bound,
        fc.integer({ min: 0, max: 4 }),
        (all, maxBytes, maxBytesOfOne, maxOfOne) => {
          const bounds = { ...wide, maxBytes, maxBytesOfOne, maxOfOne };
          const removed = packagesToRemove(all, bounds);
          const rest = all.filter((each) => !removed.includes(each));
          const bytes = (list: Generation[]) => list.reduce((sum, each) => sum + each.bytes, 0);
          const ofOwner = (list: Generation[], owner: string) => list.filter((each) => each.owner === owner);
          const fits = (list: Generation[]) =>
            bytes(list) <= maxBytes &&
            ["x", "y", "z"].every(
              (owner) =>
                bytes(ofOwner(list, owner)) <= maxBytesOfOne && ofOwner(list, owner).length <= maxOfOne,
            );
          expect(removed.filter(({ inUse }) => inUse)).toEqual([]);
          expect(
            fits(rest) ||
              rest.every(({ inUse }) => inUse) ||
              ["x", "y", "z"].some((owner) => ofOwner(rest, owner).every(({ inUse }) => inUse)),
          ).toBe(true);
          const current = all.filter(
            (each) =>
              each.inUse ||
              (each.usedAt + 1000 > now &&
                !all.some((other) => other.cache === each.cache && other.number > each.number)),
          );
          if (fits(current)) expect(new Set(rest)).toEqual(new Set(current));
        },
      ),
    );
  });
});

describe("room for further packages", () => {
  const bounds = { maxBytes: 100, maxBytesOfOne: 50, maxOfOne: 2, unusedMs: 1 };

  it.each<[string, Generation[], boolean]>([
    ["is there while what fills it is not in use", [one({ bytes: 999 })], true],
    ["is there beside others in use", [one({ bytes: 49, inUse: true })], true],
    ["is not there when the owner's share is in use", [one({ bytes: 50, inUse: true })], false],
    [
      "is not there when as many of the owner's are in use as may be",
      [one({ inUse: true }), one({ cache: "b", inUse: true })],
      false,
    ],
    ["is not there when all is in use by others", [one({ owner: "x", bytes: 100, inUse: true })], false],
  ])("%s", (_what, all, room) => expect(packagesHaveRoom(all, "acme", bounds)).toBe(room));
});
