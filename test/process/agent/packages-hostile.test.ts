/**
 * Kept packages against tenants who write in them meanwhile. Proves: nothing of the node gets into what is kept or is written or
 * removed by it, whatever is a link at which moment; what is kept has no setuid bits, devices, pipes, sockets or shared files; one
 * installation costs no more than its bounds, and leaves nothing; a copy ends with its container, its time and its signal; a tree
 * of any depth is removed.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SCRIPTS } from "../../../agent/src/packages/scripts";
import { must, run } from "../../lib/run";
import { until } from "../../lib/until";
import {
  Container,
  cachesOf,
  folder,
  generations,
  isRoot,
  keepFirst,
  listing,
  mounts,
  nodeForEachTest,
  PACKAGES,
  treeOf,
  WAYS,
  warnings,
} from "./packages-rig";

const [A] = ["0000000a"] as const;
const works = () => readdirSync(join(folder, "packages/work"));
/** The disk need not have what may be written at most. */
const ENDLESS = { treeBytes: 2 ** 50, freeBytes: -(2 ** 50) };
const SECRET = "a secret of the node";
/** A folder that is now one with a file, now a link to the node's. */
const SWAP = (name: string) => `secret=${folder}/secret
  mkdir -p real; echo harmless >real/file; echo in
  while :; do ln -sfn "$secret" link; mv -T real ${name}; mv -T ${name} real; mv -T link ${name}; mv -T ${name} link; done 2>/dev/null`;

function makeSecret(): void {
  mkdirSync(join(folder, "secret"));
  for (const name of ["file", "other"]) writeFileSync(join(folder, "secret", name), SECRET);
}
const secretIsWhole = () =>
  expect(
    readdirSync(join(folder, "secret")).map((name) => readFileSync(join(folder, "secret", name), "utf8")),
  ).toEqual([SECRET, SECRET]);

/** Has begun when it is given. */
async function attack(container: Container, script: string) {
  const process = container.begin(script);
  await new Promise((resolve) => process.stdout?.once("data", resolve));
  return process;
}

