/**
 * The repository cache and those who mean it harm, with the real git and a real Git host on loopback. Proves: no commit makes a tree that
 * nobody can take away, or one larger than was counted; a fault of a tree is an answer, not another download; what a fetch left behind
 * counts; and nobody takes all turns.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { getPriority } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../../lib/run";
import { until } from "../../lib/until";
import { git } from "./git-host";
import {
  askFor,
  cacheOf,
  folder,
  gitThat,
  host,
  hostForEachTest,
  processes,
  refusalOf,
  treeOf,
  underWay,
} from "./repositories-rig";

hostForEachTest();

const asRoot = process.getuid?.() === 0;
const bareOf = (name: string) => join(folder, `cache/${host.repository("acme", name).host}/acme/${name}.git`);

/** A file in folders in folders, which no path of a checked-out tree could name. */
async function pushDeep(name: string, depth: number, bytes: number): Promise<void> {
  await host.commit("acme", name, { a: "1" });
  const work = host.workOf("acme", name);
  let id = await git(work, "rev-parse", "HEAD^{tree}");
  for (let level = 0; level < depth; level++) {
    const input = `040000 tree ${id}\t${"d".repeat(bytes)}\n`;
    id = (await must("git", ["-C", work, "mktree"], { input })).stdout.trim();
  }
  const commit = await git(work, "commit-tree", "-m", "deep", id);
  await git(work, "push", "--quiet", "--force", "origin", `${commit}:refs/heads/main`);
}

describe("a commit with paths that are too long", () => {
  it.each([
    [17, 236],
    [9, 236],
    [1, 300],
  ])("is refused: %i folders of %i characters; others are given as before", async (depth, bytes) => {
    await pushDeep("deep", depth, bytes);
    await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf();
    const refusal = await refusalOf(cache, "deep");
    expect(refusal).toMatchObject({ code: "over-limit", message: expect.stringMatching(/path is too long/) });
    expect(underWay()).toEqual([]);
    expect(await treeOf(await cacheOf(), "app")).toMatchObject({ branch: "main" });
  });

  it("that is there all the same does not keep the next berthd from its work", async () => {
    await host.commit("acme", "app", { a: "1" });
    await (await treeOf(await cacheOf(), "app")).remove();
    const work = join(folder, "cache/.work/tree");
    mkdirSync(work);
    // By short steps, as git makes them.
    const script = `cd "$1" && for at in $(seq 20); do mkdir "$2" && cd -P "$2" || exit 1; done`;
    await must("sh", ["-c", script, "sh", work, "d".repeat(236)]);
    await expect(rm(work, { recursive: true })).rejects.toThrow(/ENAMETOOLONG/);
    const warnings: unknown[] = [];
    const log = { info: () => {}, warn: (data: object) => warnings.push(data) };
    for (let start = 1; start <= 2; start++) {
      const cache = await cacheOf({ log });
      expect(cache.usage()).toMatchObject({ repositories: 1 });
      expect(underWay()).toEqual([]);
      expect(warnings).toHaveLength(start);
      await (await treeOf(cache, "app")).remove();
    }
    const aside = readdirSync(join(folder, "cache")).filter((name) => name.startsWith(".work-"));
    expect(warnings.at(-1)).toMatchObject({ folder: join(folder, "cache", aside[0] ?? "") });
    await must("rm", ["-rf", join(folder, "cache")]);
  });
});

describe("a commit whose files would grow", () => {
  it("by attributes of its own has them as they were counted, and git finds nothing changed", async () => {
    const texts = { ident: "$Id$\n".repeat(100), utf32: "abc\n".repeat(100), crlf: "\n".repeat(400) };
    await host.commit("acme", "grow", {
      ".gitattributes":
        "ident ident\nutf32 working-tree-encoding=UTF-32\ncrlf text eol=crlf\n[attr]all ident\n",
      "src/.gitattributes": "* ident text eol=crlf\n",
      "src/a": texts.ident,
      ident: texts.ident,
      crlf: texts.crlf,
    });
    // A git that obeyed them would refuse to add it.
    const work = host.workOf("acme", "grow");
    const id = (await must("git", ["-C", work, "hash-object", "-w", "--stdin"], { input: texts.utf32 }))
      .stdout;
    await git(work, "update-index", "--add", "--cacheinfo", `100644,${id.trim()},utf32`);
    await git(work, "commit", "--quiet", "--message", "utf32");
    await git(work, "push", "--quiet", "origin", "HEAD:main");
    const tree = await treeOf(await cacheOf(), "grow");
    for (const [name, text] of Object.entries({ ...texts, "src/a": texts.ident })) {
      expect(readFileSync(join(tree.folder, name), "utf8")).toBe(text);
    }
    expect(await git(tree.folder, "status", "--porcelain")).toBe("");
  });

  it("by folders of next to nothing is refused", async () => {
    const files = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`a${at}/b/c/d`, "x"]));
    await host.commit("acme", "folders", files);
    const cache = await cacheOf({ limits: { treeFiles: 100 } });
    expect(await refusalOf(cache, "folders")).toMatchObject({
      code: "over-limit",
      message: expect.stringMatching(/100 files and folders/),
    });
    expect(await treeOf(await cacheOf({ limits: { treeFiles: 120 } }), "folders")).toBeDefined();
  });
});

