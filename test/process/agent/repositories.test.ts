/**
 * The repository cache with the real git and a real Git host on loopback. Proves: what a working tree has, what is asked of the host
 * the second time, that nobody gets anything that the host does not give to them, that the token is nowhere but in its own requests,
 * and that the host is reached at the address that was looked at and nowhere else.
 */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must, run } from "../../lib/run";
import { until } from "../../lib/until";
import { git } from "./git-host";
import {
  askFor,
  cacheOf,
  folder,
  host,
  hostForEachTest,
  made,
  processes,
  refusalOf,
  treeOf,
  underWay,
} from "./repositories-rig";

hostForEachTest();

const bareOf = (name: string) => join(folder, `cache/${host.repository("acme", name).host}/acme/${name}.git`);
/** The files below the folder that have the text in them. */
const filesWith = async (text: string, below: string): Promise<string[]> =>
  (await run("grep", ["-rlF", "-e", text, below])).stdout.split("\n").filter(Boolean);

async function objectsIn(bare: string, pack: string): Promise<string[]> {
  const listed = await git(bare, "verify-pack", "-v", `objects/pack/${pack}`);
  return [...listed.matchAll(/^([0-9a-f]{40}) /gm)].map(([, id = ""]) => id);
}

describe("a working tree", () => {
  it("has the branch's files, and a .git that knows all branches, the tags and where it came from", async () => {
    const commit = await host.commit("acme", "app", {
      "package.json": "{}",
      "src/index.js": "1",
      "run.sh": { mode: 0o755, text: "#!/bin/sh\n" },
    });
    symlinkSync("/etc/passwd", join(host.workOf("acme", "app"), "yarn.lock"));
    await git(host.workOf("acme", "app"), "tag", "v1", commit);
    await git(host.workOf("acme", "app"), "push", "--quiet", "origin", "v1");
    const topic = await host.commit("acme", "app", { "package.json": '{"name":"x"}' }, "topic/x");
    const umask = process.umask(0o077);
    try {
      const cache = await cacheOf();
      const lines: string[] = [];
      const tree = await treeOf(cache, "app", { branch: "topic/x", onLine: (line) => lines.push(line) });
      expect(tree).toMatchObject({ commit: topic, branch: "topic/x", defaultBranch: "main" });
      expect(tree.files.sort()).toEqual(["package.json", "run.sh"]);
      expect(readFileSync(join(tree.folder, "package.json"), "utf8")).toBe('{"name":"x"}');
      expect(readlinkSync(join(tree.folder, "yarn.lock"))).toBe("/etc/passwd");
      const modes = ["run.sh", "package.json", "src"].map(
        (path) => lstatSync(join(tree.folder, path)).mode & 0o777,
      );
      expect(modes).toEqual([0o755, 0o644, 0o755]);
      expect(await git(tree.folder, "status", "--porcelain", "--branch")).toBe("## topic/x...origin/topic/x");
      expect(await git(tree.folder, "branch", "--remotes", "--format=%(refname)")).toContain(
        "refs/remotes/origin/main",
      );
      expect(await git(tree.folder, "rev-parse", "v1")).toBe(commit);
      expect(await git(tree.folder, "config", "remote.origin.url")).toBe(host.repository("acme", "app").url);
      expect(await git(tree.folder, "fsck", "--full")).toBe("");
      expect(lines.join("\n")).toContain(`branch topic/x is at ${topic}`);
      // Nothing in it says where the cache is.
      expect(await filesWith(`${folder}/cache`, tree.folder)).toEqual([]);
    } finally {
      process.umask(umask);
    }
  });

  it("is that of the main branch where none is named, also after another became it", async () => {
    await host.commit("acme", "app", { a: "1" });
    await host.commit("acme", "app", { a: "2" }, "trunk");
    const cache = await cacheOf();
    expect(await treeOf(cache, "app")).toMatchObject({ branch: "main", defaultBranch: "main" });
    await git(host.bare("acme", "app"), "symbolic-ref", "HEAD", "refs/heads/trunk");
    expect(await treeOf(cache, "app")).toMatchObject({ branch: "trunk", defaultBranch: "trunk" });
    expect(await treeOf(cache, "app", { branch: "main" })).toMatchObject({ defaultBranch: "trunk" });
  });

  it("runs nothing of the repository and fetches nothing else: modules, filters, hooks", async () => {
    await host.commit("acme", "other", { a: "1" });
    await host.commit("acme", "app", {
      ".gitmodules": `[submodule "m"]\n\tpath = m\n\turl = ${host.repository("acme", "other").url}\n`,
      ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs\n",
      "a.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
      ".lfsconfig": `[lfs]\n\turl = ${host.repository("acme", "other").url}/info/lfs\n`,
      "hooks/post-checkout": { mode: 0o755, text: `#!/bin/sh\ntouch ${folder}/ran\n` },
    });
    const work = host.workOf("acme", "app");
    const other = await git(host.workOf("acme", "other"), "rev-parse", "HEAD");
    await git(work, "update-index", "--add", "--cacheinfo", `160000,${other},m`);
    await git(work, "commit", "--quiet", "--message", "module");
    await git(work, "push", "--quiet", "origin", "HEAD:main");
    const tree = await treeOf(await cacheOf(), "app");
    expect(readFileSync(join(tree.folder, "a.bin"), "utf8")).toMatch(/^version https:/);
    expect(readdirSync(join(tree.folder, "m"))).toEqual([]);
    expect(existsSync(join(folder, "ran"))).toBe(false);
    expect(host.seen.filter(({ path }) => !path.startsWith("/acme/app.git/"))).toEqual([]);
  });

  it.each(["a branch that moved back", "a branch that is gone", "a tag that moved"])(
    "has nothing of %s, nor has the cache, even after a fetch that was cut off",
    async (what) => {
      const cache = await cacheOf();
      const first = await host.commit("acme", "app", { a: "1" });
      const secret = await host.commit("acme", "app", { secret: "password" }, "topic");
      const bare = host.bare("acme", "app");
      if (what.includes("tag")) {
        await git(host.workOf("acme", "app"), "push", "--quiet", "origin", `${secret}:refs/tags/v1`);
        await git(bare, "update-ref", "-d", "refs/heads/topic");
      }
      await treeOf(cache, "app", { branch: "main" });
      expect(await git(bareOf("app"), "cat-file", "-t", secret)).toBe("commit");
      if (what.includes("back")) await git(bare, "update-ref", "refs/heads/topic", first);
      else if (what.includes("tag")) await git(bare, "update-ref", "refs/tags/v1", first);
      else await git(bare, "update-ref", "-d", "refs/heads/topic");
      const tree = await treeOf(cache, "app", { branch: "main" });
      for (const place of [tree.folder, bareOf("app")]) {
        await expect(git(place, "cat-file", "-t", secret)).rejects.toThrow();
      }
      // A pack of whoever asked before, that no branch leads to since git was killed: what it leaves is known to be there.
      const script = `cd "$1" && touch unclean && git hash-object -w --stdin | git pack-objects -q objects/pack/pack`;
      execFileSync("sh", ["-c", `${script} && git prune-packed -q`, "sh", bareOf("app")], {
        input: "secret",
      });
      const blob = (await must("git", ["hash-object", "--stdin"], { input: "secret" })).stdout.trim();
      expect(await git(bareOf("app"), "cat-file", "-t", blob)).toBe("blob");
      const next = await treeOf(cache, "app", { branch: "main" });
      await expect(git(next.folder, "cat-file", "-t", blob)).rejects.toThrow();
    },
  );
});

