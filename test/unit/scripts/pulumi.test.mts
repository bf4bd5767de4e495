import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { places } from "../../../scripts/lib/paths.mjs";
import {
  callEnvironment,
  ensureHome,
  ownBackend,
  pulumiVariables,
} from "../../../scripts/lib/pulumi-env.mjs";
import { clearLocks, judgeLock, locksOf, orphansOf } from "../../../scripts/lib/recovery.mjs";
import { hasSecrets, saltOf, withCleanStackFile } from "../../../scripts/lib/stack-file.mjs";
import { readUpLine, UpReader } from "../../../scripts/lib/up-output.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-unit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = () =>
  places({ HOME: folder, BERTH_HOME: join(folder, "home"), BERTH_CACHE: join(folder, "cache") });

describe("npm run preview | up | destroy", () => {
  it.each([
    ["up", "mistyped", 2, /^\nThere is no Pulumi\.mistyped\.yaml in /],
    ["preview", "mistyped", 2, /^\nThere is no Pulumi\.mistyped\.yaml in /],
    ["destroy", "mistyped", 0, /^There is no stack mistyped: nothing to take down\.\n$/],
    ["destroy", "there", 2, /no terminal to ask on.*npm run destroy -- --stack there --yes/],
  ])("%s says of a stack that is not there so, before it asks: %s", (command, stack, code, said) => {
    // In Pulumi's place: it lists the stacks.
    mkdirSync(join(folder, "bin"));
    const list = JSON.stringify([{ name: "organization/berth/there" }]);
    writeFileSync(join(folder, "bin/pulumi"), `#!/bin/sh\necho '${list}'\n`, { mode: 0o755 });
    const env = {
      ...process.env,
      ...{ BERTH_HOME: join(folder, "home"), BERTH_CACHE: join(folder, "cache") },
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
    };
    const argv = ["scripts/pulumi.mjs", command, "--stack", stack];
    const done = spawnSync(process.execPath, argv, { encoding: "utf8", env });
    expect([done.status, done.stdout + done.stderr]).toEqual([code, expect.stringMatching(said)]);
  });
});

describe("npm run preview", () => {
  /** In Pulumi's place: knows the stack, and writes the log of events that it is asked for. */
  function preview(code: number, ...args: string[]) {
    mkdirSync(join(folder, "bin"));
    mkdirSync(join(folder, "tmp"));
    const labels = { "berth.owner": "carol", "berth.component": "workspace", "berth.node": "node-1" };
    const inputs = { labels: Object.entries(labels).map(([label, value]) => ({ label, value })) };
    const urn = "urn:pulumi:dev::berth::docker:index/container:Container::berth-workspace-carol";
    const metadata = { op: "create", type: "docker:index/container:Container", urn, new: { inputs } };
    const event = JSON.stringify({ resourcePreEvent: { planning: true, metadata } });
    const script = `#!/bin/sh
case "$1 $2" in
  "stack ls") echo '[{"name": "organization/berth/dev"}]' ;;
  "stack export") echo '{"version": 3, "deployment": {}}' ;;
  preview*)
    echo Pulumi says so
    while [ $# -gt 1 ]; do if [ "$1" = --event-log ]; then echo '${event}' >"$2"; fi; shift; done
    exit ${code} ;;
esac
`;
    writeFileSync(join(folder, "bin/pulumi"), script, { mode: 0o755 });
    const env = {
      ...process.env,
      ...{
        BERTH_HOME: join(folder, "home"),
        BERTH_CACHE: join(folder, "cache"),
        TMPDIR: join(folder, "tmp"),
      },
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
    };
    const done = spawnSync(process.execPath, ["scripts/pulumi.mjs", "preview", ...args], {
      encoding: "utf8",
      env,
    });
    // The log holds what the program knows, so it goes with the run.
    expect(readdirSync(join(folder, "tmp"))).toEqual([]);
    return done;
  }

  it("says in words what Pulumi's own preview does not", () => {
    expect(preview(0)).toMatchObject({
      status: 0,
      stdout: "Pulumi says so\nIn words:\n  carol's workspace on node-1: is new\n\n",
    });
  });

  it.each<[string, number, string[]]>([
    ["programs", 0, ["--json"]],
    ["a preview that failed", 255, []],
  ])("says nothing of its own to %s", (_, code, args) => {
    expect(preview(code, ...args)).toMatchObject({ status: code, stdout: "Pulumi says so\n" });
  });
});

