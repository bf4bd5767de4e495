/**
 * How a bare-metal node is reached: against real OpenSSH servers, one of them as the jump host, by the very options
 * that the official Docker provider hands to `ssh` and by our plugin's reading of the same options.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { SshTarget } from "../../components/node/connection";
import { baremetalAccess, SshAccessError } from "../../components/node/ssh-access";
import { deriveSshKey } from "../../components/secrets/derive";
import type { BaremetalNodePlan, KeyPlan } from "../../config";
import { type SshConnection, SshPool } from "../../plugins/base/src/index";
import { parseHost } from "../../plugins/docker/src/config/host";
import { parseSshOptions } from "../../plugins/docker/src/config/sshopts";
import { sshConnection } from "../../plugins/docker/src/engine/ssh";
import { type Sshd, startSshd } from "../fakes/sshd";
import { missing } from "../lib/programs";
import { until } from "../lib/until";

const stackKey = deriveSshKey("seed", "operator/ssh");
let folder: string;
const files = () => ({
  folder,
  operatorKey: join(folder, "id_ed25519"),
  knownHosts: join(folder, "known_hosts-gpu-1"),
});
const at = (name: string) => join(folder, name);

const plan = (more: Partial<BaremetalNodePlan> = {}): BaremetalNodePlan => ({
  kind: "baremetal",
  name: "gpu-1",
  role: "worker",
  address: "192.0.2.7",
  privateAddress: "10.0.0.7",
  sshUser: "ops",
  sshPort: 2222,
  hostKey: "ssh-ed25519 AAAAnode",
  key: { from: "stack" },
  cpus: 8,
  memoryBytes: 2 ** 34,
  ray: { cpus: 8, memoryBytes: 2 ** 33 },
  storage: {},
  runtime: {},
  ...more,
});
const jump = { host: "bastion.example", user: "hop", port: 22, hostKey: "ssh-ed25519 AAAAjump" };

/** A plain copy of a target, with what is secret in it shown as such. */
async function opened(target: SshTarget): Promise<Record<string, unknown>> {
  const open = async (value: unknown): Promise<unknown> => {
    if (pulumi.Output.isInstance(value)) {
      const known = await (value as unknown as { promise(): Promise<unknown> }).promise();
      return { secret: await pulumi.isSecret(value), value: known };
    }
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await open(v)] as const)),
    );
  };
  return (await open(target)) as Record<string, unknown>;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-access-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("what a plan asks for", () => {
  it("is one server with the stack's key, secret", async () => {
    const { target, knownHosts, sshOptions } = baremetalAccess(plan(), files(), stackKey);
    expect(await opened(target)).toEqual({
      address: "192.0.2.7",
      port: 2222,
      user: "ops",
      privateKey: { secret: true, value: stackKey.privateKey },
      hostKey: "ssh-ed25519 AAAAnode",
    });
    expect(knownHosts).toEqual(["[192.0.2.7]:2222 ssh-ed25519 AAAAnode\n"]);
    expect(sshOptions.slice(0, 2)).toEqual(["-i", files().operatorKey]);
    expect(sshOptions).toContain("StrictHostKeyChecking=yes");
    expect(sshOptions).toContain(`UserKnownHostsFile=${files().knownHosts}`);
    expect(sshOptions.join(" ")).not.toContain("ProxyCommand");
    expect(JSON.stringify(sshOptions)).not.toContain("PRIVATE KEY");
  });

  it("goes through the jump host with the same key, each with a host key of its own", async () => {
    writeFileSync(at("key"), stackKey.privateKey, { mode: 0o600 });
    const { target, knownHosts, sshOptions } = baremetalAccess(
      plan({ jump, key: { from: "file", path: at("key") } }),
      files(),
      stackKey,
    );
    const privateKey = { secret: true, value: stackKey.privateKey };
    expect(await opened(target)).toMatchObject({
      privateKey,
      jump: {
        address: "bastion.example",
        port: 22,
        user: "hop",
        privateKey,
        hostKey: "ssh-ed25519 AAAAjump",
      },
    });
    expect(knownHosts).toEqual([
      "[192.0.2.7]:2222 ssh-ed25519 AAAAnode\n",
      "bastion.example ssh-ed25519 AAAAjump\n",
    ]);
    expect(sshOptions.at(-1)).toBe(
      `ProxyCommand=ssh -F none -i ${at("key")} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes ` +
        `-o UserKnownHostsFile=${files().knownHosts} -o ConnectTimeout=8 -o ServerAliveInterval=15 ` +
        "-o ServerAliveCountMax=3 -l hop -p 22 -W '[%h]:%p' bastion.example",
    );
  });

  it("leaves the agent to be found where the provider runs: no path that changes with each login", async () => {
    const socket = at("agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    try {
      await until("the agent answers", 30_000, () => existsSync(socket));
      const { target, sshOptions } = baremetalAccess(
        plan({ jump, key: { from: "agent" } }),
        files(),
        stackKey,
        { env: { SSH_AUTH_SOCK: socket }, preview: false },
      );
      expect(Object.keys(target)).toEqual(["address", "port", "user", "hostKey", "jump"]);
      expect(JSON.stringify({ target, sshOptions })).not.toContain(socket);
      expect(sshOptions).not.toContain("-i");
      expect(sshOptions).toContain("IdentityAgent=SSH_AUTH_SOCK");
      expect(sshOptions).not.toContain("IdentitiesOnly=yes");
      expect(sshOptions.at(-1)).toContain("-o IdentityAgent=SSH_AUTH_SOCK");
    } finally {
      agent.kill();
    }
  });

  it("refuses a path that a ProxyCommand cannot carry, and takes it where there is no jump host", () => {
    mkdirSync(at("my keys"));
    const path = at("my keys/id");
    writeFileSync(path, stackKey.privateKey, { mode: 0o600 });
    const key: KeyPlan = { from: "file", path };
    expect(() => baremetalAccess(plan({ jump, key }), files(), stackKey)).toThrow(
      /node gpu-1: behind a jump host, ".*my keys\/id" cannot be handed/,
    );
    expect(baremetalAccess(plan({ key }), files(), stackKey).sshOptions).toContain(path);
  });
});