describe("the second time", () => {
  it("no object is asked for where there is nothing new, and then new ones alone", async () => {
    const cache = await cacheOf();
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`file-${at}`, `${at}`]));
    await host.commit("acme", "app", files);
    await treeOf(cache, "app");
    expect(host.fetches).toBe(1);
    const first = host.seen.length;
    await treeOf(cache, "app", { branch: "main" });
    expect(host.fetches).toBe(1);
    // The host has listed its branches all the same.
    expect(host.seen.slice(first).some(({ body }) => body.includes("command=ls-refs"))).toBe(true);
    const next = await host.commit("acme", "app", { "file-0": "new" });
    expect(await treeOf(cache, "app")).toMatchObject({ commit: next });
    expect(host.fetches).toBe(2);
    // A commit, its folder, its file; beside those that they are written as changes of.
    const packs = readdirSync(join(bareOf("app"), "objects/pack")).filter((name) => name.endsWith(".idx"));
    const objects = await Promise.all(packs.map((name) => objectsIn(bareOf("app"), name)));
    const [few = [], many = []] = objects.sort((a, b) => a.length - b.length);
    expect(objects.map(({ length }) => length < 10)).toEqual([true, false]);
    expect(few.filter((id) => !many.includes(id))).toHaveLength(3);
  });

  it("what is gone at the host is gone here, and a name may become a folder", async () => {
    const cache = await cacheOf();
    await host.commit("acme", "app", { a: "1" });
    await host.commit("acme", "app", { a: "2" }, "topic");
    await treeOf(cache, "app", { branch: "topic" });
    await git(host.bare("acme", "app"), "update-ref", "-d", "refs/heads/topic");
    expect(await refusalOf(cache, "app", { branch: "topic" })).toMatchObject({
      code: "not-found",
      allowed: "main",
    });
    await host.commit("acme", "app", { a: "3" }, "topic/x");
    expect(await treeOf(cache, "app", { branch: "topic/x" })).toMatchObject({ branch: "topic/x" });
  });

  it("a repository that is broken is taken anew", async () => {
    const warnings: string[] = [];
    const cache = await cacheOf({ log: { info: () => {}, warn: (_, message) => warnings.push(message) } });
    const commit = await host.commit("acme", "app", { a: "1" });
    await treeOf(cache, "app");
    execFileSync("sh", [
      "-c",
      `chmod -R u+w "$1" && truncate -s 40 "$1"/objects/pack/*.pack`,
      "sh",
      bareOf("app"),
    ]);
    expect(await treeOf(cache, "app")).toMatchObject({ commit });
    expect(warnings).toEqual(["a repository is taken anew from its host"]);
    expect(await git(bareOf("app"), "fsck", "--full")).toBe("");
    expect(underWay()).toHaveLength(made.length);
  });

  it("so many packs are put into one", async () => {
    const cache = await cacheOf();
    await host.commit("acme", "app", { a: "0" });
    await treeOf(cache, "app");
    const pack = join(bareOf("app"), "objects/pack");
    // As forty fetches leave them.
    const script = `cd "$1" && for at in $(seq 41); do
      echo "$at" | git hash-object -w --stdin | git pack-objects -q objects/pack/pack; done; git prune-packed -q`;
    execFileSync("sh", ["-c", script, "sh", bareOf("app")]);
    const count = () => readdirSync(pack).filter((name) => name.endsWith(".pack")).length;
    expect(count()).toBeGreaterThan(40);
    await host.commit("acme", "app", { a: "1" });
    const tree = await treeOf(cache, "app");
    expect(count()).toBe(1);
    expect(readFileSync(join(tree.folder, "a"), "utf8")).toBe("1");
  });
});