describe("the environment of Pulumi", () => {
  it("names the passphrase's file, never its text, and leaves the user's own backend alone", () => {
    const own = pulumiVariables({}, at());
    expect(own).toMatchObject({
      PULUMI_BACKEND_URL: `file://${folder}/home/state`,
      PULUMI_CONFIG_PASSPHRASE_FILE: `${folder}/home/passphrase`,
      PULUMI_HOME: `${folder}/cache/pulumi-home`,
    });
    expect(own).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE");
    for (const env of [{ PULUMI_BACKEND_URL: "s3://x" }, { PULUMI_ACCESS_TOKEN: "t" }]) {
      expect(ownBackend(env, at())).toBe(false);
      expect(pulumiVariables(env, at())).not.toHaveProperty("PULUMI_BACKEND_URL");
      expect(pulumiVariables(env, at())).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE_FILE");
    }
    expect(pulumiVariables({ PULUMI_CONFIG_PASSPHRASE: "" }, at())).not.toHaveProperty(
      "PULUMI_CONFIG_PASSPHRASE_FILE",
    );
  });
  it.each([
    ["false", ["preview", "--stack", "dev", "--diff", "--event-log", "/tmp/x", "-y"]],
    ["true", ["preview", "--debug"]],
    ["true", ["up", "-yd"]],
    ["true", ["preview", "-v=9", "--stack", "dev"]],
    ["true", ["preview", "--verbose", "3"]],
    ["true", ["preview", "--logtostderr"]],
  ])("says %s to lines of debugging: pulumi %j", (lines, args) => {
    expect(callEnvironment({ BERTH_HOME: "/x" }, args)).toMatchObject({
      BERTH_HOME: "/x",
      BERTH_DEBUG_LINES: lines,
    });
  });
  it("has the engine collect garbage less often, unless the person says how often", () => {
    expect(callEnvironment({}, ["up"]).GOGC).toBe("400");
    expect(callEnvironment({ GOGC: "off" }, ["up"]).GOGC).toBe("off");
  });
  it("makes one passphrase, 0600, and keeps it", () => {
    expect(ensureHome(at(), {})).toBe(true);
    const first = readFileSync(at().passphrase, "utf8");
    expect(first).toMatch(/^[\w-]{43}$/);
    expect(statSync(at().passphrase).mode & 0o777).toBe(0o600);
    expect(statSync(at().home).mode & 0o777).toBe(0o700);
    expect(ensureHome(at(), {})).toBe(false);
    expect(readFileSync(at().passphrase, "utf8")).toBe(first);
  });
  it("leaves a passphrase of the user's own to the user", () => {
    const one = at();
    expect(ensureHome(one, { PULUMI_CONFIG_PASSPHRASE: "" })).toBe(false);
    expect(existsSync(one.passphrase)).toBe(false);
  });

  it("does not make a new passphrase over a state that needs the old one", () => {
    ensureHome(at(), {});
    mkdirSync(join(at().state, ".pulumi/stacks"), { recursive: true });
    rmSync(at().passphrase);
    expect(() => ensureHome(at(), {})).toThrow(/passphrase is missing.*Put it back/s);
  });
  it("refuses a passphrase that others can read", () => {
    ensureHome(at(), {});
    rmSync(at().passphrase);
    writeFileSync(at().passphrase, "x", { mode: 0o644 });
    expect(() => ensureHome(at(), {})).toThrow(/mode 644.*chmod 600/);
  });
});

