/**
 * What the SSH servers of nodes and workspaces offer, asked of a real OpenSSH with the rendered lines.
 * Proves: nothing is offered that ssh-audit 3.3 marks as a failure, or as a weakness that a server can avoid; ssh2,
 * which Berth's plugins dial with, and clients of OpenSSH 6.5 and of Go sign in with what remains.
 */
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SSH_ALGORITHMS, SSHD } from "../../components/host/sshd";
import { SshPool } from "../../plugins/base/src/index";
import { type Sshd, startSshd } from "../fakes/sshd";
import { missing } from "../lib/programs";

const PYTHON = `
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
from berth_workspace import render
found = SimpleNamespace(user="alice", home="/home/alice", ray=None, secrets={})
print(render.sshd(found))
`;
const workspace = spawnSync(
  "python3",
  ["-I", "-c", PYTHON, resolve("images/workspace/root/usr/local/lib/berth")],
  { encoding: "utf8" },
).stdout;

/** Lines of the rendered text that a server of any version takes, and that no test needs otherwise. */
const ASKED = /^(KexAlgorithms|MACs|Ciphers|HostKeyAlgorithms|X11Forwarding) /;
const linesOf = (text: string) => text.split("\n").filter((line) => ASKED.test(line));

/** Names that ssh-audit 3.3 has no failure and no avoidable warning for; `kex-strict…` and `ext-info…` are marks. */
const SOUND = {
  kex: /^(mlkem768x25519-sha256|sntrup761x25519-sha512(@openssh\.com)?|curve25519-sha256(@libssh\.org)?|ext-info-s|kex-strict-s-v00@openssh\.com)$/,
  hostKey: /^ssh-ed25519$/,
  cipher: /^(chacha20-poly1305@openssh\.com|aes(128|192|256)-ctr|aes(128|256)-gcm@openssh\.com)$/,
  mac: /^(umac-128|hmac-sha2-256|hmac-sha2-512)-etm@openssh\.com$/,
};

/** The name lists of the server's first message, SSH_MSG_KEXINIT (RFC 4253, 7.1). */
async function offered(port: number): Promise<Record<keyof typeof SOUND, string[]>> {
  const bytes = await new Promise<Buffer>((done, failed) => {
    let all = Buffer.alloc(0);
    const socket = connect(port, "127.0.0.1", () => socket.write("SSH-2.0-test\r\n"));
    socket.on("error", failed);
    socket.on("data", (chunk) => {
      all = Buffer.concat([all, chunk]);
      const start = all.indexOf("\n") + 1;
      if (start > 0 && all.length >= start + 4 && all.length >= start + 4 + all.readUInt32BE(start)) {
        socket.destroy();
        done(all.subarray(start));
      }
    });
  });
  expect(bytes[5]).toBe(20);
  let at = 6 + 16;
  const next = () => {
    const length = bytes.readUInt32BE(at);
    const text = bytes.toString("ascii", at + 4, at + 4 + length);
    at += 4 + length;
    return text.split(",");
  };
  const [kex, hostKey, cipher, , mac] = [next(), next(), next(), next(), next()];
  return { kex, hostKey, cipher, mac } as Record<keyof typeof SOUND, string[]>;
}

it("a workspace's server has the lines of a node's", () => {
  expect(workspace).toContain(SSH_ALGORITHMS);
  expect(workspace.match(/^HostKey .*$/gm)).toEqual(["HostKey /run/berth/ssh_host_ed25519_key"]);
  for (const text of [workspace, SSHD]) expect(linesOf(text)).toContain("X11Forwarding no");
});

describe.skipIf(missing("sshd", "ssh-keygen")).each([
  ["a node", linesOf(SSHD)],
  ["a workspace", linesOf(workspace)],
])("the SSH server of %s", (_, lines) => {
  let sshd: Sshd;
  const pool = new SshPool({ idleMs: 500 });
  beforeAll(async () => {
    sshd = await startSshd(lines);
  });
  afterAll(async () => {
    await pool.close();
    await sshd?.stop();
  });
  const ssh = (...options: string[]) =>
    spawnSync(
      "ssh",
      [
        ...["-F", "none", "-i", sshd.keyPath, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"],
        ...["-o", "UserKnownHostsFile=/dev/null", "-p", String(sshd.port)],
        ...options.flatMap((option) => ["-o", option]),
        ...[`${sshd.user}@127.0.0.1`, "echo in"],
      ],
      { encoding: "utf8" },
    );

  it("offers nothing weak", async () => {
    const lists = await offered(sshd.port);
    for (const [kind, names] of Object.entries(lists)) {
      expect(names, kind).not.toEqual([]);
      for (const name of names) expect(name, kind).toMatch(SOUND[kind as keyof typeof SOUND]);
    }
  });

  it("lets Berth's own SSH client in", async () => {
    const to = { host: "127.0.0.1", port: sshd.port, user: sshd.user };
    const { stdout } = await pool.exec(
      { ...to, privateKey: sshd.privateKey, hostKey: sshd.hostKey },
      "echo in",
    );
    expect(stdout.toString()).toBe("in\n");
  });

  it.each([
    ["OpenSSH 6.5", "curve25519-sha256@libssh.org", "aes128-ctr", "hmac-sha2-256-etm@openssh.com"],
    ["Go", "curve25519-sha256", "aes128-gcm@openssh.com", "hmac-sha1"],
  ])("lets in a client that knows what %s knows", (_, kex, cipher, mac) => {
    const done = ssh(`KexAlgorithms=${kex}`, `Ciphers=${cipher}`, `MACs=${mac}`);
    expect(done).toMatchObject({ stdout: "in\n", status: 0 });
  });

  it.each([
    ["KexAlgorithms=ecdh-sha2-nistp256", "no matching key exchange"],
    ["KexAlgorithms=ecdh-sha2-nistp521", "no matching key exchange"],
    ["KexAlgorithms=diffie-hellman-group14-sha1", "no matching key exchange"],
    ["KexAlgorithms=diffie-hellman-group16-sha512", "no matching key exchange"],
    ["KexAlgorithms=diffie-hellman-group-exchange-sha256", "no matching key exchange"],
    ["MACs=hmac-sha1", "no matching MAC"],
    ["MACs=hmac-sha1-etm@openssh.com", "no matching MAC"],
    ["MACs=umac-64@openssh.com", "no matching MAC"],
    ["MACs=umac-64-etm@openssh.com", "no matching MAC"],
    ["MACs=hmac-sha2-256", "no matching MAC"],
    ["HostKeyAlgorithms=ecdsa-sha2-nistp256", "no matching host key type"],
  ])("refuses a client of %s alone", (option, text) => {
    const done = ssh(option, "Ciphers=aes128-ctr");
    expect(done.status).toBe(255);
    expect(done.stderr).toContain(text);
  });
});
