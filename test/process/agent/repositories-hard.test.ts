/**
 * The repository cache when things go wrong, with the real git and a real Git host on loopback. Proves: many at once get what they asked
 * for, whoever leaves leaves nothing behind, a berthd that is killed loses nothing that was whole, the cache keeps its size, and a
 * repository made to fill the disk, the memory or the time is refused.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { must } from "../../lib/run";
import { until } from "../../lib/until";
import { git } from "./git-host";
import {
  askFor,
  cacheOf,
  folder,
  host,
  hostForEachTest,
  options,
  processes,
  refusalOf,
  treeOf,
  underWay,
} from "./repositories-rig";

hostForEachTest();

const soon = 30_000;
const keyOf = (name: string) => `${host.repository("acme", name).host}/acme/${name}.git`;
const bareOf = (name: string) => join(folder, "cache", keyOf(name));
const keptNames = () => readdirSync(join(bareOf("x"), "..")).sort();

/** The host stops in the middle of a pack, and holds the connection. */
function stuck(): { begun: boolean } {
  const state = { begun: false };
  host.instead = (_, response) => {
    const { body = "" } = host.seen.at(-1) ?? {};
    if (!body.includes("command=fetch")) return false;
    response.writeHead(200, { "content-type": "application/x-git-upload-pack-result" });
    // The first bytes of a pack of one object.
    const band = Buffer.concat([
      Buffer.from([1]),
      Buffer.from("PACK"),
      Buffer.from([0, 0, 0, 2, 0, 0, 0, 1]),
    ]);
    const packet = (data: Buffer) =>
      Buffer.concat([Buffer.from((data.length + 4).toString(16).padStart(4, "0")), data]);
    // To whoever has something, what both have comes first.
    const [, have] = /have ([0-9a-f]{40})/.exec(body) ?? [];
    const common = ["acknowledgments\n", `ACK ${have}\n`, "ready\n"].map((text) => packet(Buffer.from(text)));
    const before = have === undefined ? [] : [...common, Buffer.from("0001")];
    response.write(Buffer.concat([...before, packet(Buffer.from("packfile\n")), packet(band)]));
    state.begun = true;
    return true;
  };
  return state;
}

describe("many at once", () => {
  it("of one repository ask the host for its objects once, and each has a tree of its own", async () => {
    const commit = await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf({ atATime: 20, atATimeOfOne: 12 });
    const trees = await Promise.all(Array.from({ length: 12 }, () => treeOf(cache, "app")));
    expect(host.fetches).toBe(1);
    expect(new Set(trees.map((tree) => tree.folder)).size).toBe(12);
    expect(trees.every((tree) => tree.commit === commit && existsSync(join(tree.folder, "a")))).toBe(true);
    expect(cache.usage()).toMatchObject({ repositories: 1, underWay: 12 });
    await Promise.all(trees.map((tree) => tree.remove()));
    await trees[0]?.remove();
    expect(cache.usage().underWay).toBe(0);
    expect(underWay()).toEqual([]);
  });

  it("have a few trees at a time, and one that is stuck holds up no other repository", async () => {
    for (const name of ["app", "other"]) await host.commit("acme", name, { name });
    const cache = await cacheOf({ atATime: 2 });
    const first = await treeOf(cache, "app");
    const second = await treeOf(cache, "app");
    let given = false;
    const third = treeOf(cache, "other").then((tree) => {
      given = true;
      return tree;
    });
    const asked = host.seen.length;
    const leaving = new AbortController();
    const fourth = cache.checkout(askFor("other", { signal: leaving.signal }));
    leaving.abort(new Error("gone"));
    await expect(fourth).rejects.toThrow("gone");
    expect([given, host.seen.length]).toEqual([false, asked]);
    await first.remove();
    const tree = await third;
    expect(readFileSync(join(tree.folder, "name"), "utf8")).toBe("other");
    await Promise.all([second.remove(), tree.remove()]);
    const held = stuck();
    await host.commit("acme", "app", { a: "2" });
    const ending = new AbortController();
    const waits = cache.checkout(askFor("app", { signal: ending.signal }));
    await until("the host is asked", soon, () => held.begun);
    expect(await treeOf(cache, "other")).toMatchObject({ branch: "main" });
    ending.abort(new Error("enough"));
    await expect(waits).rejects.toThrow("enough");
  });
});

