/**
 * Set-ups of managed containers, with the real git, a real Git host, a real database and commands that are real processes; dockerd is a
 * stand-in. Proves: what a set-up goes through is told, logged and true; a secret is nowhere but where it is used; what goes wrong is
 * said, and the container can be set up again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { signature } from "../../../agent/src/callbacks";
import type { SetupPackages } from "../../../agent/src/setup";
import { run } from "../../lib/run";
import { until } from "../../lib/until";
import {
  aContainer,
  aNode,
  commandLines,
  dockerd,
  ended,
  fileIn,
  folder,
  freePort,
  host,
  linesOf,
  listenOn,
  OWNER,
  pumpOutput,
  receiver,
  request,
  SECRET,
  SOON,
  setUp,
  setupsForEachTest,
  supervisors,
  told,
  waitFor,
} from "./setup-rig";

setupsForEachTest();

const TOKEN = "gho_0123456789abcdef";

describe("a set-up", () => {
  it("goes from phase to phase; each is told once, in order and signed, and stands in the container's log", async () => {
    const port = await freePort();
    const commit = await host.commit("acme", "app", {
      "src/index.js": "1",
      "run.sh": { mode: 0o755, text: "#!/bin/sh\n" },
    });
    const env = { GREETING: "hi", NAME: "box" };
    const container = aContainer({ ports: { [port]: 20_001 }, hostPort: 20_001, env });
    pumpOutput(container.container);
    const node = await aNode([container]);
    const body = request("app", container, {
      envVars: { GREETING: "hello" },
      hasMainImage: true,
      installCommand: 'echo "installing with $GREETING in $NAME"; echo 1 >installed',
      startCommand: listenOn(port),
    });
    const asked = await node.setups.ask(OWNER, container.id, body);
    expect(asked).toMatchObject({
      ok: true,
      value: { phase: "queued", status: "setting-up", repo: "acme/app" },
    });
    expect(await ended(container.id)).toMatchObject({
      ...{ phase: "ready", status: "ready", message: "the project runs and listens" },
      ...{ name: container.name, repo: "acme/app", branch: "main", hostPort: 20_001 },
      url: "http://192.0.2.7:20001",
      logsUrl: `http://192.0.2.1:8080/api/containers/${container.id}/logs`,
    });
    const phases = ["queued", "cloning", "checking-out", "installing", "building-image", "starting", "ready"];
    expect(told()).toEqual(phases);
    expect(receiver.got.map(({ message }) => message.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    for (const { headers, body: text } of receiver.got)
      expect(headers["x-berth-signature"]).toBe(signature(SECRET, text));
    expect(node.setups.phaseOf(container.id)).toMatchObject({
      phase: "ready",
      branch: "main",
      commit,
      sequence: 7,
    });
    const lines = await until("its output is in the log", SOON, async () => {
      const all = await linesOf(node, container.id);
      return all.some((line) => line.startsWith("start: ")) && all;
    });
    expect(
      lines.filter((line) => line.includes("[berth]")).map((line) => line.split(":")[1]?.trim()),
    ).toEqual([
      ...phases.slice(0, 4).map((phase) => `[berth] ${phase}`),
      "[berth] the container was not made from the repository's main image",
      "[berth] $ installCommand",
      ...phases.slice(4).map((phase) => `[berth] ${phase}`),
    ]);
    expect(lines).toContain("setup: installing with hello in box");
    expect(lines).toContain(`start: in ${container.workdir} with hello`);
    expect([fileIn(container, "src/index.js"), fileIn(container, "installed")]).toEqual(["1", "1\n"]);
    expect((await run("git", ["-C", container.workdir, "status", "--porcelain"])).stdout).toBe(
      "?? installed\n",
    );
    expect(dockerd.data.archives[0]?.path).toBe(container.workdir);
    // The owner in the archive is the container's account.
    writeFileSync(join(folder, "sent.tar"), dockerd.data.archives[0]?.bytes ?? "");
    const { stdout } = await run("tar", [
      "--list",
      "--verbose",
      "--numeric-owner",
      `--file=${folder}/sent.tar`,
    ]);
    const account = `${process.getuid?.()}/${process.getgid?.()}`;
    expect(stdout).toMatch(new RegExp(`^-rwxr-xr-x ${account} .* \\./run\\.sh$`, "m"));
  });

  it("of a branch is of that branch, installs by its lock file, and starts by package.json", async () => {
    const port = await freePort();
    const scripts = { start: `node -e 'require("net").createServer().listen(${port})'` };
    const lock = {
      name: "app",
      version: "1.0.0",
      lockfileVersion: 3,
      requires: true,
      packages: { "": { name: "app", version: "1.0.0" } },
    };
    await host.commit("acme", "app", { "package.json": "{}" });
    await host.commit(
      "acme",
      "app",
      {
        "package.json": JSON.stringify({ name: "app", version: "1.0.0", scripts }),
        "package-lock.json": JSON.stringify(lock),
      },
      "topic/x",
    );
    const container = aContainer({ ports: { [port]: 20_001 } });
    const node = await aNode([container]);
    const {
      installCommand: _,
      startCommand: __,
      ...body
    } = request("app", container, {
      branch: "topic/x",
      envVars: { npm_config_cache: join(folder, "npm"), npm_config_update_notifier: "false" },
    });
    expect(await setUp(node, container, body)).toMatchObject({ phase: "ready", branch: "topic/x" });
    expect(await linesOf(node, container.id)).toContain("setup: [berth] $ npm ci --no-audit --no-fund");
    // Another branch than the main one makes no image.
    expect(dockerd.data.commits).toEqual([]);
    expect(told()).not.toContain("building-image");
  });

  it("puts files in the place of the last one's, and keeps what package managers installed", async () => {
    await host.commit("acme", "old", { "old.txt": "1", ".hidden": "1", "both.txt": "old" });
    await host.commit("acme", "new", { "both.txt": "new" });
    const container = aContainer();
    const node = await aNode([container]);
    expect(await setUp(node, container, request("old", container))).toMatchObject({
      ...{ phase: "ready", message: "there is nothing to start" },
    });
    for (const name of ["node_modules", ".venv", "dist"]) {
      mkdirSync(join(container.workdir, name));
      writeFileSync(join(container.workdir, name, "kept"), "1");
    }
    expect(await setUp(node, container, request("new", container))).toMatchObject({
      phase: "ready",
      sequence: 14,
    });
    expect(["old.txt", ".hidden", "dist/kept"].map((name) => fileIn(container, name))).toEqual(
      Array(3).fill(undefined),
    );
    expect(["both.txt", "node_modules/kept", ".venv/kept"].map((name) => fileIn(container, name))).toEqual([
      "new",
      "1",
      "1",
    ]);
  });

  it("that is asked for again with the same key is the same one, and with another request refused", async () => {
    await host.commit("acme", "app", { a: "1" });
    const container = aContainer();
    const node = await aNode([container]);
    const body = request("app", container, { idempotency_key: "k1", githubToken: TOKEN });
    const both = await Promise.all([0, 1].map(() => node.setups.ask(OWNER, container.id, body)));
    expect(both).toMatchObject([{ ok: true }, { ok: true }]);
    await ended(container.id);
    const again = await node.setups.ask(OWNER, container.id, { ...body, githubToken: `${TOKEN}-new` });
    expect(again).toMatchObject({ ok: true, value: { phase: "ready" } });
    expect(await node.setups.ask(OWNER, container.id, { ...body, branch: "other" })).toMatchObject({
      refusal: { code: "conflict", message: expect.stringContaining("idempotency_key") },
    });
    expect(told().filter((phase) => phase === "queued")).toHaveLength(1);
  });

  it("is refused with all that is wrong, before anything is touched", async () => {
    const container = aContainer();
    const node = await aNode([container, aContainer({ id: "0000000a", state: "making" })]);
    const refusal = async (owner: string, id: string, more: object) => {
      const asked = await node.setups.ask(owner, id, request("app", container, more));
      return asked.ok ? undefined : asked.refusal;
    };
    const wrong = await refusal(OWNER, container.id, {
      ...{
        repo: "ext::sh -c x",
        branch: "-x",
        workdir: "/usr",
        callbackUrl: "http://10.0.0.1/",
        callbackSecret: "",
        githubToken: "short",
      },
    });
    expect(wrong?.code).toBe("bad-request");
    for (const field of ["repo", "branch", "githubToken", "workdir", "callbackUrl", "callbackSecret"])
      expect(wrong?.message).toContain(`${field}: `);
    expect(wrong?.message).not.toContain("short");
    for (const githubToken of ["1234567", "x".repeat(4097), "gho_0123\n4567"])
      expect(await refusal(OWNER, container.id, { githubToken })).toMatchObject({
        ...{ code: "bad-request", message: expect.stringContaining("8 to 4096 bytes") },
      });
    expect(await refusal(OWNER, container.id, { repo: "https://evil.example/a/b" })).toMatchObject({
      code: "not-allowed",
    });
    expect(await refusal(OWNER, container.id, { callbackUrl: undefined })).toMatchObject({
      code: "bad-request",
    });
    expect(await refusal("other", container.id, {})).toMatchObject({ code: "not-found" });
    expect(await refusal(OWNER, "0000000a", {})).toMatchObject({ code: "conflict" });
    expect([dockerd.calls.filter((call) => !call.includes("version")), told()]).toEqual([[], []]);
  });
});

describe("a secret of a set-up", () => {
  it("is in no log, no error, no command line, no image and no answer; the token is not even in the database", async () => {
    await host.commit("acme", "app", { a: "1" });
    host.tokens.set("/acme/app.git", [TOKEN]);
    const value = "hunter2-hunter2";
    const container = aContainer();
    const given = dockerd.containers.get(container.container)?.Config;
    given?.Env?.push(`PASSWORD=${value}`);
    const node = await aNode([container]);
    const go = join(folder, "go");
    const body = request("app", container, {
      ...{ githubToken: TOKEN, envVars: { PASSWORD: value } },
      installCommand: waitFor(go),
      startCommand: "sleep 60",
    });
    await node.setups.ask(OWNER, container.id, body);
    const secrets = [TOKEN, SECRET, value];
    const shownBy = (text: string) => secrets.filter((secret) => text.includes(secret));
    await until("it installs", SOON, () => told().includes("installing"));
    expect(shownBy(commandLines().join("\n"))).toEqual([]);
    writeFileSync(go, "");
    expect(await ended(container.id)).toMatchObject({ phase: "ready" });
    expect(shownBy(commandLines().join("\n"))).toEqual([]);
    const bodies = receiver.got.map(({ body: text }) => text);
    const images = JSON.stringify(dockerd.data.commits.map(({ query, body: text }) => [String(query), text]));
    const commands = JSON.stringify(dockerd.execs.all.map(({ body: { Cmd } }) => Cmd));
    const view = JSON.stringify(node.setups.phaseOf(container.id));
    const lines = await linesOf(node, container.id);
    expect(shownBy([...bodies, images, commands, view, ...lines, ...node.logged].join("\n"))).toEqual([]);
    expect(dockerd.data.commits[0]?.query.getAll("changes")).toEqual(["ENV PASSWORD="]);
    for (const name of ["logs", "cache"])
      expect(
        (await run("grep", ["-rlF", "-e", TOKEN, "-e", value, "-e", SECRET, join(folder, name)])).stdout,
      ).toBe("");
    expect(readFileSync(join(folder, "ledger.db")).includes(TOKEN)).toBe(false);
    expect(readFileSync(join(folder, "ledger.db-wal")).includes(TOKEN)).toBe(false);
    // A refusal of the host's has it neither.
    const wrong = await setUp(node, container, { ...body, githubToken: "gho_of-somebody-else" });
    expect(wrong).toMatchObject({ phase: "failed", message: expect.stringContaining("did not give it") });
    expect(wrong.message).not.toContain("gho_");
  });
});

describe("a set-up that fails", () => {
  it.each<[string, object, string]>([
    ["for a branch that is not there", { branch: "nowhere" }, "has no branch nowhere"],
    ["for an installation that fails", { installCommand: "echo no; exit 3" }, "ended with exit code 3"],
    [
      "for a start command that ends",
      { startCommand: "echo bye; exit 4" },
      "start command ended with exit code 4",
    ],
  ])("%s says so, and the container can be set up again", async (_why, more, message) => {
    await host.commit("acme", "app", { a: "1" });
    const container = aContainer();
    pumpOutput(container.container);
    const node = await aNode([container]);
    expect(await setUp(node, container, request("app", container, more))).toMatchObject({
      ...{ phase: "failed", status: "failed", message: expect.stringContaining(message) },
    });
    expect(node.setups.phaseOf(container.id)).toMatchObject({ phase: "failed" });
    expect(supervisors(container.id)).toEqual([]);
    if ("installCommand" in more) expect(await linesOf(node, container.id)).toContain("setup: no");
    if ("startCommand" in more) expect(await linesOf(node, container.id)).toContain("start: bye");
    expect(await setUp(node, container, request("app", container))).toMatchObject({ phase: "ready" });
  });

  it.each([
    // Whoever still sends when the answer comes may not get to read it.
    ["PUT /containers/ID/archive", /^Docker on the node does not answer|^the node's disk is full/],
    ["POST /containers/ID/exec", /^the node's disk is full/],
  ])("as dockerd refuses %s says what could not be done", async (call, words) => {
    await host.commit("acme", "app", { a: "1" });
    const container = aContainer();
    const node = await aNode([container]);
    dockerd.mood(call, { kind: "status", status: 500, message: "no space left on device" });
    const failed = await setUp(node, container, request("app", container));
    expect(failed).toMatchObject({
      phase: "failed",
      message: expect.stringMatching(words),
    });
    dockerd.calm();
    expect(await setUp(node, container, request("app", container))).toMatchObject({ phase: "ready" });
    expect(node.repositories.usage().underWay).toBe(0);
  });

  it("as dockerd ends in the middle is told, and so is one whose installation takes too long", async () => {
    await host.commit("acme", "app", { a: "1" });
    const [first, second] = [aContainer(), aContainer()];
    const node = await aNode([first, second], { times: { install: 1500 } });
    const slow = { installCommand: "sleep 600" };
    expect(await setUp(node, first, request("app", first, slow))).toMatchObject({
      ...{ phase: "failed", message: expect.stringContaining("took longer than 1.5 seconds") },
    });
    expect(dockerd.execs.all.every(({ running }) => !running)).toBe(true);
    await node.setups.ask(OWNER, second.id, request("app", second, slow));
    await until("it installs", SOON, () => told(second.id).includes("installing"));
    await dockerd.stop();
    expect(await ended(second.id)).toMatchObject({ phase: "failed" });
    await dockerd.start();
    expect(await setUp(node, second, request("app", second))).toMatchObject({ phase: "ready" });
  });

  it.each([true, false])(
    "for want of kept packages is none, where they are used (%s) or cannot be",
    async (good) => {
      await host.commit("acme", "app", { "package-lock.json": "{}" });
      const container = aContainer();
      const calls: unknown[] = [];
      const packages: SetupPackages = {
        attach: async (_, of) => {
          calls.push(of);
          if (!good) throw new Error("no overlay");
          return { from: {} };
        },
        keep: async (_, of, { fingerprint }) => {
          calls.push([of, fingerprint.length]);
          return { ok: false, refusal: { code: "full", message: "there is no room" } };
        },
      };
      const node = await aNode([container], { packages });
      expect(
        await setUp(node, container, request("app", container, { installCommand: "true" })),
      ).toMatchObject({
        phase: "ready",
      });
      const of = {
        ...{ owner: OWNER, repository: host.repository("acme", "app") },
        ...{ branch: "main", mainBranch: "main", image: "sha256:base" },
      };
      expect(calls).toEqual([of, [of, 64]]);
      const lines = (await linesOf(node, container.id)).join("\n");
      expect(lines).toContain("the packages are not kept for later: there is no room");
      expect(lines.includes("packages that were kept are not used")).toBe(!good);
      expect(lines).not.toContain("no overlay");
    },
  );

  it.each([
    ["192.0.2.9", "http://192.0.2.9:20001"],
    ["2001:db8::7", "http://[2001:db8::7]:20001"],
  ])("tells the address at which ports are published, as %s", async (address, url) => {
    await host.commit("acme", "app", { a: "1" });
    const container = aContainer({ hostPort: 20_001 });
    const node = await aNode([container], {
      ...{ url: () => "https://ide.example.com/berth", publishAddress: () => address },
    });
    expect(await setUp(node, container, request("app", container))).toMatchObject({
      ...{ url, logsUrl: `https://ide.example.com/berth/api/containers/${container.id}/logs` },
    });
  });

  it("for want of a main image is none: it goes on without", async () => {
    await host.commit("acme", "app", { a: "1" });
    const container = aContainer();
    const node = await aNode([container]);
    dockerd.mood("POST /commit", { kind: "status", status: 500, message: "no space left on device" });
    expect(await setUp(node, container, request("app", container))).toMatchObject({ phase: "ready" });
    expect((await linesOf(node, container.id)).join("\n")).toMatch(
      /no main image is made: .*the node's disk is full/,
    );
  });
});