describe("the stack file", () => {
  const text =
    "# a comment\nconfig:\n  berth:nodes:\n    - name: node-0   # head\n\n  berth:production: true\n";
  // As Pulumi writes it: other blanks, and a boolean in quotes.
  const written = text.replace("   #", " #").replace("\n\n", "\n").replace("true", '"true"');
  const salted = `${written}encryptionsalt: v1:abc=:v1:def:ghi\n`;
  const file = () => join(folder, "Pulumi.dev.yaml");
  const work = (then: () => void) => withCleanStackFile(at(), "dev", async () => then(), folder);

  it("is the author's again, byte by byte, after Pulumi wrote its salt", async () => {
    writeFileSync(file(), text);
    await work(() => writeFileSync(file(), salted));
    expect(readFileSync(file(), "utf8")).toBe(text);
  });
  it("loses a salt that another run left, before Pulumi sees it", async () => {
    writeFileSync(file(), salted);
    await work(() => expect(saltOf(readFileSync(file(), "utf8"))).toBeUndefined());
    expect(readFileSync(file(), "utf8")).not.toContain("encryptionsalt");
  });
  it("keeps what its author wrote meanwhile, also when the run fails", async () => {
    writeFileSync(file(), text);
    const failing = work(() => {
      writeFileSync(file(), `${salted}  # more\n`);
      throw new Error("up failed");
    });
    await expect(failing).rejects.toThrow("up failed");
    const after = readFileSync(file(), "utf8");
    expect(after).toContain("# more");
    expect(after).not.toContain("encryptionsalt");
  });
  it("is left alone when it holds secrets that need the salt", async () => {
    const secret = `${salted}config:\n  berth:token:\n    secure: v1:xyz\n`;
    expect(hasSecrets(secret)).toBe(true);
    writeFileSync(file(), secret);
    await work(() => {});
    expect(readFileSync(file(), "utf8")).toBe(secret);
  });
  it("is left alone when Pulumi's salt is not the one in the state", async () => {
    const state = join(at().state, ".pulumi/stacks/berth");
    mkdirSync(state, { recursive: true });
    const latest = { secrets_providers: { type: "passphrase", state: { salt: "v1:other" } } };
    writeFileSync(join(state, "dev.json"), JSON.stringify({ version: 3, checkpoint: { latest } }));
    writeFileSync(file(), text);
    await work(() => writeFileSync(file(), salted));
    expect(readFileSync(file(), "utf8")).toBe(salted);
  });
});

describe("locks", () => {
  const lock = (fields: object) =>
    JSON.stringify({ pid: 7, username: "u", hostname: "here", timestamp: "t", ...fields });
  const facts = { host: "here", ageMs: 60_000, alive: (pid: number) => pid === 7 };
  it.each([
    ["a living process's", lock({}), "alive"],
    ["a dead process's", lock({ pid: 8 }), "dead"],
    ["another computer's", lock({ pid: 8, hostname: "there" }), "elsewhere"],
    ["a cut-off one", '{"pid": 8, "usern', "torn"],
    ["an empty one", "", "torn"],
  ])("%s", (_, text, state) => expect(judgeLock(text, facts)?.state).toBe(state));
  it("does not judge a file that is just being written", () => {
    expect(judgeLock("", { ...facts, ageMs: 100 })).toBeUndefined();
  });
  it("removes the dead one's and no other", async () => {
    const dir = join(at().state, ".pulumi/locks/organization/berth/dev");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "a.json"), lock({ pid: 2 ** 22 + 1, hostname: hostname() }));
    writeFileSync(join(dir, "b.json"), lock({ hostname: "elsewhere.example" }));
    await expect(clearLocks(at(), "dev", () => {})).rejects.toThrow(
      /another computer.*pulumi cancel --stack dev/s,
    );
    expect(locksOf(at(), "dev").map(({ state }) => state)).toEqual(["elsewhere"]);
  });
  it("takes away with a dead one's what it had half written, and leaves the state", async () => {
    const dir = join(at().state, ".pulumi/locks/organization/berth/dev");
    const stacks = join(at().state, ".pulumi/stacks/berth");
    for (const folder of [dir, stacks]) mkdirSync(folder, { recursive: true });
    writeFileSync(join(dir, "a.json"), lock({ pid: 2 ** 22 + 1, hostname: hostname() }));
    const files = {
      "dev.json": '{"version": 3}',
      "dev.json.attrs": "",
      "dev.json.bak": '{"version": 3}',
      "dev.json.bak.attrs": '{"user.content_type": "application/json"}',
      "dev.json.18ea01a72a06573c.tmp": '{"vers',
      "dev-2.json.attrs": "",
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(stacks, name), text);
    await clearLocks(at(), "dev", () => {});
    expect(readdirSync(stacks).sort()).toEqual([
      "dev-2.json.attrs",
      "dev.json",
      "dev.json.bak",
      "dev.json.bak.attrs",
    ]);
  });
  it("does not take a process of another program for Pulumi", async () => {
    const dir = join(at().state, ".pulumi/locks/organization/berth/dev");
    mkdirSync(dir, { recursive: true });
    // Alive, but its number would stand for a Pulumi that is gone. Of its own: this one's arguments may name Pulumi.
    const other = spawn("sleep", ["60"], { stdio: "ignore" });
    try {
      writeFileSync(join(dir, "a.json"), lock({ pid: other.pid ?? 0, hostname: hostname() }));
      const states = locksOf(at(), "dev").map(({ state }) => state);
      expect(states).toEqual(["dead"]);
    } finally {
      other.kill();
    }
  });
});