describe("whoever leaves in the middle", () => {
  it.each(["the first", "a later"])("of %s fetch leaves no process, no file and no lock", async (which) => {
    const commit = await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf();
    if (which === "a later") await (await treeOf(cache, "app")).remove();
    const next = await host.commit("acme", "app", { a: "2" });
    const held = stuck();
    const leaving = new AbortController();
    const waits = cache.checkout(askFor("app", { signal: leaving.signal }));
    await until(
      "a pack has begun",
      soon,
      () => held.begun && processes().some((line) => /index-pack/.test(line)),
    );
    leaving.abort(new Error("gone"));
    await expect(waits).rejects.toThrow("gone");
    expect(processes()).toEqual([]);
    expect(underWay()).toEqual([]);
    expect(cache.usage()).toMatchObject({ underWay: 0 });
    if (which === "a later") {
      const left = (await must("find", [bareOf("app"), "-name", "*.lock", "-o", "-name", "tmp_*"])).stdout;
      expect(left).toBe("");
      expect(await git(bareOf("app"), "rev-parse", "main")).toBe(commit);
    } else expect(existsSync(bareOf("app"))).toBe(false);
    host.instead = undefined;
    expect(await treeOf(cache, "app")).toMatchObject({ commit: next });
  });

  it("before anything was asked is told so", async () => {
    const cache = await cacheOf();
    await expect(
      cache.checkout(askFor("app", { signal: AbortSignal.abort(new Error("gone")) })),
    ).rejects.toThrow("gone");
    expect(host.seen).toEqual([]);
    expect(cache.usage().underWay).toBe(0);
  });
});