describe.runIf(isRoot).each(WAYS)("hostile packages by %s", (way) => {
  nodeForEachTest(way);

  it("are kept as plain files, folders and links of whoever had them", async () => {
    makeSecret();
    const caches = await cachesOf();
    await keepFirst(
      caches,
      `cd node_modules; cp /bin/true suid; chown 1000:1000 suid; chmod 6755 suid; mkdir sticky; chmod 3777 sticky
       echo shared >one; ln one two; mkfifo pipe; ln -s ${folder}/secret out; ln -s ../../../../../../etc up; echo x >$'new\\nline'
       node -e 'require("net").createServer().listen("socket", () => process.exit())'; chmod 640 one
       mknod device c 1 3 2>/dev/null || true; setcap cap_net_admin+ep suid 2>/dev/null || true`,
    );
    const tree = treeOf((await generations())[0] ?? "");
    expect(
      (await listing(tree)).filter(
        (line) => !/^\\?[0-9a-f]{64}/.test(line) && line !== "line" && line !== "line ",
      ),
    ).toEqual([
      "d 777 0:0 2 ./sticky ",
      "d 777 0:0 3 . ",
      expect.stringMatching(/^f 640 0:0 1 .\/one $/),
      expect.stringMatching(/^f 640 0:0 1 .\/two $/),
      expect.stringMatching(/^f 644 0:0 1 .\/new/),
      "f 755 1000:1000 1 ./suid ",
      `l 777 0:0 1 ./out ${folder}/secret`,
      "l 777 0:0 1 ./up ../../../../../../etc",
    ]);
  });

  it("give nothing of the node away while a folder changes places with a link", async () => {
    makeSecret();
    const caches = await cachesOf();
    const container = await keepFirst(caches, "cd node_modules; seq 2000 | xargs touch");
    const attacker = await attack(container, `cd node_modules; ${SWAP("x")}`);
    for (let turn = 0; turn < 8; turn += 1) {
      const result = await caches.keep(container.id, PACKAGES, { fingerprint: `lock-${turn + 2}` });
      if (!result.ok) expect(result.refusal.code).toBe("busy");
    }
    const search = ["-r", "-l", SECRET, join(folder, "packages/caches")];
    expect(await run("grep", search)).toMatchObject({ code: 1, stdout: "" });
    attacker.kill("SIGKILL");
    expect(works()).toEqual([]);
    secretIsWhole();
  });

  it("remove nothing of the node while a folder changes places with a link", async () => {
    makeSecret();
    const caches = await cachesOf();
    const container = await Container.start(caches, A);
    await caches.attach(A, PACKAGES);
    const attacker = await attack(container, `cd node_modules; seq 2000 | xargs touch; ${SWAP("x")}`);
    await caches.detach(A);
    attacker.kill("SIGKILL");
    await caches.evict();
    secretIsWhole();
    expect(readdirSync(join(folder, "packages/containers"))).toEqual([]);
  });

  it.runIf(way === "copy")("are filled by renames, which follow no link that is there already", async () => {
    makeSecret();
    const caches = await cachesOf();
    await keepFirst(caches, "echo theirs >node_modules/other");
    await keepFirst(caches, "mkdir node_modules/left; echo theirs >node_modules/left/file", {
      id: "00000002",
      of: { ...PACKAGES, branch: "folder" },
    });
    for (const [id, branch, from] of [
      [A, "main", { generation: 1 }],
      ["0000000b", "folder", undefined],
    ] as const) {
      const container = await Container.start(caches, id);
      await container.sh(
        `ln -s ${folder}/secret node_modules/left; ln -s ${folder}/secret/other node_modules/other`,
      );
      const attached = await caches.attach(id, { ...PACKAGES, branch });
      expect(attached.from).toEqual(from && expect.objectContaining(from));
      expect(await container.sh("find node_modules -type f -exec cat {} +")).toBe(from ? "theirs" : "");
    }
    secretIsWhole();
  });

  it.each([
    [
      "bytes",
      "head -c 3000000 /dev/urandom >node_modules/large",
      { treeBytes: 2 ** 20 },
      /more than 1048576 bytes/,
    ],
    ["bytes that a file says to have", "truncate -s 15T node_modules/hole", {}, /more than 67108864 bytes/],
    ["entries", "cd node_modules; seq 50 | xargs touch", { treeEntries: 50 }, /more than 50 files/],
    ["time", "cd node_modules; truncate -s 15T hole", { ...ENDLESS, copyMilliseconds: 300 }, /within 0.3 s/],
  ])("cost no more than their %s", async (_what, script, limits, message) => {
    const caches = await cachesOf([], { limits: { freeBytes: 0, treeBytes: 2 ** 26, ...limits } });
    const container = await Container.start(caches, A);
    await caches.attach(A, PACKAGES);
    await container.sh(script);
    const result = await caches.keep(A, PACKAGES, { fingerprint: "lock" });
    expect(result).toMatchObject({
      ok: false,
      refusal: { code: "over-limit", message: expect.stringMatching(message) },
    });
    expect([works(), await generations()]).toEqual([[], []]);
  });

  it("of a tenant take no more than its share, and what is in use keeps others out", async () => {
    const bounds = { maxBytesOfOne: 3_000_000, maxBytes: 5_000_000 };
    const caches = await cachesOf([], { bounds });
    const large = "head -c 2000000 /dev/zero >node_modules/large";
    for (const [index, branch] of ["a", "b", "c"].entries())
      await keepFirst(caches, large, { id: `0000000${index + 1}`, of: { ...PACKAGES, branch } });
    const branches = () => caches.usage().caches.map(({ owner, branch }) => `${owner} ${branch}`);
    expect(branches()).toEqual(["acme c"]);
    await keepFirst(caches, large, { id: "00000004", of: { ...PACKAGES, owner: "other" } });
    expect(branches()).toEqual(["acme c", "other main"]);
    await Container.start(caches, A);
    await caches.attach(A, { ...PACKAGES, branch: "c" });
    await keepFirst(caches, large, { id: "00000005", of: { ...PACKAGES, branch: "d" } });
    expect(branches()).toEqual(["acme c", "other main"]);
    await caches.detach(A);
    const less = await cachesOf(["00000005"], { bounds: { ...bounds, maxBytes: 1 } });
    expect(less.usage().caches).toEqual([]);
  });

  it("are refused where the disk is almost full", async () => {
    const caches = await cachesOf([], { limits: { freeBytes: 2 ** 60 } });
    await Container.start(caches, A);
    const result = await caches.keep(A, PACKAGES, { fingerprint: "lock" });
    expect(result).toMatchObject({ ok: false, refusal: { code: "full" } });
  });

  it("are copied until their container goes, or whoever asked gives up", async () => {
    const caches = await cachesOf([], { limits: ENDLESS });
    for (const id of [A, "0000000b", "0000000c"]) {
      const container = await Container.start(caches, id);
      await caches.attach(id, PACKAGES);
      await container.sh("truncate -s 15T node_modules/hole");
    }
    const gaveUp = new AbortController();
    const first = caches.keep(A, PACKAGES, { fingerprint: "lock" });
    const second = caches.keep("0000000b", PACKAGES, { fingerprint: "lock" });
    const third = caches.keep("0000000c", PACKAGES, { fingerprint: "lock", signal: gaveUp.signal });
    const ends = [
      expect(first).rejects.toThrow("the container 0000000a is gone"),
      expect(second).rejects.toThrow("the container 0000000b is gone"),
      expect(third).rejects.toThrow("no longer wanted"),
    ];
    await until("the first copy", 20_000, () => works().length > 0);
    gaveUp.abort(new Error("no longer wanted"));
    await ends[2];
    await caches.detach("0000000b");
    await ends[1];
    await caches.detach(A);
    await ends[0];
    await until("an empty folder", 20_000, () => works().length === 0);
    await caches.detach("0000000c");
    expect(await mounts()).toEqual([]);
  });

  const deep = (folders: number) =>
    `cd node_modules; name=$(printf 'd%.0s' {1..200}); for i in {1..${folders}}; do mkdir $name; cd $name; done`;

  it("may be deeper than a path can say, and are removed", async () => {
    const caches = await cachesOf();
    await keepFirst(caches, deep(20));
    expect(caches.usage().caches).toMatchObject([{ entries: 21 }]);
    const container = await Container.start(caches, A);
    await container.sh(deep(40));
    const result = await caches.keep(A, PACKAGES, { fingerprint: "lock-2" });
    expect(result).toMatchObject({ ok: false, refusal: { code: "closed" } });
    for (const id of [A, "00000001"]) await caches.detach(id);
    const less = await cachesOf([], { bounds: { unusedMs: -1000 } });
    expect(less.usage()).toMatchObject({ caches: [], containers: 0, bytes: 0 });
    expect([await generations(), works(), warnings.filter((line) => line.includes("should"))]).toEqual([
      [],
      [],
      [],
    ]);
  });
});

describe.runIf(isRoot && WAYS.includes("copy"))("a script of kept packages", () => {
  nodeForEachTest("copy");

  it("ends with berthd, however that ends", async () => {
    const source = join(folder, "source");
    mkdirSync(source);
    await must("truncate", ["-s", "15T", join(source, "hole")]);
    const tree = join(folder, "tree");
    // This bash stands for berthd: it holds the only end of the script's life line, and is killed.
    const berthd = spawn(
      "bash",
      [
        "-c",
        'sleep 600 | setsid bash -c "$@" & wait',
        "berthd",
        SCRIPTS.copy,
        "x",
        source,
        tree,
        String(2 ** 50),
        "9",
      ],
      { detached: true, stdio: "ignore" },
    );
    const working = async () => (await run("pgrep", ["-f", `directory=${tree}`])).code === 0;
    await until("the copy", 20_000, working);
    process.kill(-(berthd.pid ?? 0), "SIGKILL");
    await until("the end of the copy", 20_000, async () => !(await working()));
  });
});
