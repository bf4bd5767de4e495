/**
 * The user data of a new machine.
 * Proves: its text is what was reviewed (snapshots); the script is valid bash that shellcheck accepts; cloud-init's
 * own schema accepts the configuration without a warning; whatever the options hold is a value there and nothing
 * else; wrong options are refused all at once, without the private key. That a machine starts with it is not proved.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  cloudConfig,
  renderUserData,
  UserDataError,
  type UserDataOptions,
  userDataLimit,
  userDataMarker,
  userDataSize,
} from "../../cloud-init";
import { deriveSshKey } from "../../components/secrets/derive";
import { character, LAST_CHARACTER, placeOf } from "../lib/characters";
import { missing, shellcheck } from "../lib/programs";

const hostKey = deriveSshKey("seed-of-the-unit-tests", "node/node-0/host-key");
const key = `${deriveSshKey("seed-of-the-unit-tests", "operator/ssh").publicKey} berth`;
const root: UserDataOptions = { node: "node-0", hostKey, login: { name: "root", keys: [key] } };
const operator: UserDataOptions = {
  node: "gpu-1",
  hostKey,
  login: { name: "ops", keys: [key, `${key}'s "other" key: # \\ é 😀`] },
  swapBytes: 2 * 2 ** 30,
};
const variants: [string, UserDataOptions][] = [
  ["root", root],
  ["an operator, with swap", operator],
];

const part = (options: UserDataOptions, type: "text/cloud-config" | "text/x-shellscript"): string => {
  const found = renderUserData(options).parts.filter(({ contentType }) => contentType === type);
  expect(found).toHaveLength(1);
  return found[0]?.content ?? "";
};
const config = (options: UserDataOptions) => parse(part(options, "text/cloud-config"));

const found = (command: string) => spawnSync(command, ["--version"]).status === 0;
const cloudInit = found("cloud-init");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-cloud-init-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(variants)("the user data for %s", (name, options) => {
  it("is what was reviewed", () => {
    const { parts } = renderUserData(options);
    expect(parts.map(({ filename, contentType }) => `${filename} ${contentType}`)).toEqual([
      "berth.yaml text/cloud-config",
      "berth-first-boot.sh text/x-shellscript",
    ]);
    const { write_files: files, ...rest } = config(options);
    // No private key in a committed file, not even one of the tests.
    rest.ssh_keys.ed25519_private = rest.ssh_keys.ed25519_private.length;
    expect(rest).toMatchSnapshot("configuration");
    for (const { path, permissions, content } of files)
      expect(content).toMatchSnapshot(`${path} ${permissions}`);
    expect(part(options, "text/x-shellscript")).toMatchSnapshot("script");
  });

  it("is ASCII, as 7-bit MIME carries it, and starts with the mark of its kind", () => {
    for (const { content, contentType } of renderUserData(options).parts) {
      expect(content).toMatch(/^[\n\x20-\x7e]+$/);
      expect(content.split("\n")[0]).toBe(
        contentType === "text/cloud-config" ? "#cloud-config" : "#!/bin/bash",
      );
    }
  });

  it("has a script that is valid for bash", () => {
    const input = part(options, "text/x-shellscript");
    expect(spawnSync("bash", ["-n"], { input, encoding: "utf8" }).stderr).toBe("");
  });

  it.skipIf(missing("shellcheck"))("has a script that passes shellcheck", () => {
    expect(shellcheck(part(options, "text/x-shellscript"), "-s", "bash")).toBe("");
  });

  it(cloudInit ? "passes cloud-init's schema" : "NOT CHECKED by cloud-init", (context) => {
    if (!cloudInit) {
      console.warn("cloud-init is not installed: the user data was NOT checked against its schema");
      context.skip("cloud-init is not installed");
    }
    const file = join(folder, `${name.replaceAll(/\W/g, "-")}.yaml`);
    writeFileSync(file, part(options, "text/cloud-config"));
    const ran = spawnSync("cloud-init", ["schema", "--config-file", file], { encoding: "utf8" });
    expect(ran.status, ran.stdout + ran.stderr).toBe(0);
    // A deprecated key is a warning in cloud-init's log.
    expect(ran.stdout + ran.stderr).not.toMatch(/deprecat|warn|invalid|error/i);
  });
});

it.runIf(cloudInit)("is checked by a schema that can refuse: a key of another shape fails", () => {
  const file = join(folder, "wrong.yaml");
  writeFileSync(file, cloudConfig({ ssh_keys: { ed25519_privat: "x" }, ssh_deletekeys: "yes, all" }));
  const ran = spawnSync("cloud-init", ["schema", "--config-file", file], { encoding: "utf8" });
  expect(ran.status).not.toBe(0);
});

describe("who gets in", () => {
  it.each(variants)("for %s: our host key alone, and nobody by password", (_, options) => {
    const { ssh_keys, ssh_deletekeys, ssh_pwauth, chpasswd, write_files } = config(options);
    expect(ssh_deletekeys).toBe(true);
    expect(ssh_keys).toEqual({
      ed25519_private: hostKey.privateKey,
      ed25519_public: `${hostKey.publicKey} ${options.node}\n`,
    });
    expect([ssh_pwauth, chpasswd]).toEqual([false, { expire: false }]);
    const dropIn = write_files.find((f: { path: string }) => f.path.includes("sshd_config.d")).content;
    for (const line of ["PasswordAuthentication no", "KbdInteractiveAuthentication no"])
      expect(dropIn.split("\n")).toContain(line);
    expect(dropIn.match(/^HostKey .*$/gm)).toEqual(["HostKey /etc/ssh/ssh_host_ed25519_key"]);
  });

  it("opens root's login by key where Berth signs in as root, and makes nobody else", () => {
    const { users, disable_root, write_files } = config(root);
    expect(disable_root).toBe(false);
    expect(users).toEqual([{ name: "root", lock_passwd: true, ssh_authorized_keys: [key] }]);
    expect(JSON.stringify(write_files)).toContain("PermitRootLogin prohibit-password\\n");
  });

  it("closes root's login where an operator signs in, who has sudo and no password", () => {
    const { users, disable_root, write_files } = config(operator);
    expect(disable_root).toBe(true);
    expect(users).toEqual([
      expect.objectContaining({
        name: "ops",
        lock_passwd: true,
        sudo: "ALL=(ALL:ALL) NOPASSWD: ALL",
        ssh_authorized_keys: operator.login.keys,
      }),
    ]);
    expect(JSON.stringify(write_files)).toContain("PermitRootLogin no\\n");
  });

  it("ends with no line break lost: OpenSSH refuses a private key without the last one", () => {
    const bare = { ...hostKey, privateKey: hostKey.privateKey.trimEnd() };
    expect(config({ ...root, hostKey: bare }).ssh_keys.ed25519_private).toBe(hostKey.privateKey);
  });
});

describe("the marker", () => {
  it("holds the hash, which changes with every option and with nothing else", () => {
    const hash = (options: UserDataOptions) => renderUserData(options).sha256;
    const script = part(root, "text/x-shellscript");
    expect(script).toContain(hash(root));
    expect(script).toContain(userDataMarker);
    expect(hash({ ...root })).toBe(hash(root));
    const others: UserDataOptions[] = [
      { ...root, node: "node-1" },
      { ...root, swapBytes: 2 ** 30 },
      { ...root, login: { name: "ops", keys: [key] } },
      { ...root, login: { name: "root", keys: [key, `${key}2`] } },
      { ...root, hostKey: deriveSshKey("another", "node") },
    ];
    expect(new Set([root, ...others].map(hash)).size).toBe(others.length + 1);
    for (const value of others.map(hash)) expect(value).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("the script", () => {
  /** Runs the script with stand-ins for what it calls; the files it writes are in a folder of the test. */
  function boot(sshd: string, keygen = hostKey.publicKey) {
    const at = mkdtempSync(join(folder, "boot-"));
    const script = part(root, "text/x-shellscript")
      .replaceAll("/usr/sbin/sshd", "sshd")
      .replaceAll("/run/sshd", join(at, "run"))
      .replaceAll(userDataMarker, join(at, "etc/marker"));
    const stubs = [
      `ssh-keygen() { echo '${keygen} comment'; }`,
      `sshd() { if [ "$1" = -T ]; then printf '%s\\n' ${sshd}; fi; }`,
      'systemctl() { echo "systemctl $*"; }',
    ].join("\n");
    const ran = spawnSync("bash", ["-c", `${stubs}\n${script}\ncat '${join(at, "etc/marker")}'`], {
      encoding: "utf8",
    });
    return { code: ran.status, out: ran.stdout, error: ran.stderr };
  }
  const good = "'passwordauthentication no' 'kbdinteractiveauthentication no'";
  const ours = "'hostkey /etc/ssh/ssh_host_ed25519_key'";

  it("marks a boot that took what decides who gets in", () => {
    expect(boot(`${good} ${ours}`)).toEqual({
      code: 0,
      out: `systemctl try-reload-or-restart ssh.service\n${renderUserData(root).sha256}\n`,
      error: "",
    });
  });

  it.each([
    [
      "passwords are still taken",
      `'passwordauthentication yes' 'kbdinteractiveauthentication no' ${ours}`,
      /'passwordauthentication no'/,
    ],
    [
      "another host key is shown too",
      `${good} ${ours} 'hostkey /etc/ssh/ssh_host_rsa_key'`,
      /more than one host key/,
    ],
    [
      "ours is not shown",
      `${good} 'hostkey /etc/ssh/ssh_host_rsa_key'`,
      /hostkey \/etc\/ssh\/ssh_host_ed25519_key/,
    ],
  ])("fails without a marker when %s", (_, sshd, message) => {
    const { code, out, error } = boot(sshd);
    expect([code, out]).toEqual([1, ""]);
    expect(error).toMatch(message);
  });

  it("fails when the machine has another host key", () => {
    const { code, error } = boot(`${good} ${ours}`, "ssh-ed25519 AAAAother");
    expect(code).toBe(1);
    expect(error).toContain("is not the host key of the user data");
  });
});