describe("a process that is killed in the middle", () => {
  /** The cache in a process of its own, which gets the trees of these repositories, one after the other. */
  async function start(names: readonly string[]): Promise<{ child: ChildProcess; said(): string }> {
    const file = join(folder, "program.cjs");
    const contents = `import { RepositoryCache } from "./agent/src/repositories";
      const { names, options, repositories } = JSON.parse(process.argv[2]);
      const resolve = async () => ({ ok: true, value: ["127.0.0.1"] });
      const cache = new RepositoryCache({ ...options, resolve, log: { info() {}, warn() {} } });
      (async () => {
        await cache.recover();
        for (const repository of repositories) {
          const ask = { repository, owner: "alice", signal: new AbortController().signal, onLine() {} };
          console.log(JSON.stringify(await cache.checkout(ask)));
        }
      })();`;
    await build({
      stdin: { contents, resolveDir: process.cwd(), loader: "ts" },
      outfile: file,
      ...{ bundle: true, platform: "node", format: "cjs", logLevel: "silent" },
    });
    const { resolve: _, log: __, ...plain } = options();
    const told = { options: plain, repositories: names.map((name) => host.repository("acme", name)) };
    const child = spawn(process.execPath, [file, JSON.stringify(told)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.on("data", (part) => {
      said += part;
    });
    return { child, said: () => said };
  }

  it("leaves no git that goes on, and the next one finds what was whole", async () => {
    const commit = await host.commit("acme", "app", { a: "1" });
    await host.commit("acme", "new", { a: "1" });
    const first = await start(["app"]);
    await until("it has a tree", soon, () => first.said().includes(commit));
    await until("it has ended", soon, () => first.child.exitCode === 0);
    for (const name of ["app", "new"]) {
      const next = await host.commit("acme", name, { a: name });
      const held = stuck();
      const { child } = await start([name]);
      await until(
        "a pack has begun",
        soon,
        () => held.begun && processes().some((line) => /index-pack/.test(line)),
      );
      child.kill("SIGKILL");
      // What waits for the host alone ends when that is too slow; it writes nothing.
      const writing = () => processes().filter((line) => !/program\.cjs|remote-http/.test(line));
      await until("git has ended too", soon, () => writing().length === 0);
      // As a git that is killed a moment later leaves them.
      writeFileSync(join(bareOf("app"), "packed-refs.lock"), "");
      writeFileSync(join(bareOf("app"), "refs/heads/main.lock"), "");
      writeFileSync(join(bareOf("app"), "objects/pack/tmp_pack_abc"), "PACK");
      // A first fetch goes to a folder of its own, a later one into the repository.
      expect(underWay().length).toBe(name === "app" ? 0 : 1);
      host.instead = undefined;
      const cache = await cacheOf();
      expect(underWay()).toEqual([]);
      expect(readdirSync(join(bareOf("app"), "objects/pack")).filter((one) => one.startsWith("tmp"))).toEqual(
        [],
      );
      expect(cache.usage()).toMatchObject({ repositories: 1, underWay: 0 });
      if (name === "app") expect(await treeOf(cache, name)).toMatchObject({ commit: next });
    }
  });
});

describe("the size", () => {
  const random = () => Array.from({ length: 3000 }, () => Math.random().toString(36)).join("");
  const three = ["one", "two", "three"];

  it("is kept: what was not used for the longest time goes, also after a restart, and nothing in use", async () => {
    for (const name of three) await host.commit("acme", name, { random: random() });
    let time = 1_700_000_000_000;
    const now = () => (time += 1000);
    const cache = await cacheOf({ now });
    for (const name of three) await (await treeOf(cache, name)).remove();
    await (await treeOf(cache, "one")).remove();
    const each = cache.usage().bytes / 3;
    expect(each).toBeGreaterThan(20_000);
    await cache.evict();
    expect(keptNames()).toEqual(["one.git", "three.git", "two.git"]);
    const next = await cacheOf({ now, maxBytes: each * 2.5 });
    expect(next.usage()).toMatchObject({ repositories: 3, bytes: each * 3 });
    await next.evict();
    expect(keptNames()).toEqual(["one.git", "three.git"]);
    const fetches = host.fetches;
    await (await treeOf(next, "two")).remove();
    expect(host.fetches).toBe(fetches + 1);
    expect(keptNames()).toEqual(["one.git", "two.git"]);
    expect(next.usage().bytes).toBeLessThanOrEqual(each * 2.5);
    expect(underWay()).toEqual([]);
  });

  it("is exceeded by a repository for as long as it is in use", async () => {
    await host.commit("acme", "one", { random: random() });
    await (await treeOf(await cacheOf(), "one")).remove();
    const little = await cacheOf({ maxBytes: 1 });
    await host.commit("acme", "one", { random: random() });
    const held = stuck();
    const leaving = new AbortController();
    const waits = little.checkout(askFor("one", { signal: leaving.signal }));
    await until("the host is asked", soon, () => held.begun);
    await little.evict();
    expect(existsSync(bareOf("one"))).toBe(true);
    leaving.abort(new Error("gone"));
    await expect(waits).rejects.toThrow("gone");
    await little.evict();
    expect(existsSync(bareOf("one"))).toBe(false);
    host.instead = undefined;
    expect(await treeOf(little, "one")).toMatchObject({ branch: "main" });
    expect(little.usage()).toMatchObject({ repositories: 0, bytes: 0 });
  });
});

describe("a repository that is made to do harm", () => {
  /** Folders of folders of one file: `width` to the power of `depth` files from a handful of objects. */
  async function bomb(width: number, depth: number): Promise<void> {
    await host.commit("acme", "bomb", { a: "x".repeat(1000) });
    const work = host.workOf("acme", "bomb");
    const entries = (mode: string, kind: string, id: string) =>
      Array.from({ length: width }, (_, at) => `${mode} ${kind} ${id}\tf${at}`).join("\n");
    let id = await git(work, "rev-parse", "HEAD:a");
    for (let level = 0; level < depth; level++) {
      const input = level === 0 ? entries("100644", "blob", id) : entries("040000", "tree", id);
      id = (await must("git", ["-C", work, "mktree"], { input: `${input}\n` })).stdout.trim();
    }
    const commit = await git(work, "commit-tree", "-m", "bomb", id);
    await git(work, "push", "--quiet", "--force", "origin", `${commit}:refs/heads/main`);
  }

  it("has no more files than are allowed, however few objects they are made of", async () => {
    await bomb(20, 8);
    const cache = await cacheOf();
    expect(await refusalOf(cache, "bomb")).toMatchObject({
      code: "over-limit",
      message: expect.stringMatching(/250000 files/),
    });
    const little = await cacheOf({ limits: { treeBytes: 5000 } });
    expect(await refusalOf(little, "bomb")).toMatchObject({
      code: "over-limit",
      message: expect.stringMatching(/5000 bytes/),
    });
    expect(underWay()).toEqual([]);
    expect(processes()).toEqual([]);
  });

  it("is refused where its history takes more than is allowed, and not kept", async () => {
    await host.commit("acme", "large", { a: Array.from({ length: 30_000 }, () => Math.random()).join() });
    const cache = await cacheOf({ limits: { repositoryBytes: 100_000 } });
    expect((await cache.checkout(askFor("large"))).ok).toBe(false);
    expect(cache.usage()).toEqual({ repositories: 0, bytes: 0, underWay: 0 });
    expect(underWay()).toEqual([]);
  });

  it("and a host that answers too slowly, end in time", async () => {
    await host.commit("acme", "app", { a: "1" });
    stuck();
    const cache = await cacheOf({ limits: { milliseconds: 3000 } });
    expect(await refusalOf(cache, "app")).toMatchObject({ code: "over-limit", allowed: "3 seconds" });
    expect([processes(), underWay(), cache.usage().underWay]).toEqual([[], [], 0]);
  });

  it("is over where git is, also while the host still holds a connection", async () => {
    await host.commit("acme", "app", { a: "1" });
    host.instead = (request, response) => {
      if (request.method !== "POST") return false;
      response.writeHead(200, { "content-type": "application/x-git-upload-pack-result" });
      response.write("0009none\n");
      return true;
    };
    // Git itself would wait for a minute.
    const cache = await cacheOf({ limits: { milliseconds: 30_000 } });
    expect(await refusalOf(cache, "app")).toMatchObject({ code: "not-found" });
    expect(processes()).toEqual([]);
  });

  it("says little, whatever its host says", async () => {
    host.instead = (_, response) => {
      response.writeHead(500, { "content-type": "text/plain" });
      response.end(`${"x".repeat(100_000)}\n${"\u001b[2Jline\n".repeat(20_000)}`);
      return true;
    };
    const lines: string[] = [];
    const refusal = await refusalOf(await cacheOf(), "app", { onLine: (line) => lines.push(line) });
    expect(lines.length).toBeLessThan(310);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(4096);
    expect(lines.join("")).not.toContain("\u001b");
    expect(refusal.message.length).toBeLessThan(8 * 4096 + 200);
  });

  it("does not get its broken objects into the cache, however often it is asked for", async () => {
    const good = await host.commit("acme", "app", { a: "1" });
    const cache = await cacheOf();
    await treeOf(cache, "app");
    const work = host.workOf("acme", "app");
    const folderOf = Buffer.from(await git(work, "rev-parse", "HEAD^{tree}"), "hex");
    // A folder called .git, whose settings and hooks a git would take for its own.
    const tree = Buffer.concat([Buffer.from("40000 .git\0"), folderOf]);
    const write = ["-C", work, "hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
    const id = execFileSync("git", write, { input: tree, encoding: "utf8" }).trim();
    const commit = await git(work, "commit-tree", "-m", "broken", id);
    await git(work, "push", "--quiet", "--force", "origin", `${commit}:refs/heads/main`);
    for (let time = 0; time < 2; time++) {
      expect(await refusalOf(cache, "app")).toMatchObject({
        code: "closed",
        message: expect.stringMatching(/\.git/),
      });
      expect(await git(bareOf("app"), "rev-parse", "main")).toBe(good);
      await expect(git(bareOf("app"), "cat-file", "-t", commit)).rejects.toThrow();
    }
  });
});

describe("a node", () => {
  it.each([
    ["without git", "/nonexistent/git", /does not run/],
    ["with a git that dials whatever DNS says", "old-git", /2\.34\.1 does not dial/],
  ])("%s says so, and asks nobody", async (_, name, problem) => {
    const old = join(folder, "old-git");
    writeFileSync(old, "#!/bin/sh\necho git version 2.34.1\n", { mode: 0o755 });
    const cache = await cacheOf({ git: name === "old-git" ? old : name });
    expect(await cache.problem()).toMatch(problem);
    expect(await refusalOf(cache, "app")).toMatchObject({
      code: "closed",
      message: expect.stringMatching(problem),
    });
    expect(host.seen).toEqual([]);
    expect(await (await cacheOf()).problem()).toBeUndefined();
  });
});
