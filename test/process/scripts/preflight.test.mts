/**
 * `npm run preflight`: from a stack's file to what ssh is told, and from a server's answer to the report.
 * Proves: secrets are not needed and not touched; the sign-in is that of `up`, host key included; nothing is recorded on
 * the server; every state has its text and its place in the JSON; a server that does not answer does not hide the others.
 * ssh is a stand-in that notes its words and answers as it is told.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { stageBody } from "../../../components/host/stage.js";
import { deriveSshKey } from "../../../components/secrets/derive.js";
import * as program from "../../../scripts/preflight/looks.js";
import { lookAt } from "../../../scripts/preflight/run.mjs";
import { firewall, KEY, local, metal } from "../../unit/config/helpers.js";

const ROOT = resolve(import.meta.dirname, "../../..");
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-preflight-test-"));
  writeFileSync(join(folder, "Pulumi.yaml"), readFileSync(join(ROOT, "Pulumi.yaml")));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A private key that opens nothing. */
function keyFile(): string {
  const path = join(folder, "key");
  writeFileSync(path, deriveSshKey("seed", "a key").privateKey, { mode: 0o600 });
  return path;
}
const stack = (config: Record<string, unknown>) =>
  writeFileSync(
    join(folder, "Pulumi.lab.yaml"),
    stringify({
      config: Object.fromEntries(Object.entries(config).map(([key, value]) => [`berth:${key}`, value])),
    }),
  );
const FACTS = {
  login: "ops",
  sudo: true,
  users: ["alice:x:1000:1000::/home/alice:/bin/bash"],
  disks: [
    'NAME="sda" TYPE="disk" SIZE="2000000000000" FSTYPE="xfs" PTTYPE="" LABEL="" UUID="" MOUNTPOINT="/data"',
  ],
  mounts: [],
  docker: "26.1.5",
  dockerPackage: "docker.io",
  running: 2,
  containers: 3,
  ufw: "inactive",
  ufwRules: 0,
  otherFirewalls: [],
  privateInterface: "eth1",
  timeSync: "chrony",
  willChange: ["enables ufw: nothing comes in but what the plan allows"],
};
const answer = (facts: object) => `BERTH_FACTS ${JSON.stringify(facts)}\n`;
const REFUSAL = `stage preflight, step "what stands in the way" failed: see /var/log/berth/preflight.log on metal-1
== 2026-11-21T10:00:00Z stage preflight, step "what stands in the way"
this server cannot be adopted as it is:
- Docker is a snap: snap remove docker
- port 10022 (berth:ports.users) is taken by nginx
nothing was changed
== exit 1 after 0 s
`;

/** As OpenSSH 10 says it. */
const HOST_KEY = `The fingerprint for the ED25519 key sent by the remote host is
SHA256:y7HVxniN128b.
Please contact your system administrator.
Add correct host key in /tmp/x/old to get rid of this message.
Host key verification failed.
`;

/** ssh: `answers[ADDRESS]` is what it prints and how it ends. */
function ssh(
  answers: Record<string, { code?: number; stdout?: string; stderr?: string }>,
): NodeJS.ProcessEnv {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  const cases = Object.entries(answers).map(([address, { code = 0, stdout = "", stderr = "" }], i) => {
    writeFileSync(join(folder, `out${i}`), stdout);
    writeFileSync(join(folder, `err${i}`), stderr);
    return `*@${address}) cat ${folder}/out${i}; cat ${folder}/err${i} >&2; exit ${code} ;;`;
  });
  writeFileSync(
    join(bin, "ssh"),
    `#!/bin/bash
host=''
for word in "$@"; do case $word in *@*[0-9]) [ -n "$host" ] || host=$word ;; esac; done
printf '%s\\0' "$@" >"${folder}/words-\${host#*@}"
for word in "$@"; do case $word in UserKnownHostsFile=*) cp "\${word#*=}" "${folder}/known-\${host#*@}" ;; esac; done
case $host in
${cases.join("\n")}
esac
exit 99
`,
  );
  chmodSync(join(bin, "ssh"), 0o755);
  return { PATH: `${bin}:/usr/bin:/bin` };
}
const words = (address: string) =>
  readFileSync(join(folder, `words-${address}`), "utf8")
    .split("\0")
    .slice(0, -1);
const look = (env: NodeJS.ProcessEnv, names: string[] = [], operatorKey = join(folder, "none")) =>
  lookAt(program, { stack: "lab", names, root: folder, operatorKey, env });