describe("a token", () => {
  const good = "gho_good+/=&token";
  const bad = "gho_bad_token_of_another";

  it("is looked at by the host each time: a kept repository gives nothing without its word", async () => {
    const cache = await cacheOf();
    await host.commit("acme", "app", { a: "1" });
    host.tokens.set("/acme/app.git", [good]);
    await treeOf(cache, "app", { token: good });
    expect(host.seen.filter(({ token }) => token !== good)).toEqual([]);
    for (const token of [bad, undefined]) {
      const before = underWay().length;
      const refusal = await refusalOf(cache, "app", { token });
      expect(refusal).toMatchObject({ code: "not-found", fix: expect.stringContaining("token") });
      expect(underWay()).toHaveLength(before);
    }
    host.tokens.set("/acme/app.git", []);
    expect(await refusalOf(cache, "app", { token: good })).toMatchObject({ code: "not-found" });
  });

  it("does not open another repository, nor the same one of another owner", async () => {
    const cache = await cacheOf();
    for (const owner of ["acme", "Acme"]) await host.commit(owner, "app", { owner });
    host.tokens.set("/acme/app.git", [good]);
    host.tokens.set("/Acme/app.git", [bad]);
    await treeOf(cache, "app", { token: good });
    const theirs = await cache.checkout(
      askFor("app", { repository: host.repository("Acme", "app"), token: good }),
    );
    expect(theirs.ok).toBe(false);
    const own = await treeOf(cache, "app", { repository: host.repository("Acme", "app"), token: bad });
    expect(readFileSync(join(own.folder, "owner"), "utf8")).toBe("Acme");
  });

  it("is in no file, in no command line, and in nothing that is said", async () => {
    const cache = await cacheOf();
    await host.commit("acme", "app", { a: "1" });
    const basic = Buffer.from(`x-access-token:${good}`).toString("base64");
    const lines: string[] = [];
    let commands: string[] = [];
    host.instead = (request) => {
      if (request.method === "POST") commands = commands.concat(processes());
      return false;
    };
    await treeOf(cache, "app", { token: good, onLine: (line) => lines.push(line) });
    expect(commands.filter((line) => line.includes("ls-remote")).length).toBeGreaterThan(0);
    expect(commands.filter((line) => line.includes(" fetch ")).length).toBeGreaterThan(0);
    host.instead = (_, response) => {
      response.writeHead(403, { "content-type": "text/plain" }).end(`no ${good} or ${basic}\n`);
      return true;
    };
    const refusal = await refusalOf(cache, "app", { token: good, onLine: (line) => lines.push(line) });
    expect(refusal.message).toContain("no [token] or [token]");
    for (const secret of [good, basic]) {
      expect(await filesWith(secret, folder)).toEqual([]);
      expect(JSON.stringify([commands, lines, refusal])).not.toContain(secret);
    }
  });

  it.each(["", "1234567", "gho_a\tb_token", "x".repeat(5000)])(
    "that is none is refused before anything is asked",
    async (token) => {
      expect(await refusalOf(await cacheOf(), "app", { token })).toMatchObject({ code: "bad-request" });
      expect(host.seen).toEqual([]);
    },
  );
});