describe("a key that cannot be used", () => {
  const withKey = (text: string, mode = 0o600) => {
    writeFileSync(at("key"), text);
    chmodSync(at("key"), mode);
    return baremetalAccess(plan({ key: { from: "file", path: at("key") } }), files(), stackKey, {
      preview: false,
    });
  };
  const keygen = (...args: string[]) => {
    execFileSync("ssh-keygen", ["-q", "-f", at("made"), ...args]);
    return execFileSync("cat", [at("made")], { encoding: "utf8" });
  };

  it("is missing", () => {
    const path = at("none");
    const access = () =>
      baremetalAccess(plan({ key: { from: "file", path } }), files(), stackKey, { preview: false });
    expect(access).toThrow(SshAccessError);
    expect(access).toThrow(`node gpu-1: keyFile ${path} does not exist on this computer`);
  });

  it.skipIf(missing("ssh-keygen")).each([
    ["ed25519", ["-t", "ed25519", "-N", "secret phrase"]],
    ["PEM", ["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret phrase"]],
    ["PKCS8", ["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret phrase"]],
  ])("has a passphrase: %s", (_, args) => {
    const text = keygen(...args);
    expect(() => withKey(text)).toThrow(/has a passphrase.*set agent: true/);
    const secret = text.split("\n").find((line) => line.length > 40) as string;
    expect(() => withKey(text)).not.toThrow(secret);
  });

  it.skipIf(missing("ssh-keygen")).each([
    ["ed25519", ["-t", "ed25519", "-N", ""]],
    ["PEM", ["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]],
    ["PKCS8", ["-t", "ecdsa", "-m", "PKCS8", "-N", ""]],
  ])("is taken without one: %s", async (_, args) => {
    const text = keygen(...args);
    expect(await opened(withKey(text).target)).toMatchObject({ privateKey: { secret: true, value: text } });
  });

  it.each([
    ["ssh-ed25519 AAAA me@here\n", /is a public key: name the private one/],
    ["PuTTY-User-Key-File-3: ssh-ed25519\n", /is a key of PuTTY/],
    ["hello\n", /is no SSH private key/],
    ["", /is no SSH private key/],
  ])("holds %j", (text, message) => expect(() => withKey(text)).toThrow(message));

  it("is open to others, which ssh refuses", () => {
    expect(() => withKey(stackKey.privateKey, 0o640)).toThrow(
      /can be read by others \(mode 640\).*chmod 600/,
    );
  });

  it("is an agent that is not there", () => {
    const agent = (env: Record<string, string>) =>
      baremetalAccess(plan({ key: { from: "agent" } }), files(), stackKey, { env, preview: false });
    expect(() => agent({})).toThrow(/SSH_AUTH_SOCK is not set/);
    expect(() => agent({ SSH_AUTH_SOCK: at("gone") })).toThrow(/where no agent listens/);
  });

  it("does not stop a preview, which says so", async () => {
    const warnings: string[] = [];
    const context = { env: {}, preview: true, warn: (text: string) => warnings.push(text) };
    for (const key of [{ from: "agent" }, { from: "file", path: "<path of the key>" }] as KeyPlan[]) {
      baremetalAccess(plan({ key }), files(), stackKey, context);
    }
    const hop = { ...jump, host: "<bastion>" };
    baremetalAccess(plan({ jump: hop }), files(), stackKey, context);
    expect(warnings).toEqual([
      expect.stringMatching(/SSH_AUTH_SOCK is not set.*An update will need it\.$/),
      expect.stringMatching(/is still a placeholder.*An update will need it\.$/),
    ]);
  });
});

describe.skipIf(missing("sshd", "ssh-keygen"))("real servers", () => {
  let bastion: Sshd;
  let node: Sshd;
  const pool = new SshPool({ idleMs: 200 });

  beforeAll(async () => {
    bastion = await startSshd();
    node = await startSshd();
  });
  afterAll(async () => {
    await pool.close();
    await Promise.all([bastion?.stop(), node?.stop()]);
  });

  /** The bastion's key opens both: the node gets it as an authorised one. */
  const real = (more: Partial<BaremetalNodePlan> = {}): BaremetalNodePlan => {
    writeFileSync(`${node.keyPath}.pub`, execFileSync("cat", [`${bastion.keyPath}.pub`]));
    return plan({
      address: "127.0.0.1",
      sshPort: node.port,
      sshUser: node.user,
      hostKey: node.hostKey.split(" ").slice(0, 2).join(" "),
      key: { from: "file", path: bastion.keyPath },
      jump: {
        host: "127.0.0.1",
        port: bastion.port,
        user: bastion.user,
        hostKey: bastion.hostKey.split(" ").slice(0, 2).join(" "),
      },
      ...more,
    });
  };
  const access = (of: BaremetalNodePlan, env = process.env) => {
    const made = baremetalAccess(of, files(), stackKey, { env, preview: false });
    writeFileSync(files().knownHosts, made.knownHosts.join(""));
    return made;
  };
  const url = (of: BaremetalNodePlan) => `ssh://${of.sshUser}@${of.address}:${of.sshPort}`;
  const host = (of: BaremetalNodePlan) => parseHost(url(of)) as { kind: "ssh"; host: string };
  /** As the official provider's connection helper starts it. */
  const ssh = (of: BaremetalNodePlan, options: string[]) => {
    // The first value counts: no shared connection, so that each test makes its own.
    const alone = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
    const to = ["-l", of.sshUser, "-p", String(of.sshPort), "--", of.address, "echo in"];
    return spawnSync("ssh", [...alone, ...options, ...to], { encoding: "utf8", timeout: 20_000 });
  };
  /** Sign-ins at the bastion. */
  const hops = () => [...bastion.log().matchAll(/^Accepted publickey /gm)].length;
  const plugin = async (of: BaremetalNodePlan, options: string[]) => {
    const connection: SshConnection = await sshConnection(host(of), parseSshOptions(options));
    const { stdout } = await pool.exec({ ...connection, dialErrorLimit: 0 }, "echo in");
    return stdout.toString();
  };

  it("are reached through the jump host by ssh and by the plugin", async () => {
    const of = real();
    const { sshOptions } = access(of);
    const before = hops();
    expect(ssh(of, sshOptions)).toMatchObject({ stdout: "in\n", stderr: "", status: 0 });
    await until("one more hop", 30_000, () => hops() - before === 1);
    expect(await plugin(of, sshOptions)).toBe("in\n");
    await until("two more hops", 30_000, () => hops() - before === 2);
  });

  it("are reached by the remote commands' connection, which is the same", async () => {
    const of = real();
    interface Server extends Record<"address" | "user" | "hostKey", string> {
      port: number;
      privateKey: { value: string };
    }
    const target = (await opened(access(of).target)) as unknown as Server & { jump: Server };
    const server = ({ address, port, user, privateKey, hostKey }: Server): SshConnection => ({
      ...{ port, user, hostKey, dialErrorLimit: 0 },
      host: address,
      privateKey: privateKey.value,
    });
    const connection = { ...server(target), proxy: server(target.jump) };
    expect((await pool.exec(connection, "echo in")).stdout.toString()).toBe("in\n");
  });

  it("are refused when the jump host shows another key, by both", async () => {
    const of = real();
    const wrong = { ...of, jump: { ...(of.jump as NonNullable<typeof of.jump>), hostKey: of.hostKey } };
    const { sshOptions } = access(wrong);
    const before = hops();
    const { status, stderr, stdout } = ssh(wrong, sshOptions);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(
      /host key for .* has changed|REMOTE HOST IDENTIFICATION|Host key verification failed/i,
    );
    await expect(plugin(wrong, sshOptions)).rejects.toThrow(/proxy: .*showed the host key/);
    expect(hops()).toBe(before);
  });

  it("are opened by the agent's keys, at the jump host and behind it", async () => {
    const socket = at("agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    vi.stubEnv("SSH_AUTH_SOCK", socket);
    try {
      await until("the agent answers", 30_000, () => existsSync(socket));
      const of = real({ key: { from: "agent" } });
      const { sshOptions } = access(of);
      // The agent is empty: nobody else's key is tried in its place.
      expect(ssh(of, sshOptions).status).not.toBe(0);
      await expect(plugin(of, sshOptions)).rejects.toThrow(/proxy: /);
      execFileSync("ssh-add", ["-q", bastion.keyPath], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
      expect(ssh(of, sshOptions)).toMatchObject({ stdout: "in\n", status: 0 });
      expect(await plugin(of, sshOptions)).toBe("in\n");
      vi.stubEnv("SSH_AUTH_SOCK", "");
      await expect(plugin(of, sshOptions)).rejects.toThrow(/SSH_AUTH_SOCK is not set/);
    } finally {
      vi.unstubAllEnvs();
      agent.kill();
    }
  });
});