describe("cloudConfig", () => {
  const text = fc.oneof(
    fc.constantFrom(
      "yes",
      "no",
      "null",
      "~",
      "1e3",
      "0o17",
      "2026-01-01",
      "- a",
      "a: b",
      "#x",
      "{{ x }}",
      "%a",
      "\u2028",
      "\u007f",
      "\0",
      "😀",
    ),
    fc.string({ unit: "grapheme" }),
    fc.string({ unit: fc.nat(LAST_CHARACTER).map(character, placeOf) }),
  );
  const value = fc.dictionary(text, fc.oneof(text, fc.boolean(), fc.integer(), fc.array(text)), {
    maxKeys: 5,
  });

  it("reads back as what went in, whatever it is", () => {
    fc.assert(
      fc.property(value, (data) => {
        const document = cloudConfig(data);
        expect(document).toMatch(/^#cloud-config\n[\n\x20-\x7e]+\n$/);
        expect(parse(document)).toEqual({ ...data });
      }),
      { numRuns: 300 },
    );
  });

  const python = spawnSync("python3", ["-c", "import yaml"]).status === 0;
  it.runIf(python)("reads back the same with the parser that cloud-init uses", () => {
    const samples = fc.sample(value, { numRuns: 200, seed: 7 });
    const script =
      "import json, sys, yaml; print(json.dumps([yaml.safe_load(t) for t in json.load(sys.stdin)]))";
    const ran = spawnSync("python3", ["-c", script], {
      input: JSON.stringify(samples.map(cloudConfig)),
      encoding: "utf8",
    });
    expect(ran.stderr).toBe("");
    expect(JSON.parse(ran.stdout)).toEqual(samples.map((sample) => ({ ...sample })));
  });

  it("refuses what no YAML can hold", () => {
    for (const bad of ["\ud800", "a\udc00"]) expect(() => cloudConfig({ a: [bad] })).toThrow(/surrogate/);
    expect(() => cloudConfig({ "\ud800": 1 })).toThrow(/surrogate/);
    expect(() => cloudConfig({ a: Number.NaN })).toThrow(/no number/);
  });
});

describe("what is refused", () => {
  const problems = (options: UserDataOptions) => {
    try {
      renderUserData(options);
    } catch (error) {
      expect(error).toBeInstanceOf(UserDataError);
      return (error as UserDataError).problems.map((p) => p.option);
    }
    return [];
  };

  it("says everything at once, and never the private key", () => {
    const secret = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    const wrong: UserDataOptions = {
      node: "Node 0",
      hostKey: { privateKey: secret, publicKey: "ssh-rsa AAAA" },
      login: { name: "-x", keys: [`command="sh" ${key}`] },
      swapBytes: 1000,
    };
    expect(problems(wrong)).toEqual([
      "node",
      "hostKey.privateKey",
      "hostKey.publicKey",
      "login.name",
      "login.keys[0]",
      "swapBytes",
    ]);
    expect(() => renderUserData(wrong)).toThrow(/Allowed: root, or a-z/);
    expect(() => renderUserData(wrong)).not.toThrow(secret);
  });

  it.each<[string, Partial<UserDataOptions>, string]>([
    ["nobody's key", { login: { name: "root", keys: [] } }, "login.keys"],
    ["a key with a second line", { login: { name: "root", keys: [`${key}\n${key}`] } }, "login.keys[0]"],
    [
      "a public key with a comment",
      { hostKey: { ...hostKey, publicKey: `${hostKey.publicKey} x` } },
      "hostKey.publicKey",
    ],
    [
      "a quote in the host key",
      { hostKey: { ...hostKey, publicKey: `${hostKey.publicKey}'` } },
      "hostKey.publicKey",
    ],
    ["a swap file of half a MiB", { swapBytes: 2 ** 19 }, "swapBytes"],
    ["a name with a variable", { node: "a$(id)" }, "node"],
  ])("refuses %s", (_, change, option) => expect(problems({ ...root, ...change })).toEqual([option]));

  it("refuses a document above 64 KiB, and makes one that is just below", () => {
    const keys = (count: number) => Array.from({ length: count }, (_, i) => `${key} ${"x".repeat(900)} ${i}`);
    const with_ = (count: number) => ({ ...root, login: { name: "root", keys: keys(count) } });
    const below = renderUserData(with_(55));
    expect(userDataSize(below.parts)).toBeLessThanOrEqual(userDataLimit);
    expect(() => renderUserData(with_(70))).toThrow(/65536 bytes in all/);
  });
});
