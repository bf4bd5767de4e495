/**
 * Berth's command plugin under the real engine, against a real SSH server on this computer. Proves what the
 * unit tests cannot: that the engine, the SDK and the plugin agree about previews, secrets, replaces.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeKey, type Sshd, startSshd } from "../fakes/sshd";
import { until } from "../lib/until";
import { Sandbox } from "./sandbox";

const MINUTE = 60_000;
let sshd: Sshd;
let sandbox: Sandbox;
let work: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "berth-engine-"));
  sshd = await startSshd();
  sandbox = await Sandbox.make(["command"], { typescript: false });
}, 2 * MINUTE);

afterAll(async () => {
  await sandbox?.remove();
  await sshd?.stop();
  rmSync(work, { recursive: true, force: true });
}, MINUTE);

/** Program text: a connection to the test's server, and then what the test wants. */
function program(text: string, connection: Record<string, unknown> = {}): void {
  const all = {
    host: "127.0.0.1",
    port: sshd.port,
    user: sshd.user,
    privateKey: sshd.privateKey,
    hostKey: sshd.hostKey,
    ...connection,
  };
  sandbox.program(
    `const connection = ${JSON.stringify(all)};\nconst work = ${JSON.stringify(work)};\n${text}`,
  );
}

const file = (name: string): string => readFileSync(join(work, name), "utf8");

const NO_ENV = "addPreviousOutputInEnv: false";

/** Three commands on one host; the first has a secret stdin. */
const stages = (content: string, trigger: string): string => `
const stages = ["a", "b", "c"].map((name) => new command.remote.Command(name, {
  connection,
  create: "cat > " + work + "/" + name + "; echo made " + name + "${content}",
  update: "cat > " + work + "/" + name + "; echo updated " + name + "${content}",
  delete: "rm -f " + work + "/" + name + "; echo gone >> " + work + "/deleted-" + name,
  stdin: pulumi.secret("TOPSECRET-" + name),
  triggers: ["${trigger}"],
  ${NO_ENV},
  logging: "none",
}, { deleteBeforeReplace: true }));
exports.out = stages.map((stage) => stage.stdout);
`;