describe("looking at servers", () => {
  it("signs in as `up` will, and records nothing there", async () => {
    const jump = { host: "198.51.100.9", user: "hop", hostKey: KEY };
    stack({
      baremetal: { user: "ops", port: 2222, keyFile: keyFile(), jump },
      nodes: [metal(0), metal(1)],
      firewall,
    });
    const env = ssh({ "192.0.2.10": { stdout: answer(FACTS) } });
    const temporary = join(folder, "tmp");
    mkdirSync(temporary);
    vi.stubEnv("TMPDIR", temporary);
    const [report] = await look(env, ["metal-0"]).finally(() => vi.unstubAllEnvs());
    expect(report).toMatchObject({ node: "metal-0", state: "adoptable", problems: [] });
    const said = words("192.0.2.10");
    expect(said).toEqual(
      expect.arrayContaining(["-F", "none", "-p", "2222", "ops@192.0.2.10", join(folder, "key")]),
    );
    for (const option of [
      "StrictHostKeyChecking=yes",
      "BatchMode=yes",
      "ControlMaster=no",
      "IdentitiesOnly=yes",
    ])
      expect(said).toContain(option);
    // ssh takes the first of several values.
    expect(said.indexOf("ControlMaster=no")).toBeLessThan(said.indexOf("ControlMaster=auto"));
    expect(said.find((word) => word.startsWith("ProxyCommand="))).toContain("-l hop -p 22");
    expect(readFileSync(join(folder, "known-192.0.2.10"), "utf8")).toBe(
      `[192.0.2.10]:2222 ${KEY}\n198.51.100.9 ${KEY}\n`,
    );
    const script = stageBody(said.at(-1) ?? "");
    expect(script).toContain('step "what will change"'.replaceAll('"', "'"));
    expect(script).toContain("fact before");
    expect(script).not.toContain("line stack");
    expect(script).not.toContain('place 0600 "$record"');
    expect(spawnSync("bash", ["-n"], { input: script, encoding: "utf8" }).stderr).toBe("");
    // Only the one that was named; and the known hosts are gone with the look.
    expect(existsSync(join(folder, "words-192.0.2.11"))).toBe(false);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("tells of each server by itself", async () => {
    stack({ baremetal: { keyFile: keyFile() }, nodes: [metal(0), metal(1), metal(2)], firewall });
    const env = ssh({
      "192.0.2.10": { stdout: answer(FACTS) },
      "192.0.2.11": { code: 1, stderr: REFUSAL },
      "192.0.2.12": { code: 255, stderr: HOST_KEY },
    });
    const reports = await look(env);
    expect(reports.map(({ node, state }) => [node, state])).toEqual([
      ["metal-0", "adoptable"],
      ["metal-1", "refused"],
      ["metal-2", "unknown"],
    ]);
    expect(reports.map(program.describeReport).join("\n\n")).toBe(`metal-0: can be adopted
  What is there:
  - login ops, with sudo; private address on eth1; time from chrony
  - people: alice
  - disks: sda 2.0 TB (xfs) at /data
  - Docker 26.1.5 (docker.io): 3 containers, 2 running
  - firewall: ufw inactive
  What Berth will change:
  - enables ufw: nothing comes in but what the plan allows

metal-1: cannot be adopted as it is
  - Docker is a snap: snap remove docker
  - port 10022 (berth:ports.users) is taken by nginx

metal-2: not looked at
  it shows another host key than hostKey says: SHA256:y7HVxniN128b. Nothing was sent to it. On the machine: ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub`);
  });

  it("needs no secret of the stack, and leaves what is secret alone", () => {
    const text = stringify({
      encryptionsalt: "v1:abc",
      config: {
        "berth:nodes": [metal(0)],
        "berth:users": [{ name: "alice", node: "metal-0", password: { secure: "v1:xyz" }, keys: [KEY] }],
        "digitalocean:token": { secure: "v1:token" },
        "berth:firewall": firewall,
      },
    });
    const raw = program.rawConfig(text, "config:\n  users: { default: [] }\n  gpu: { default: {} }\n");
    expect(Object.keys(raw).sort()).toEqual(["berth:firewall", "berth:gpu", "berth:nodes", "berth:users"]);
    expect(JSON.parse(raw["berth:users"] ?? "")).toEqual([{ name: "alice", node: "metal-0", keys: [KEY] }]);
    expect(program.rawConfig("{}", "name: x\n")).toEqual({});
  });
});

describe("what is wrong before any look", () => {
  const key = () => ({ baremetal: { keyFile: keyFile() }, firewall });
  const cases: [string, () => Record<string, unknown>, string[], string | RegExp][] = [
    [
      "another node",
      () => ({ ...key(), nodes: [metal(0)] }),
      ["gpu-7"],
      "gpu-7: no server of stack lab. Its servers (kind: baremetal): metal-0.",
    ],
    [
      "no server at all",
      () => ({ nodes: [local("head", "head", "10.88.0.10")] }),
      [],
      "Stack lab has no server",
    ],
    [
      "a configuration with mistakes",
      () => ({ ...key(), nodes: [metal(0, { cpus: -1 }), metal(1, { memory: "lots" })] }),
      [],
      /cpus[\s\S]*memory/,
    ],
    [
      "placeholders",
      () => ({ ...key(), nodes: [metal(0, { hostKey: "<host key>" })] }),
      [],
      "node metal-0: still a placeholder, and needed to sign in: hostKey <host key>",
    ],
    [
      "a key that is not here",
      () => ({ baremetal: { keyFile: "/nowhere/key" }, nodes: [metal(0), metal(1)], firewall }),
      [],
      /metal-0: keyFile \/nowhere\/key does not exist[\s\S]*metal-1: keyFile/,
    ],
    [
      "the stack's key before there is one",
      () => ({ nodes: [metal(0)], firewall }),
      [],
      /metal-0: it is opened with the stack's own key, and .*none is not here yet/,
    ],
  ];
  it.each(cases)("%s: exit code 2, and ssh is not started", async (_, config, names, message) => {
    stack(config());
    const env = ssh({ "192.0.2.10": { stdout: answer(FACTS) } });
    const error = await look(env, names).then(
      () => new Error("it looked"),
      (reason: Error & { exitCode?: number }) => reason,
    );
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ exitCode: 2 });
    expect(existsSync(join(folder, "words-192.0.2.10"))).toBe(false);
  });

  it("a stack without a file", async () => {
    await expect(look(ssh({}))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("no stack lab"),
    });
  });

  it("other placeholders are no hindrance: the look is what they wait for", async () => {
    const storage = {
      devices: [
        { match: { serial: "<serial number of the data disk>" }, filesystem: "xfs", mount: "/mnt/storage" },
      ],
    };
    stack({ ...key(), nodes: [metal(0, { storage })] });
    const [report] = await look(ssh({ "192.0.2.10": { stdout: answer(FACTS) } }));
    expect(report).toMatchObject({ state: "adoptable", omitted: ["storage.devices[0]"] });
    expect(report && program.describeReport(report)).toContain(
      "Not looked at, still placeholders: storage.devices[0]",
    );
    expect(words("192.0.2.10").at(-1)).not.toContain("serial number");
  });
});