describe("a repository with a file that git cannot write", () => {
  it("is refused each time, and fetched once", async () => {
    await host.commit("acme", "zeros", { zeros: "0".repeat(2_000_000) });
    const cache = await cacheOf({ limits: { repositoryBytes: 1_000_000 } });
    for (let time = 0; time < 3; time++) {
      const refusal = await refusalOf(cache, "zeros");
      expect(refusal).toMatchObject({ code: "closed", message: expect.stringMatching(/git failed/) });
      expect(host.fetches).toBe(1);
    }
    expect(underWay()).toEqual([]);
  });
});

describe("the size of the cache", () => {
  const random = () => Array.from({ length: 3000 }, () => Math.random().toString(36)).join("");

  it("counts what a fetch left that was cut off behind its pack: that repository is kept no more", async () => {
    await host.commit("acme", "app", { a: random() });
    const flag = join(folder, "hold");
    const program = gitThat(`case " $* " in *" pack-refs "*) [ ! -e ${flag} ] || sleep 600;; esac`);
    const cache = await cacheOf({ git: program });
    await (await treeOf(cache, "app")).remove();
    const commit = await host.commit("acme", "app", { a: random() });
    writeFileSync(flag, "");
    const leaving = new AbortController();
    const waits = cache.checkout(askFor("app", { signal: leaving.signal }));
    await until("the pack is there", 30_000, () => processes().some((line) => /pack-refs/.test(line)));
    leaving.abort(new Error("gone"));
    await expect(waits).rejects.toThrow("gone");
    expect(cache.usage()).toEqual({ repositories: 0, bytes: 0, underWay: 0 });
    expect(underWay()).toEqual([]);
    await rm(flag);
    expect(await treeOf(cache, "app")).toMatchObject({ commit });
  });

  it("counts folders that a fetch left, which it makes for the names of branches: that repository is kept no more", async () => {
    await host.commit("acme", "app", { a: random() });
    await (await treeOf(await cacheOf(), "app")).remove();
    const deep = `"$of/refs/heads/$(seq -s/ 40)"`;
    const cut = `for of in "$@"; do case $of in --git-dir=*) of=\${of#*=}; mkdir -p ${deep};; esac; done; sleep 600`;
    const cache = await cacheOf({ git: gitThat(`case " $* " in *" fetch "*) ${cut};; esac`) });
    await host.commit("acme", "app", { a: random() });
    const leaving = new AbortController();
    const waits = cache.checkout(askFor("app", { signal: leaving.signal }));
    await until("the folders are there", 30_000, () => processes().some((line) => /^sleep/.test(line)));
    leaving.abort(new Error("gone"));
    await expect(waits).rejects.toThrow("gone");
    expect(cache.usage()).toEqual({ repositories: 0, bytes: 0, underWay: 0 });
  });

  it("is bounded in how many there are: what was not used for the longest time goes", async () => {
    let time = 1_700_000_000_000;
    const cache = await cacheOf({ maxRepositories: 2, now: () => (time += 1000) });
    for (const name of ["one", "two", "three"]) {
      await host.commit("acme", name, { a: "1" });
      await (await treeOf(cache, name)).remove();
    }
    expect(cache.usage().repositories).toBe(2);
    expect(["one", "two", "three"].map((name) => existsSync(bareOf(name)))).toEqual([false, true, true]);
  });

  it("is kept after an answer that is a refusal, too", async () => {
    await host.commit("acme", "app", { a: random() });
    await (await treeOf(await cacheOf(), "app")).remove();
    const little = await cacheOf({ maxBytes: 1 });
    expect(little.usage().repositories).toBe(1);
    expect(await refusalOf(little, "missing")).toMatchObject({ code: "not-found" });
    expect(little.usage()).toEqual({ repositories: 0, bytes: 0, underWay: 0 });
  });

  it("takes no tree from anybody when it cannot be kept", async () => {
    for (const name of ["app", "other"]) await host.commit("acme", name, { a: random() });
    await (await treeOf(await cacheOf(), "other")).remove();
    const warnings: string[] = [];
    const log = { info: () => {}, warn: (_: object, message: string) => warnings.push(message) };
    const little = await cacheOf({ maxBytes: 1, log });
    await rm(bareOf("other"), { recursive: true });
    expect(await treeOf(little, "app")).toMatchObject({ branch: "main" });
    expect(warnings).toEqual(["the repository cache does not keep its size"]);
  });
});