describe("command plugin", () => {
  it(
    "creates in one SSH connection and keeps secrets out of console and state",
    async () => {
      program(stages("1", "x"));
      const previewed = await sandbox.ok(["preview", "--diff"]);
      expect(sshd.connections()).toBe(0); // a preview touches nothing
      const ran = await sandbox.up();
      expect((await sandbox.outputs()).out).toEqual(["made a1", "made b1", "made c1"]);
      expect(file("b")).toBe("TOPSECRET-b");
      expect(sshd.connections()).toBe(1);
      const body = sshd.privateKey.split("\n")[2] as string;
      for (const text of [previewed.text, ran.text, sandbox.stateOnDisk()]) {
        expect(text).not.toContain("TOPSECRET");
        expect(text).not.toContain(body);
      }
    },
    MINUTE,
  );

  it("keeps the state that the official plugin keeps", async () => {
    const found = (await sandbox.resources()).find(({ urn }) => urn.endsWith("::a"));
    const inputs = [
      "addPreviousOutputInEnv",
      "connection",
      "create",
      "delete",
      "logging",
      "stdin",
      "triggers",
      "update",
    ];
    expect(
      Object.keys(found?.inputs ?? {})
        .filter((key) => !key.startsWith("__"))
        .sort(),
    ).toEqual(inputs);
    expect(Object.keys(found?.outputs ?? {}).sort()).toEqual([...inputs, "stdout", "stderr"].sort());
    expect(found?.id).toMatch(/^a[0-9a-f]{8}$/);
    for (const bag of [found?.inputs, found?.outputs]) {
      expect(bag?.connection).toHaveProperty("ciphertext");
      expect(bag?.stdin).toHaveProperty("ciphertext");
    }
  });

  it(
    "has nothing to do the second time, nor after a refresh",
    async () => {
      await sandbox.quiet();
      await sandbox.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
      await sandbox.quiet();
    },
    MINUTE,
  );

  it(
    "updates in place when the text changes",
    async () => {
      program(stages("2", "x"));
      const steps = await sandbox.preview();
      expect(steps.map(({ op }) => op)).toEqual(["update", "update", "update"]);
      expect(Object.keys(steps[0]?.detailedDiff ?? {}).sort()).toEqual(["create", "update"]);
      const before = sshd.connections();
      await sandbox.ok(["up", "--yes"]); // with its own preview first, in the same engine
      expect((await sandbox.outputs()).out).toEqual(["updated a2", "updated b2", "updated c2"]);
      expect(sshd.connections() - before).toBe(1);
      expect(existsSync(join(work, "deleted-a"))).toBe(false);
      await sandbox.quiet();
    },
    MINUTE,
  );

  it(
    "replaces when a trigger changes, and runs the old delete",
    async () => {
      program(stages("2", "y"));
      const steps = await sandbox.preview();
      expect(new Set(steps.map(({ op }) => op))).toContain("replace");
      expect(steps.filter(({ op }) => op === "update")).toEqual([]);
      await sandbox.up();
      expect((await sandbox.outputs()).out).toEqual(["made a2", "made b2", "made c2"]);
      expect(file("deleted-a")).toBe("gone\n");
      expect(file("a")).toBe("TOPSECRET-a");
      await sandbox.quiet();
    },
    MINUTE,
  );

  it(
    "refuses unknown inputs at preview, by name, without showing the key",
    async () => {
      program(
        `new command.remote.Command("odd", { connection: { ...connection, hots: "x", Port: 22 }, ${NO_ENV}, create: "true" });`,
      );
      const { code, text } = await sandbox.run(["preview"]);
      expect(code).not.toBe(0);
      expect(text).toContain("connection.hots is not known");
      expect(text).toContain("connection.Port is not known");
      expect(text).toContain('did you mean "port"');
      expect(text).toMatch(/allowed: .*hostKey/);
      expect(text).not.toContain(sshd.privateKey.split("\n")[2] as string);
    },
    MINUTE,
  );

  it(
    "does not sign in to a server with another host key, and shows both fingerprints",
    async () => {
      const other = readFileSync(`${makeKey(work, "other")}.pub`, "utf8").trim();
      program(
        `new command.remote.Command("spoofed", { connection, ${NO_ENV}, create: "touch " + work + "/spoofed" });`,
        {
          hostKey: other,
        },
      );
      const logins = sshd.logins();
      const { code, text } = await sandbox.run(["up", "--yes", "--skip-preview", "--target", "**spoofed"]);
      expect(code).not.toBe(0);
      expect(text.match(/SHA256:[A-Za-z0-9+/]{43}/g)?.length).toBeGreaterThanOrEqual(2);
      expect(text).toContain(`127.0.0.1:${sshd.port}`);
      expect(sshd.logins()).toBe(logins);
      expect(existsSync(join(work, "spoofed"))).toBe(false);
    },
    MINUTE,
  );

  it(
    "tells a failure by exit code and stderr, not by the command or its stdin",
    async () => {
      program(`new command.remote.Command("broken", {
      connection, ${NO_ENV}, create: "cat >&2; echo COMMANDTEXT >/dev/null; echo the disk is full >&2; exit 7",
      stdin: pulumi.secret("TOPSECRET-STDIN"),
    });`);
      const { code, text } = await sandbox.run(["up", "--yes", "--skip-preview", "--target", "**broken"]);
      expect(code).not.toBe(0);
      expect(text).toContain("exit code 7");
      expect(text).toContain("the disk is full");
      expect(text).not.toContain("COMMANDTEXT");
      expect(text).not.toContain("TOPSECRET");
    },
    MINUTE,
  );

  it(
    "ends a remote command at Ctrl-C and at its custom timeout",
    async () => {
      const sleeper = (name: string, options: string): string =>
        `new command.remote.Command("${name}", {
        connection, ${NO_ENV}, create: "echo $$ > " + work + "/${name}.pid; sleep 300 & wait",
      }, ${options});`;
      const gone = async (name: string): Promise<void> => {
        const pid = Number(file(`${name}.pid`));
        await until(`${name}, process ${pid}, is gone`, 20_000, () => !existsSync(`/proc/${pid}`));
      };

      program(sleeper("slow", '{ customTimeouts: { create: "2s" } }'));
      const { code, text } = await sandbox.run(["up", "--yes", "--skip-preview", "--target", "**slow"]);
      expect(code).not.toBe(0);
      expect(text).toMatch(/custom timeout of 2 s/);
      await gone("slow");

      program(sleeper("cut", "{}"));
      const up = sandbox.start(["up", "--yes", "--skip-preview", "--target", "**cut"]);
      const ended = new Promise((resolve) => up.once("exit", resolve));
      await until(
        "the command runs",
        20_000,
        () => existsSync(join(work, "cut.pid")) && file("cut.pid") !== "",
      );
      up.kill("SIGINT");
      await ended;
      await gone("cut");
      await sandbox.run(["cancel", "--yes"]);
    },
    2 * MINUTE,
  );

  it(
    "runs commands here",
    async () => {
      program(`
const here = new command.local.Command("here", { create: "cat; echo $WHO; pwd", stdin: "in ", environment: { WHO: "me" }, dir: work });
exports.here = here.stdout;
`);
      await sandbox.up();
      expect((await sandbox.outputs()).here).toBe(`in me\n${work}`);
      await sandbox.quiet();
    },
    MINUTE,
  );

  it(
    "says at preview that it copies no files, and the way out",
    async () => {
      program(`new command.remote.CopyToRemote("file", {
        connection, source: new pulumi.asset.StringAsset("hello"), remotePath: work + "/text.txt",
      });`);
      const { code, text } = await sandbox.run(["preview"]);
      expect(code).not.toBe(0);
      expect(text).toContain(
        "command:remote:CopyToRemote is not part of Berth's command plugin 1.2.1, which has " +
          "command:local:Command, command:remote:Command; install the official plugin for it, see docs/plugins.md",
      );
    },
    MINUTE,
  );

  it(
    "destroys: every delete command ran, the state is empty",
    async () => {
      program(stages("3", "z"));
      await sandbox.up();
      await sandbox.ok(["destroy", "--yes", "--skip-preview"]);
      expect(["a", "b", "c"].some((name) => existsSync(join(work, name)))).toBe(false);
      expect((await sandbox.resources()).filter(({ type }) => type.startsWith("command:"))).toEqual([]);
    },
    MINUTE,
  );
});
