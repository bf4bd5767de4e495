/**
 * @file What the images' end-to-end test runs them with: containers, files, clients. Everything has this process's
 * number in its name.
 */
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { defaultPorts } from "../../../config/ports";

const exec = promisify(execFile);
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;

/** Names and addresses of this run alone; the subnet is in none that Berth or Docker hand out by default. */
export const ID = `berth-imagetest-${process.pid}`;
export const SUBNET = "10.213.77";
export const HEAD = `${SUBNET}.10`;
export const WORKER = `${SUBNET}.11`;
export const WORKSPACE = `${SUBNET}.20`;
export const RAY_UID = 10001;
export const USER_UID = 20000;

export const secret = () => randomBytes(12).toString("hex");
export const secrets = {
  password: secret(),
  codePassword: secret(),
  jupyterToken: secret(),
  tensorboardPassword: secret(),
  rayToken: secret(),
};
export const dir = mkdtempSync(join(tmpdir(), "berth-imagetest-"));
export const run = join(dir, "run");

/** The least with which sshd, sudo, apt and the supervisor work (each was tried without). */
export const CAPABILITIES =
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETUID SETGID SYS_CHROOT NET_BIND_SERVICE AUDIT_WRITE";

export const PORTS = defaultPorts.ray;

export async function docker(...args: string[]): Promise<string> {
  return (await exec("docker", args, { maxBuffer: 1e8, timeout: 3 * MINUTE })).stdout.trim();
}

