/** The Python programs inside the workspace image, as far as they go without a container. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { python, WORKSPACE } from "./image-python";

const secrets = {
  password: "password-1",
  codePassword: "code%pass word".replaceAll(" ", "-"),
  jupyterToken: 'to"ken\\-1',
  tensorboardPassword: "board-pass-1",
  rayToken: "ray-token-1",
};
const workspace = {
  user: "alice",
  uid: 20000,
  gid: 20000,
  hostname: "alice",
  sudo: false,
  ports: {
    ssh: 10022,
    code: 10002,
    jupyter: 10003,
    tensorboard: 10004,
    vnc: 10000,
    novnc: 10001,
    rdp: 10005,
  },
  node: "node-1",
  resources: { cpus: 2, memoryBytes: 3 * 2 ** 30, shmBytes: 256 * 2 ** 20, pids: 4096 },
  ray: { address: "10.88.0.10:6379", client: "ray://10.88.0.10:30001", dashboard: "http://10.88.0.10:8265" },
};

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "berth-program-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function writeRun(change: Record<string, unknown> = {}, secretChange: Record<string, unknown> = {}): void {
  writeFileSync(join(dir, "workspace.json"), JSON.stringify({ ...workspace, ...change }));
  writeFileSync(join(dir, "secrets.json"), JSON.stringify({ ...secrets, ...secretChange }));
  writeFileSync(join(dir, "authorized_keys"), "ssh-ed25519 AAAA alice\n");
  writeFileSync(join(dir, "ssh_host_ed25519_key"), "key\n");
}

const READ = `
from berth_workspace import settings
try:
    found = settings.read(sys.argv[2])
    print(json.dumps({"user": found.user, "home": found.home, "shell": found.shell, "text": repr(found)}))
except settings.BadSettings as error:
    print(json.dumps({"wrong": str(error).split("\\n")}))
`;

describe("workspace settings", () => {
  it("reads what the node wrote, and keeps secrets out of its text", () => {
    writeRun();
    const found = python(READ, WORKSPACE, dir);
    expect(found).toMatchObject({ user: "alice", home: "/home/alice", shell: "/bin/bash" });
    for (const value of Object.values(secrets)) expect(found.text).not.toContain(value);
  });

  it.each([
    ["root", { user: "root" }, "user"],
    ["an option", { user: "-x" }, "user"],
    ["a path", { user: "../a" }, "user"],
    ["a system uid", { uid: 0 }, "uid"],
    ["a boolean uid", { uid: true }, "uid"],
    ["an unknown port", { ports: { ...workspace.ports, web: 80 } }, "ports.web"],
    ["a port too high", { ports: { ...workspace.ports, ssh: 70000 } }, "ports.ssh"],
    ["a service without a port", { ports: { ...workspace.ports, jupyter: undefined } }, "ports.jupyter"],
    ["a host with a port", { web: { hosts: ["alice.localhost:10002"] } }, "web.hosts\\[0\\]"],
    ["a host that is a pattern", { web: { hosts: ["alice.localhost", ".*"] } }, "web.hosts\\[1\\]"],
    ["a host with a quote", { web: { hosts: ['x" 1; "'] } }, "web.hosts\\[0\\]"],
    ["services that are published perhaps", { web: { published: "no" } }, "web.published"],
    ["a command of two lines", { web: { tunnel: "ssh -N\nrm" } }, "web.tunnel"],
    ["a shell that is no path", { shell: "bash; id" }, "shell"],
    ["a node that is no name", { node: "a\u001b[2J" }, "node"],
    [
      "a resource that is no number",
      { resources: { ...workspace.resources, pids: "many" } },
      "resources.pids",
    ],
    ["an address with a quote", { ray: { ...workspace.ray, client: 'ray://x"' } }, "ray.client"],
  ])("refuses %s", (_, change, path) => {
    writeRun(change);
    const lines: string[] = python(READ, WORKSPACE, dir).wrong;
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^workspace.json: ${path}: .* is not allowed; allowed: `));
  });

  it("names every mistake at once, and shows no secret", () => {
    writeRun(
      { user: "root", uid: 1 },
      { password: "short", jupyterToken: "with\nline-end-in-it", rayToken: "a:bcdefgh" },
    );
    const lines: string[] = python(READ, WORKSPACE, dir).wrong;
    expect(lines.map((line) => line.split(": ").slice(0, 2).join(" "))).toEqual([
      "workspace.json user",
      "workspace.json uid",
      "secrets.json password",
      "secrets.json jupyterToken",
      "secrets.json rayToken",
    ]);
    for (const value of ["short", "line-end", "a:b"]) expect(lines.join()).not.toContain(value);
  });

  it("says which files are missing", () => {
    expect(python(READ, WORKSPACE, dir).wrong).toEqual(
      ["workspace.json", "secrets.json", "authorized_keys", "ssh_host_ed25519_key"].map(
        (file) => `${dir}/${file}: No such file or directory`,
      ),
    );
  });
});

describe("workspace services", () => {
  const RENDER = `
import configparser
from berth_workspace import health, render, settings, welcome
found = settings.read(sys.argv[2])
supervisor = configparser.RawConfigParser()
supervisor.read_string(render.supervisor(found))
print(json.dumps({
  "programs": {s[8:]: dict(supervisor[s]) for s in supervisor.sections() if s.startswith("program:")},
  "supervisor": render.supervisor(found), "sshd": render.sshd(found), "nginx": render.nginx(found),
  "code": render.code_server(found, "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"),
  "jupyter": render.jupyter(found), "profile": render.profile(found), "sudoers": render.sudoers(found),
  "env": render.environment(found), "motd": welcome.motd(found), "texts": render.code_server_texts(),
  "checks": list(health.checks(found.ports)),
}))
`;

  it("run as the person, apart from the two that need root", () => {
    writeRun();
    const { programs } = python(RENDER, WORKSPACE, dir);
    expect(
      Object.fromEntries(
        Object.entries(programs).map(([name, one]) => [name, (one as { user: string }).user]),
      ),
    ).toEqual({
      services: "alice",
      sshd: "root",
      "code-server": "alice",
      jupyter: "alice",
      tensorboard: "alice",
      nginx: "root",
    });
  });

  it("have no secret but in the one file that only they may read", () => {
    writeRun();
    const { jupyter, ...rest } = python(RENDER, WORKSPACE, dir);
    for (const value of Object.values(secrets)) expect(JSON.stringify(rest)).not.toContain(value);
    expect(jupyter).toContain(`c.IdentityProvider.token = ${JSON.stringify(secrets.jupyterToken)}`);
  });

  it("refuse root and nothing but the person at the SSH door", () => {
    writeRun();
    const { sshd } = python(RENDER, WORKSPACE, dir);
    for (const line of [
      "PermitRootLogin no",
      "AllowUsers alice",
      "PermitEmptyPasswords no",
      "PasswordAuthentication yes",
    ]) {
      expect(sshd.split("\n")).toContain(line);
    }
    expect(sshd).toContain("HostKey /run/berth/ssh_host_ed25519_key");
  });

  it("sign people in: code-server by hash, TensorBoard behind a password on its only open port", () => {
    writeRun();
    const { code, nginx, programs } = python(RENDER, WORKSPACE, dir);
    expect(parse(code)).toMatchObject({
      auth: "password",
      socket: "/run/berth-code/http.sock",
      "socket-mode": "0660",
      "cookie-suffix": "10002",
      "hashed-password": "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA",
    });
    expect(parse(code)).not.toHaveProperty("bind-addr");
    const board = nginx.slice(nginx.indexOf("listen 127.0.0.1:10004;"));
    expect(board).toMatch(/auth_basic "[^"]+";\s+auth_basic_user_file/);
    expect(programs.tensorboard.command).toContain("--host 127.0.0.1 --port 6006");
  });

  it("listen on loopback, each at the person's port of it, and know the person's names", () => {
    writeRun();
    const { nginx, jupyter } = python(RENDER, WORKSPACE, dir);
    expect([...nginx.matchAll(/listen (\S+);/g)].map(([, at]) => at)).toEqual(
      ["code", "jupyter", "tensorboard"].map((name) => `127.0.0.1:${workspace.ports[name as "code"]}`),
    );
    expect(nginx).toContain("alice\\.localhost|localhost|127\\.0\\.0\\.1|");
    for (const line of [
      'c.ServerApp.ip = "127.0.0.1"',
      "c.ServerApp.allow_remote_access = False",
      'c.ServerApp.local_hostnames = ["localhost", "alice.localhost"]',
    ])
      expect(jupyter.split("\n")).toContain(line);
  });

  it("listen at the container's address too where they are published, and know that of the node", () => {
    writeRun({ web: { published: true, hosts: ["alice.localhost", "10.88.0.10", "[fd00::a]"] } });
    const { nginx, jupyter } = python(RENDER, WORKSPACE, dir);
    expect([...nginx.matchAll(/listen (\S+);/g)].map(([, at]) => at)).toEqual(
      ["code", "jupyter", "tensorboard"].map((name) => `0.0.0.0:${workspace.ports[name as "code"]}`),
    );
    expect(nginx).toContain("|10\\.88\\.0\\.10|\\[fd00::a\\]|");
    // Jupyter knows no address but loopback's, so nginx alone looks; Jupyter itself stays on loopback.
    expect(jupyter).toContain('c.ServerApp.ip = "127.0.0.1"\n');
    expect(jupyter).toContain("c.ServerApp.allow_remote_access = True\n");
  });

  it("have a check of their health each", () => {
    writeRun();
    const { programs, checks } = python(RENDER, WORKSPACE, dir);
    expect([...checks, "services"].sort()).toEqual(Object.keys(programs).sort());
  });

  it("open the home as a trusted folder, behind a sign-in page that speaks of no file", () => {
    writeRun();
    const { code, texts } = python(RENDER, WORKSPACE, dir);
    expect(parse(code)).toMatchObject({
      "disable-workspace-trust": true,
      i18n: "/etc/berth/services/code-server-texts.json",
    });
    const { LOGIN_PASSWORD } = JSON.parse(texts);
    expect(LOGIN_PASSWORD).toContain("VS Code password");
    expect(texts).not.toMatch(/config|\$PASSWORD/);
  });

  const web = {
    urls: { code: "http://alice.localhost:10002", jupyter: "http://alice.localhost:10003" },
    tunnel: "ssh -N -L 10002:127.0.0.1:10002 -p 10022 alice@10.88.0.10",
  };
  it.each<[string, Record<string, unknown>, RegExp[], RegExp[]]>([
    [
      "everything",
      { sudo: true, web },
      [
        /^Berth: the workspace of alice on node-1$/m,
        /^ {2}Limits +2 CPUs, 3 GiB of memory, 4096 processes, 256 MiB in \/dev\/shm$/m,
        /^ {2}Files +\/home\/alice is yours and stays/m,
        /apt install/,
        /^ {2}Browser +VS Code +http:\/\/alice\.localhost:10002\n +JupyterLab +http:\/\/alice\.localhost:10003\n.*runs there:\n {2}ssh -N .* alice@10\.88\.0\.10\n/m,
        /ray job submit --working-dir \. -- python train\.py\n +Ray is one room: [\s\S]*must not see\.\n/,
        /berth gpu status/,
        /^ {2}Help /m,
      ],
      [],
    ],
    ["no sudo", {}, [/berth --help/], [/sudo|apt/]],
    ["no Ray", { ray: undefined }, [/Ray +the cluster's is not given/], [/ray job|ray status|one room/]],
    [
      "services at the node's address",
      { web: { published: true, urls: { code: "http://10.88.0.10:10002" } } },
      [/^ {2}Browser +VS Code +http:\/\/10\.88\.0\.10:10002\n {2}Ray/m],
      [/own computer|ssh -N/],
    ],
    [
      "the files of an older node",
      { node: undefined, resources: undefined },
      [/^Berth: the workspace of alice$/m],
      [/Limits|Browser|None/],
    ],
  ])("tell people at their sign-in what they have, with %s", (_, change, said, unsaid) => {
    writeRun(change);
    const { motd } = python(RENDER, WORKSPACE, dir);
    for (const text of said) expect(motd).toMatch(text);
    for (const text of unsaid) expect(motd).not.toMatch(text);
    for (const value of Object.values(secrets)) expect(motd).not.toContain(value);
    // The command is one line, as people copy it.
    for (const line of motd.split("\n").filter((text: string) => !text.startsWith("  ssh -N ")))
      expect(line.length).toBeLessThanOrEqual(120);
  });

  it("give Ray's address and token file to shells, notebooks and jobs, and none where there is no cluster", () => {
    writeRun();
    expect(python(RENDER, WORKSPACE, dir).env).toMatchObject({
      RAY_ADDRESS: "ray://10.88.0.10:30001",
      RAY_API_SERVER_ADDRESS: "http://10.88.0.10:8265",
      RAY_DASHBOARD_ADDRESS: "http://10.88.0.10:8265",
      BERTH_RAY_GCS: "10.88.0.10:6379",
      RAY_AUTH_MODE: "token",
      RAY_AUTH_TOKEN_PATH: "/home/alice/.ray/auth_token",
    });
    writeRun({ ray: undefined }, { rayToken: undefined });
    const env = python(RENDER, WORKSPACE, dir).env;
    expect(Object.keys(env).filter((name) => name.startsWith("RAY_"))).toEqual(["RAY_USAGE_STATS_ENABLED"]);
    expect(env).not.toHaveProperty("BERTH_RAY_GCS");
  });

  it("place Ray's token, and take an old one of Berth's away from whoever lost access, and no other", () => {
    const PLACE = `
import os
from types import SimpleNamespace
from berth_workspace import account
home, token, before = sys.argv[2], sys.argv[3], sys.argv[4]
path = os.path.join(home, ".ray", "auth_token")
if before:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(before)
found = SimpleNamespace(home=home, uid=os.getuid(), gid=os.getgid(), secrets={"rayToken": token} if token else {})
account.place_ray_token(found)
print(json.dumps(open(path).read() if os.path.exists(path) else None))
`;
    const ours = "0123456789abcdef".repeat(4);
    const other = "fedcba9876543210".repeat(4);
    const placed = (token: string, before: string) => {
      rmSync(join(dir, ".ray"), { recursive: true, force: true });
      return python(PLACE, WORKSPACE, dir, token, before);
    };
    expect(placed(ours, "")).toBe(ours);
    expect(placed(ours, other)).toBe(ours);
    for (const before of [ours, `${other}\n`]) expect(placed("", before)).toBe(null);
    for (const before of ["a-token-of-another-cluster", ours.toUpperCase(), `${ours}0`])
      expect(placed("", before)).toBe(before);
    expect(placed("", "")).toBe(null);
  });

  it.each(["", "0123456789abcdef".repeat(4)])(
    "wait for nothing that a person put in the token's place (token %j)",
    (token) => {
      const PLACE = `
import os, signal
from types import SimpleNamespace
from berth_workspace import account
home, token = sys.argv[2], sys.argv[3]
path = os.path.join(home, ".ray", "auth_token")
os.makedirs(os.path.dirname(path), exist_ok=True)
found = SimpleNamespace(home=home, uid=os.getuid(), gid=os.getgid(), secrets={"rayToken": token} if token else {})
signal.alarm(20)
seen = []
for put in (lambda: os.mkfifo(path), lambda: os.symlink("/dev/zero", path), lambda: open(path, "wb").write(b"\\xff" * 80)):
    put()
    account.place_ray_token(found)
    seen.append(os.path.isfile(path) and open(path, "rb").read().decode("latin1") == token)
    os.unlink(path)
print(json.dumps(seen))
`;
      expect(python(PLACE, WORKSPACE, dir, token)).toEqual(Array(3).fill(token !== ""));
    },
  );

  it("grant sudo only when the settings do", () => {
    writeRun();
    expect(python(RENDER, WORKSPACE, dir).sudoers).toBe("");
    writeRun({ sudo: true });
    expect(python(RENDER, WORKSPACE, dir).sudoers).toBe("alice ALL=(ALL:ALL) NOPASSWD: ALL\n");
  });
});