describe("a repository with more branches than a host may list", () => {
  it("of which some came between the host's list and the fetch, is taken anew when they are gone", async () => {
    await host.commit("acme", "app", { a: "1" });
    const warnings: object[] = [];
    const log = { info: () => {}, warn: (data: object) => warnings.push(data) };
    const cache = await cacheOf({ log });
    await (await treeOf(cache, "app")).remove();
    // As a fetch would leave them.
    const head = await git(bareOf("app"), "rev-parse", "HEAD");
    const deep = Array.from({ length: 2000 }, (_, n) => `${head} refs/heads/${n}${"/a".repeat(130)}\n`);
    writeFileSync(join(bareOf("app"), "packed-refs"), deep.join(""));
    await host.commit("acme", "app", { a: "2" });
    expect(await treeOf(cache, "app")).toMatchObject({ branch: "main" });
    expect(warnings).toEqual([
      expect.objectContaining({ reason: expect.stringMatching(/too many folders/) }),
    ]);
  });
});

describe("one owner", () => {
  it("has a few turns, and shuts no repository for others while waiting for one of them", async () => {
    for (const name of ["app", "other"]) await host.commit("acme", name, { name });
    const cache = await cacheOf({ atATime: 3, atATimeOfOne: 2 });
    const own = [await treeOf(cache, "app"), await treeOf(cache, "app")];
    let given = false;
    const third = treeOf(cache, "other").then((tree) => {
      given = true;
      return tree;
    });
    const theirs = await treeOf(cache, "other", { owner: "bob" });
    expect(readFileSync(join(theirs.folder, "name"), "utf8")).toBe("other");
    expect(given).toBe(false);
    await own[0]?.remove();
    await third;
    expect(cache.usage().underWay).toBe(3);
  });

  it("who gets no turn in time is told that it was that, and the host is not asked", async () => {
    await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf({ atATimeOfOne: 1, limits: { waitMilliseconds: 300 } });
    const first = await treeOf(cache, "app");
    const asked = host.seen.length;
    expect(await refusalOf(cache, "app")).toMatchObject({
      code: "busy",
      message: expect.stringMatching(/waited 0\.3 seconds for its turn/),
    });
    expect(host.seen).toHaveLength(asked);
    await first.remove();
    expect(await treeOf(cache, "app")).toMatchObject({ branch: "main" });
  });

  it("has no commit counted for longer than is allowed; git goes behind all else, and first where memory ends", async () => {
    await host.commit("acme", "app", { a: "1" });
    const git = gitThat(
      `{ nice; cat /proc/self/oom_score_adj; } > ${folder}/goes; case " $* " in *" ls-tree "*) sleep 600;; esac`,
    );
    const cache = await cacheOf({ git, limits: { listMilliseconds: 300 } });
    expect(await refusalOf(cache, "app")).toMatchObject({
      code: "over-limit",
      message: expect.stringMatching(/not counted within 0\.3 seconds/),
    });
    expect([processes(), underWay(), cache.usage().underWay]).toEqual([[], [], 0]);
    expect(readFileSync(join(folder, "goes"), "utf8")).toBe(`${Math.min(19, getPriority() + 10)}\n500\n`);
  });
});

describe("a link that git's account could have put there", () => {
  it.skipIf(!asRoot)(
    "is not there: what git works in is its account's, and what that is in is berthd's",
    async () => {
      await host.commit("acme", "app", { a: "1" });
      execFileSync("chmod", ["0711", folder]);
      const account = { uid: 61_234, gid: 61_235 };
      const umask = process.umask(0o077);
      const cache = await cacheOf({ account }).finally(() => process.umask(umask));
      const tree = await treeOf(cache, "app");
      await host.commit("acme", "app", { a: "2" });
      await treeOf(cache, "app");
      const attributes = join(tree.folder, ".git/info/attributes");
      for (const path of [
        attributes,
        join(tree.folder, "a"),
        bareOf("app"),
        join(bareOf("app"), "packed-refs"),
      ]) {
        expect(lstatSync(path)).toMatchObject(account);
      }
      for (const path of [bareOf("app"), tree.folder]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
      const owners = dirname(bareOf("app"));
      for (const path of [owners, dirname(owners), join(folder, "cache"), join(folder, "cache/.work")]) {
        const { uid, gid, mode } = lstatSync(path);
        expect([path, uid, gid, mode & 0o777]).toEqual([path, 0, process.getgid?.(), 0o711]);
      }
    },
  );

  it("where a repository is marked is not written through: it counts as the mark", async () => {
    const commit = await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf();
    await treeOf(cache, "app");
    const bare = bareOf("app");
    symlinkSync(join(folder, "victim"), join(bare, "unclean"));
    expect(await treeOf(cache, "app")).toMatchObject({ commit });
    expect([existsSync(join(folder, "victim")), readdirSync(bare).includes("unclean")]).toEqual([
      false,
      false,
    ]);
  });

  it("where folders are made is refused, and what it leads to stays as it is", async () => {
    await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf();
    const victim = join(folder, "victim");
    mkdirSync(victim, { mode: 0o755 });
    const owners = dirname(dirname(bareOf("app")));
    mkdirSync(owners);
    symlinkSync(victim, join(owners, "acme"));
    await expect(treeOf(cache, "app")).rejects.toThrow(/acme is not a folder of berthd's own/);
    expect([readdirSync(victim), lstatSync(victim).mode & 0o777]).toEqual([[], 0o755]);
    expect([underWay(), cache.usage().underWay]).toEqual([[], 0]);
  });
});