/** Asks again every half second until it is so, at most `deadline` ms. */
export async function until(what: string, deadline: number, probe: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + deadline;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`${what}: not so after ${deadline / SECOND} s`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

export const healthy = (name: string) =>
  until(
    `${name} healthy`,
    3 * MINUTE,
    async () => (await docker("inspect", "-f", "{{.State.Health.Status}}", `${ID}-${name}`)) === "healthy",
  );

export async function build(name: string): Promise<{ ref: string; bytes: number }> {
  const { stdout } = await exec("node", ["scripts/image.mjs", "build", name, "--json"], {
    timeout: 40 * MINUTE,
  });
  return JSON.parse(stdout);
}

/** The folders that the containers mount, with keys and settings, and their network. */
export async function layOut(): Promise<void> {
  const shared = ["shared", "shared/tensorboard", "shared/tensorboard/alice"];
  for (const name of ["run", "ray", "home", "scratch", ...shared, "board"]) mkdirSync(join(dir, name));
  chmodSync(run, 0o700);
  for (const name of ["home", "scratch", "board"]) chownSync(join(dir, name), USER_UID, USER_UID);
  writeFileSync(join(dir, "ray", "token"), `${secrets.rayToken}\n`, { mode: 0o400 });
  chownSync(join(dir, "ray", "token"), RAY_UID, RAY_UID);
  const hostKey = join(run, "ssh_host_ed25519_key");
  for (const key of [join(dir, "key"), hostKey])
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  writeFileSync(join(dir, "known_hosts"), `${WORKSPACE} ${readFileSync(`${hostKey}.pub`, "utf8")}`);
  writeFileSync(join(run, "authorized_keys"), readFileSync(join(dir, "key.pub")), { mode: 0o600 });
  writeRun();
  await docker("network", "create", "--subnet", `${SUBNET}.0/24`, ID);
}

/** Removes the containers of this run, its network and its folders. */
export async function cleanUp(...names: string[]): Promise<void> {
  for (const name of names) {
    await docker("rm", "--force", "--volumes", `${ID}-${name}`).catch(() => {});
  }
  await docker("network", "rm", ID).catch(() => {});
  rmSync(dir, { recursive: true, force: true });
}

export async function startRay(
  image: string,
  name: string,
  role: "head" | "worker",
  address: string,
): Promise<void> {
  const env = {
    RAY_AUTH_MODE: "token",
    RAY_AUTH_TOKEN_PATH: "/run/berth/ray/token",
    BERTH_RAY_NODE_IP: address,
    BERTH_RAY_HEAD: `${HEAD}:6379`,
    BERTH_RAY_PORTS: JSON.stringify(PORTS),
    BERTH_RAY_CPUS: "2",
    BERTH_RAY_MEMORY: "1000000000",
    BERTH_RAY_OBJECT_STORE: "200000000",
    BERTH_RAY_RESOURCES: JSON.stringify({ [name]: 1 }),
  };
  const options = [
    "--network",
    ID,
    "--ip",
    address,
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
  ];
  options.push(
    "--shm-size",
    "300m",
    "--restart",
    "unless-stopped",
    "--volume",
    `${dir}/ray:/run/berth/ray:ro`,
  );
  options.push("--health-cmd", "berth-ray-health", "--health-interval", "3s", "--health-timeout", "15s");
  for (const [key, value] of Object.entries(env)) options.push("--env", `${key}=${value}`);
  await docker("run", "--detach", "--name", `${ID}-${name}`, ...options, image, role);
}

export async function startWorkspace(image: string): Promise<void> {
  const options = ["--network", ID, "--ip", WORKSPACE, "--hostname", "alice", "--cap-drop", "ALL"];
  for (const capability of CAPABILITIES.split(" ")) options.push("--cap-add", capability);
  options.push("--pids-limit", "1024", "--memory", "3g", "--shm-size", "256m");
  for (const [from, to] of [
    ["run", "/run/berth:ro"],
    ["home", "/home/alice"],
    ["scratch", "/workspace"],
    ["shared", "/shared:ro"],
    ["board", "/shared/tensorboard/alice"],
  ]) {
    options.push("--volume", `${dir}/${from}:${to}`);
  }
  options.push(
    "--health-cmd",
    "berth-workspace-health",
    "--health-interval",
    "3s",
    "--health-timeout",
    "20s",
  );
  await docker("run", "--detach", "--name", `${ID}-alice`, ...options, image);
}

export function writeRun(workspace: Record<string, unknown> = {}): void {
  const settings = {
    user: "alice",
    uid: USER_UID,
    gid: USER_UID,
    hostname: "alice",
    sudo: true,
    ports: {
      ssh: 10022,
      code: 10002,
      jupyter: 10003,
      tensorboard: 10004,
      vnc: 10000,
      novnc: 10001,
      rdp: 10005,
    },
    ray: { address: `${HEAD}:6379`, client: `ray://${HEAD}:30001`, dashboard: `http://${HEAD}:8265` },
    ...workspace,
  };
  writeFileSync(join(run, "workspace.json"), JSON.stringify(settings), { mode: 0o600 });
  writeFileSync(join(run, "secrets.json"), JSON.stringify(secrets), { mode: 0o600 });
}

export const SSH = ["-o", `UserKnownHostsFile=${dir}/known_hosts`, "-o", "StrictHostKeyChecking=yes"];

/** Runs a command in the workspace over SSH with the key. */
export async function ssh(command: string, user = "alice"): Promise<string> {
  const words = [
    ...SSH,
    "-i",
    `${dir}/key`,
    "-o",
    "BatchMode=yes",
    "-o",
    "IdentitiesOnly=yes",
    `${user}@${WORKSPACE}`,
  ];
  return (await exec("ssh", [...words, command], { timeout: 4 * MINUTE, maxBuffer: 1e7 })).stdout.trim();
}

/** The same, with a password. */
export async function sshWithPassword(password: string, command: string): Promise<string> {
  writeFileSync(join(dir, "askpass"), `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 });
  const words = [...SSH, "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"];
  const env = {
    ...process.env,
    SSH_ASKPASS: join(dir, "askpass"),
    SSH_ASKPASS_REQUIRE: "force",
    DISPLAY: ":0",
  };
  return (
    await exec("ssh", [...words, `alice@${WORKSPACE}`, command], { env, timeout: MINUTE })
  ).stdout.trim();
}

export async function get(url: string, headers: Record<string, string> = {}): Promise<number> {
  const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(30 * SECOND) });
  await answer.arrayBuffer();
  return answer.status;
}

export const basic = (password: string) => ({
  Authorization: `Basic ${Buffer.from(`alice:${password}`).toString("base64")}`,
});

/** Runs cells in one new kernel of the workspace's Jupyter, and prints each one's result as a line. */
export const KERNEL = `
import json, sys, urllib.request, uuid, websocket
token, cells = sys.argv[1], json.loads(sys.argv[2])
head = {"Authorization": "token " + token}
ask = urllib.request.Request("http://127.0.0.1:8888/api/kernels", data=b"{}", headers=head, method="POST")
kernel = json.load(urllib.request.urlopen(ask))["id"]
link = websocket.create_connection(f"ws://127.0.0.1:8888/api/kernels/{kernel}/channels", header=head, timeout=120)
for code in cells:
    id = uuid.uuid4().hex
    header = {"msg_id": id, "username": "", "session": id, "msg_type": "execute_request", "version": "5.3"}
    content = {"code": code, "silent": False}
    link.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}))
    while True:
        message = json.loads(link.recv())
        if message["parent_header"].get("msg_id") != id: continue
        if message["msg_type"] == "execute_result": print(message["content"]["data"]["text/plain"])
        if message["msg_type"] == "error": print(message["content"]["evalue"])
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle": break
`;