describe("the report", () => {
  it("does not take an odd answer for a good one", () => {
    const state = (code: number | null, stdout: string, stderr: string) =>
      program.readReport({ node: "m", omitted: [] }, code, stdout, stderr);
    expect(state(0, "Welcome!\n", "")).toMatchObject({
      state: "unknown",
      problems: [expect.stringContaining("login banner")],
    });
    expect(state(0, "", "")).toMatchObject({ state: "unknown" });
    expect(
      state(1, "", "stage preflight on m: ops is not root and has no sudo without a password\n"),
    ).toMatchObject({
      state: "unknown",
      problems: [
        "the look ended with 1: stage preflight on m: ops is not root and has no sudo without a password",
      ],
    });
    expect(state(null, "", "ssh: not done after 600 s, so it was ended").problems[0]).toContain(
      "a signal: ssh: not done",
    );
    expect(state(255, "", "ssh: connect to host 10.0.0.1 port 22: No route to host\n").problems).toEqual([
      "it cannot be signed in to: ssh: connect to host 10.0.0.1 port 22: No route to host",
    ]);
    expect(state(255, "", "").problems).toEqual(["it cannot be signed in to: without a word"]);
  });

  it("says when nothing will change", () => {
    const found = program.readReport(
      { node: "m", omitted: [] },
      0,
      answer({ ...FACTS, docker: "", users: [], disks: [], willChange: [] }),
      "",
    );
    expect(program.describeReport(found)).toContain("Berth will change nothing: it is set up already.");
    expect(program.describeReport(found)).toContain("- no Docker");
  });
});

describe("the command", () => {
  const command = (...args: string[]) => {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      [join(ROOT, "scripts/preflight.mjs"), ...args],
      {
        encoding: "utf8",
        env: { ...process.env, BERTH_HOME: join(folder, "home") },
      },
    );
    return { status, stderr, stdout };
  };
  it("tells what is missing in the committed stack of servers, with exit code 2", () => {
    const { status, stderr } = command("--stack", "metal");
    expect(stderr).toContain(
      "node metal-0: still a placeholder, and needed to sign in: address <public address>",
    );
    expect(stderr).toContain("node metal-1: still a placeholder");
    expect(status).toBe(2);
  });

  it("knows its options", () => {
    expect(command("--polish").status).toBe(2);
    expect(command("--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("Exit codes: 0") });
  });
});
