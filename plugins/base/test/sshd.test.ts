/** The SSH pool against OpenSSH: signals, session limits, agents; what a fake server cannot prove. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sshd, startSshd } from "../../../test/fakes/sshd";
import { missing } from "../../../test/lib/programs";
import { until } from "../../../test/lib/until";
import { type SshConnection, SshPool } from "../src/index";

const withoutSshd = missing("sshd", "ssh-keygen");
let sshd: Sshd;
let folder: string;
const pool = new SshPool({ idleMs: 500 });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-ssh-"));
  if (!withoutSshd) sshd = await startSshd(["MaxSessions 3"]);
});

afterAll(async () => {
  await pool.close();
  await sshd?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const to = (): SshConnection => ({
  host: "127.0.0.1",
  port: sshd.port,
  user: sshd.user,
  privateKey: sshd.privateKey,
  hostKey: sshd.hostKey,
});

const alive = (path: string): boolean => {
  const pid = readFileSync(path, "utf8").trim();
  // A zombie has ended; only its parent has not looked yet.
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
};

describe.skipIf(withoutSshd)("OpenSSH", () => {
  it("takes many commands over one connection, within its MaxSessions", async () => {
    const before = sshd.connections();
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => pool.exec(to(), `echo ${i}; sleep 0.1`)),
    );
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(
      Array.from({ length: 10 }, (_, i) => `${i}\n`),
    );
    expect(sshd.connections() - before).toBe(1);
  });

  it("ends the right process, with its children, and leaves its neighbour alone", async () => {
    const control = new AbortController();
    const script = (name: string): string =>
      `echo $$ >${folder}/${name}; sleep 60 & echo $! >${folder}/${name}-child; wait`;
    const other = new AbortController();
    const neighbour = pool.exec(to(), script("neighbour"), { signal: other.signal }).catch((error) => error);
    const cut = pool.exec(to(), script("cut"), { signal: control.signal }).catch((error) => error);
    const files = ["cut", "cut-child", "neighbour", "neighbour-child"].map((name) => join(folder, name));
    await until("both run", 30_000, () =>
      files.every((file) => existsSync(file) && readFileSync(file, "utf8") !== ""),
    );
    control.abort();
    expect((await cut).kind).toBe("cancelled");
    await until("it is gone", 30_000, () => !alive(files[0] as string) && !alive(files[1] as string));
    expect(alive(files[2] as string) && alive(files[3] as string)).toBe(true);
    other.abort();
    await neighbour;
    await until("all are gone", 30_000, () => files.every((file) => !alive(file)));
  });

  it("kills what ignores TERM", async () => {
    const file = join(folder, "stubborn");
    const control = new AbortController();
    const work = pool
      .exec(to(), `trap "" TERM; echo $$ >${file}; while :; do sleep 0.2; done`, { signal: control.signal })
      .catch((error) => error);
    await until("it runs", 20_000, () => existsSync(file) && readFileSync(file, "utf8") !== "");
    control.abort();
    expect((await work).kind).toBe("cancelled");
    await until("it is gone", 20_000, () => !alive(file));
  });

  it("signs in with the keys of an agent", async () => {
    const socket = join(folder, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    try {
      await until("the agent answers", 30_000, () => existsSync(socket));
      execFileSync("ssh-add", ["-q", sshd.keyPath], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
      const { stdout } = await pool.exec(
        { ...to(), privateKey: undefined, agentSocketPath: socket },
        "echo in",
      );
      expect(stdout.toString()).toBe("in\n");
    } finally {
      agent.kill();
    }
  });
});
