/**
 * A node's own host key in place of the one that it was made with: the script that `up` runs, against a real OpenSSH server
 * whose key files are in this test's folder; systemd and cloud-init are stand-ins.
 * Proves: the key changes over a connection to the first key, which is then refused; a run that was cut off at any point is
 * done again; a machine that shows a third key is told nothing; a machine that has its key is asked for that alone. Does not
 * prove: what cloud-init makes of it at later boots, and droplets (test/e2e).
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renderHostKey } from "../../components/host/host-key";
import { deriveSshKey, nodeHostKey, ownHostKey } from "../../components/secrets/derive";
import { freePort } from "../fakes/sshd";
import { standIns } from "../lib/host-scripts";
import { missing, programPath } from "../lib/programs";
import { until } from "../lib/until";

const SEED = "seed-of-the-host-keys";
const made = nodeHostKey(SEED, "drop-0");
const own = ownHostKey(SEED, "drop-0");
const third = deriveSshKey(SEED, "somebody else");
const operator = deriveSshKey(SEED, "operator");

let folder: string;
let server: ChildProcess | undefined;
let port = 0;
const { at, calls, read, tool } = standIns(() => folder);

/** Puts a host key where the server reads it. */
function place(key: { privateKey: string }): void {
  writeFileSync(at("host"), key.privateKey);
  chmodSync(at("host"), 0o600);
}
/** What the server shows to somebody who asks. */
const shown = () =>
  spawnSync("ssh-keyscan", ["-T", "5", "-t", "ed25519", "-p", String(port), "127.0.0.1"], {
    encoding: "utf8",
  })
    .stdout.trim()
    .split(" ")
    .slice(1)
    .join(" ");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-host-key-"));
  for (const name of ["bin", "run"]) mkdirSync(at(name));
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  place(made);
  writeFileSync(at("authorized"), `${operator.publicKey}\n`);
  port = await freePort();
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${at("host")}`,
    `AuthorizedKeysFile ${at("authorized")}`,
    `PidFile ${at("pid")}`,
    ...["StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no"],
  ];
  writeFileSync(at("config"), `${lines.join("\n")}\n`);
  tool("cloud-init", 'record "$@"');
  tool("sshd", `exec ${programPath("sshd")} -f ${at("config")} "$@"`);
  tool("systemctl", `record "$@"\n[ ! -e ${at("no-reload")} ] || exit 1\nkill -HUP "$(cat ${at("pid")})"`);
  server = spawn(programPath("sshd"), ["-D", "-f", at("config")], { stdio: "ignore" });
  await until("the server", 20_000, async () => shown() === made.publicKey);
});
afterEach(async () => {
  const ended = new Promise((done) => server?.once("exit", done));
  server?.kill("SIGTERM");
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

/** The stage with its files and programs in this test's folder. */
const stage = (key = own.publicKey) =>
  renderHostKey({
    node: "drop-0",
    publicKey: key,
    paths: { logs: at("log"), state: at("state"), lock: at("run/lock") },
  })
    .replaceAll("/etc/ssh/ssh_host_ed25519_key", at("host"))
    .replaceAll("PATH=/usr/local/sbin", `PATH=${at("bin")}:/usr/local/sbin`);

function job(more: object = {}) {
  return {
    ...{ node: "drop-0", machine: "4711", host: "127.0.0.1", port, user: "root" },
    ...{ privateKey: operator.privateKey, made: made.publicKey, own: own.publicKey },
    ...{ command: stage(), secrets: { privateKey: own.privateKey }, seconds: 60, patience: 60 },
    ...more,
  };
}
/** Runs the script as Pulumi does. @param before what it printed the last time */
function give(more: object = {}, before?: string) {
  const { PULUMI_COMMAND_STDOUT: _before, ...env } = process.env;
  return spawnSync(process.execPath, [resolve("scripts/host-key.mjs")], {
    encoding: "utf8",
    input: JSON.stringify(job(more)),
    env: { ...env, ...(before === undefined ? {} : { PULUMI_COMMAND_STDOUT: before }) },
  });
}
const secrets = [own.privateKey, operator.privateKey, made.privateKey].map(
  (key) => key.split("\n")[3] ?? "?",
);

describe.runIf(process.getuid?.() === 0 && !missing("sshd", "ssh-keygen"))("the host key", () => {
  it("is another one after the first connection, and nobody gets in by the one of the user data any more", () => {
    const { status, stdout, stderr } = give();
    expect([status, stderr, stdout]).toEqual([0, "", "4711\n"]);
    expect(shown()).toBe(own.publicKey);
    expect(read("host")).toBe(own.privateKey);
    expect(statSync(at("host")).mode & 0o777).toBe(0o600);
    expect(read("host.pub")).toBe(`${own.publicKey} drop-0\n`);
    expect(calls()).toEqual(["cloud-init status --wait", "systemctl try-reload-or-restart ssh.service"]);
    const log = readFileSync(at("log/host-key.log"), "utf8");
    for (const secret of secrets) expect(log).not.toContain(secret);
    // A client that knows the key of the user data alone.
    writeFileSync(at("known"), `[127.0.0.1]:${port} ${made.publicKey}\n`);
    const client = spawnSync(
      "ssh",
      [
        "-F",
        "none",
        "-o",
        `UserKnownHostsFile=${at("known")}`,
        "-o",
        "BatchMode=yes",
        "-p",
        String(port),
        "root@127.0.0.1",
        "true",
      ],
      { encoding: "utf8" },
    );
    expect([client.status, client.stderr]).toEqual([
      255,
      expect.stringContaining("Host key verification failed"),
    ]);
  });

  it("stays after another run, which reloads nothing", () => {
    expect(give().status).toBe(0);
    expect(give({}, "4711\n")).toMatchObject({ status: 0, stderr: "", stdout: "4711\n" });
    expect(calls().filter((call) => call.startsWith("systemctl"))).toHaveLength(1);
  });

  it.each<[string, number, () => void]>([
    ["before anything was done", 1, () => {}],
    [
      "between the file and the reload",
      2,
      () => {
        writeFileSync(at("no-reload"), "");
        expect(give().status).toBe(1);
        expect(read("host")).toBe(own.privateKey);
        rmSync(at("no-reload"));
      },
    ],
    ["after all was done, and the state never heard of it", 1, () => expect(give().status).toBe(0)],
  ])("is given by the next run where one was cut off %s", (_, reloads, cut) => {
    cut();
    expect(give()).toMatchObject({ status: 0, stderr: "", stdout: "4711\n" });
    expect(shown()).toBe(own.publicKey);
    expect(calls().filter((call) => call.startsWith("systemctl"))).toHaveLength(reloads);
  });

  it("is not given to a machine that shows a third one, and the message says so", async () => {
    place(third);
    process.kill(Number(read("pid")), "SIGHUP");
    await until("the third key", 10_000, async () => shown() === third.publicKey);
    const { status, stdout, stderr } = give({ patience: 1 });
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /node drop-0 .* shows a host key that is neither .*nothing was sent.*npm run node -- replace drop-0/s,
    );
    for (const secret of secrets) expect(stderr).not.toContain(secret);
    expect(calls()).toEqual([]);
  });

  it("is asked for alone once the machine has it: who has that of the user data is no more taken for it", () => {
    // As after a rebuild: the same machine for Pulumi, the key of the user data again.
    const again = give({ patience: 1 }, "4711\n");
    expect([again.status, again.stdout]).toEqual([1, ""]);
    expect(again.stderr).toMatch(/shows another host key than its own/);
    expect(calls()).toEqual([]);
    // Another machine of the same name is a new one.
    expect(give({ machine: "4712" }, "4711\n")).toMatchObject({ status: 0, stdout: "4712\n" });
  });

  it("is the one before where sshd refuses the new one, and what the stage says is told", () => {
    tool("sshd", "exit 1");
    const { status, stderr } = give();
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /stage host-key, step "place the node's own host key" failed.*sshd refuses the new host key/s,
    );
    expect([read("host"), shown()]).toEqual([made.privateKey, made.publicKey]);
  });

  it("is no other than the one that was told", () => {
    const { status, stderr } = give({ secrets: { privateKey: third.privateKey } });
    expect(status).toBe(1);
    expect(stderr).toContain("is not that of the key which this node is to show");
    expect(shown()).toBe(made.publicKey);
    for (const secret of secrets) expect(stderr).not.toContain(secret);
  });

  it("waits for a machine that does not answer yet", async () => {
    server?.kill("SIGTERM");
    await new Promise((done) => server?.once("exit", done));
    const late = spawn("sh", ["-c", `sleep 3; exec ${programPath("sshd")} -D -f ${at("config")}`], {
      stdio: "ignore",
    });
    server = late;
    expect(give()).toMatchObject({ status: 0, stdout: "4711\n" });
  });
});

describe("the stage of the host key", () => {
  it("is refused for a key of another kind", () => {
    for (const publicKey of ["ssh-rsa AAAA", `${own.publicKey} comment`, `${own.publicKey}'; reboot`])
      expect(() => renderHostKey({ node: "drop-0", publicKey })).toThrow(/hostKey\.publicKey/);
  });

  it("holds no secret", () => {
    expect(execFileSync("sh", ["-n"], { input: stage(), encoding: "utf8" })).toBe("");
    for (const secret of secrets) expect(stage()).not.toContain(secret);
  });
});