describe("the host", () => {
  it("is dialled at the address that was looked at", async () => {
    await host.commit("acme", "app", { a: "1" });
    let asked: unknown;
    const cache = await cacheOf({
      resolve: async (one) => {
        asked = one;
        return { ok: true, value: ["127.0.0.1"] };
      },
    });
    // No DNS server knows the name, so git has the address from there.
    await treeOf(cache, "app");
    expect(asked).toEqual(host.host);
  });

  it("is not dialled where its address may not be", async () => {
    const refusal = { code: "not-allowed" as const, message: "10.0.0.1 is a private address" };
    const cache = await cacheOf({ resolve: async () => ({ ok: false, refusal }) });
    expect(await refusalOf(cache, "app")).toEqual(refusal);
    expect(host.seen).toEqual([]);
  });

  it.each(["https://other.example/acme/app.git", "http://git.berth-test.invalid/acme/app.git"])(
    "has to be one that the operator names, with its port: %s",
    async (url) => {
      const cache = await cacheOf();
      const repository = { ...host.repository("acme", "app"), url };
      expect(await refusalOf(cache, "app", { repository })).toMatchObject({ code: "not-allowed" });
    },
  );

  it("leads nowhere else: no redirect is followed", async () => {
    await host.commit("acme", "app", { a: "1" });
    const reached: string[] = [];
    const other = createServer((request, response) => {
      reached.push(request.url ?? "");
      response.writeHead(404).end();
    }).listen(0, "127.0.0.1");
    await until("it listens", 10_000, () => other.listening);
    try {
      const to = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
      const cache = await cacheOf();
      const redirect = (method: string) => {
        host.instead = (request, response) => {
          if (request.method !== method) return false;
          response.writeHead(302, { location: `${to}${request.url}` }).end();
          return true;
        };
      };
      for (const method of ["GET", "POST"]) {
        redirect(method);
        expect(await refusalOf(cache, "app", { token: "gho_token_of_x" })).toMatchObject({
          code: "not-found",
        });
      }
      // As a host without git would, of which git reads files: other places in them are not followed either.
      host.instead = (request, response) => {
        const body: Record<string, string> = {
          "/acme/app.git/info/refs": `${"a".repeat(40)}\trefs/heads/main\n`,
          "/acme/app.git/HEAD": "ref: refs/heads/main\n",
          "/acme/app.git/objects/info/http-alternates": `${to}/objects\n`,
        };
        const text = body[(request.url ?? "").replace(/\?.*/, "")];
        response.writeHead(text === undefined ? 404 : 200, { "content-type": "text/plain" }).end(text);
        return true;
      };
      expect((await cache.checkout(askFor("app", { branch: "main" }))).ok).toBe(false);
      expect(reached).toEqual([]);
    } finally {
      other.close();
    }
  });

  it.each([
    "--upload-pack=touch ran",
    "-c",
    "main:refs/heads/x",
    "../../x",
    "refs/heads/main",
    "main\0",
    "main^{tree}",
  ])("has no branch %j", async (branch) => {
    await host.commit("acme", "app", { a: "1" });
    const refusal = await refusalOf(await cacheOf(), "app", { branch });
    expect(refusal).toMatchObject({ code: "not-found", allowed: "main" });
    expect(readdirSync(join(folder, "cache")).sort()).toEqual([".template", ".work"]);
  });

  it("may have a branch whose name looks like an option", async () => {
    await host.commit("acme", "app", { a: "1" });
    await git(host.bare("acme", "app"), "update-ref", "refs/heads/-x", "refs/heads/main");
    expect(await treeOf(await cacheOf(), "app", { branch: "main" })).toMatchObject({ branch: "main" });
  });

  it("says in its own words why it gives nothing; an empty repository has no branch", async () => {
    const cache = await cacheOf();
    const missing = await refusalOf(cache, "missing");
    expect(missing.message).toMatch(/acme\/missing: its host did not give it: .*not found/);
    await host.commit("acme", "app", { a: "1" });
    await git(host.bare("acme", "app"), "update-ref", "-d", "refs/heads/main");
    expect(await refusalOf(cache, "app")).toMatchObject({
      code: "not-found",
      allowed: "none: it has no branch",
    });
    expect(underWay()).toEqual([]);
  });
});