describe("what a killed up left", () => {
  it("finds containers and networks that were being created, each with its engine", () => {
    const provider = "urn:pulumi:dev::berth::pulumi:providers:docker::node-0";
    const creating = (type: string, inputs: object) => ({
      type: "creating",
      resource: { type, inputs, provider: `${provider}::id-1` },
    });
    const deployment = {
      resources: [{ urn: provider, inputs: { host: "ssh://root@10.88.0.10:22" } }],
      pending_operations: [
        creating("docker:index/container:Container", { name: "berth-dev-ray" }),
        creating("docker:index/network:Network", { name: "berth-workspaces" }),
        creating("command:remote:Command", { name: "x" }),
        creating("docker:index/volume:Volume", { name: "kept" }),
        { ...creating("docker:index/container:Container", { name: "old" }), type: "deleting" },
      ],
    };
    const host = "ssh://root@10.88.0.10:22";
    expect(orphansOf(deployment)).toEqual([
      { kind: "container", name: "berth-dev-ray", host },
      { kind: "network", name: "berth-workspaces", host },
    ]);
    expect(orphansOf(undefined)).toEqual([]);
  });
});

describe("the output of up", () => {
  it.each([
    [
      " +  docker:index:Container berth-node-0 creating (0s) ",
      { kind: "begin", name: "berth-node-0", verb: "creating" },
    ],
    [
      " ~  command:remote:Command a-b updated (12s) [diff: ~create]",
      { kind: "end", name: "a-b", verb: "updated" },
    ],
    [" +- docker:index:Container x replaced (1s)", { kind: "end", name: "x", verb: "replaced" }],
    [
      " ++ docker:index:Container x creating replacement (0s)",
      { kind: "begin", name: "x", verb: "creating" },
    ],
    [
      " +  docker:index:Container x **creating failed** error: no",
      { kind: "failed", name: "x", verb: "creating" },
    ],
  ])("%s", (line, event) => expect(readUpLine(line)).toMatchObject(event));
  it.each([
    "",
    "@ updating....",
    "    berth:index:Cluster berth",
    "Outputs:",
    "  error: a:b c created nothing",
  ])("is not about a step: %j", (line) => expect(readUpLine(line)).toBeUndefined());
  it("keeps the diagnostics whole and sums up", () => {
    const reader = new UpReader();
    const lines = [
      "Updating (dev):",
      " +  docker:index:Container one creating (0s)",
      " +  docker:index:Container one created (2s)",
      " +  docker:index:Container two creating (0s)",
      " +  docker:index:Container two **creating failed** error: name is taken",
      "Diagnostics:",
      "  docker:index:Container (two):",
      "    error: name is taken",
      "",
      "Resources:",
      "    + 1 created",
      "    3 unchanged",
      "",
      "Duration: 5s",
    ];
    for (const line of lines) reader.read(line);
    expect(reader.done).toBe(1);
    expect(reader.open.size).toBe(0);
    expect(reader.diagnostics.join("\n")).toContain("error: name is taken");
    expect(reader.summary()).toBe("1 created, 3 unchanged");
  });
});
