/**
 * @file What the images' end-to-end tests run them with: containers, files, clients. Everything has this process's
 * number in its name.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultPorts } from "../../../config/network/ports";
import { policyFlags } from "../../lib/container-flags";
import { docker, removeThings } from "../../lib/docker";
import { must } from "../../lib/run";
import { sshArgs } from "../../lib/ssh";
import { MINUTE } from "../../lib/time";
import { throughSsh } from "../../lib/tunnel";
import { until } from "../../lib/until";

export const RAY_UID = 10001;
export const USER_UID = 20000;
export const PORTS = defaultPorts.ray;

export const secret = () => randomBytes(12).toString("hex");

/** @param SUBNET the first three numbers of a network of the test file's own, in none that Berth or Docker hand out */
export function workspaceRig(SUBNET: string) {
  const ID = `berth-imagetest-${process.pid}`;
  const HEAD = `${SUBNET}.10`;
  const WORKER = `${SUBNET}.11`;
  const WORKSPACE = `${SUBNET}.20`;
  const secrets = {
    password: secret(),
    codePassword: secret(),
    jupyterToken: secret(),
    tensorboardPassword: secret(),
    rayToken: secret(),
  };
  const dir = mkdtempSync(join(tmpdir(), "berth-imagetest-"));
  const run = join(dir, "run");

  const healthy = (name: string) =>
    until(
      `${name} healthy`,
      3 * MINUTE,
      async () => (await docker("inspect", "-f", "{{.State.Health.Status}}", `${ID}-${name}`)) === "healthy",
    );

  /** The folders that the containers mount, with keys and settings, and their network. */
  async function layOut(): Promise<void> {
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
  async function cleanUp(...names: string[]): Promise<void> {
    await removeThings({ containers: names.map((name) => `${ID}-${name}`), networks: [ID] });
    rmSync(dir, { recursive: true, force: true });
  }

  async function startRay(
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
    const options = ["--network", ID, "--ip", address, ...policyFlags("ray")];
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

  async function startWorkspace(image: string): Promise<void> {
    const options = [
      "--network",
      ID,
      "--ip",
      WORKSPACE,
      "--hostname",
      "alice",
      ...policyFlags("workspace", true),
    ];
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

  function writeRun(workspace: Record<string, unknown> = {}): void {
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

  const target = { address: WORKSPACE, knownHosts: join(dir, "known_hosts") };

  /** Runs a command in the workspace over SSH with the key. */
  async function ssh(command: string, user = "alice"): Promise<string> {
    const args = sshArgs({ ...target, user, key: join(dir, "key") });
    return (await must("ssh", [...args, command], { deadline: 4 * MINUTE })).stdout.trim();
  }

  /** Does `work` while the workspace's VS Code, Jupyter and TensorBoard are at these ports of this computer. */
  function forwarded<T>(ports: Record<"code" | "jupyter" | "tensorboard", number>, work: () => Promise<T>) {
    const inside = { code: 10002, jupyter: 10003, tensorboard: 10004 };
    const forwards = (["code", "jupyter", "tensorboard"] as const).flatMap((service) => [
      "-L",
      `${ports[service]}:127.0.0.1:${inside[service]}`,
    ]);
    const args = sshArgs({ ...target, user: "alice", key: join(dir, "key") });
    return throughSsh(
      ["-N", "-o", "ExitOnForwardFailure=yes", ...forwards, ...args],
      Object.values(ports),
      work,
    );
  }

  /** The same as `ssh`, with a password. */
  async function sshWithPassword(password: string, command: string): Promise<string> {
    writeFileSync(join(dir, "askpass"), `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 });
    const options = { PreferredAuthentications: "password", NumberOfPasswordPrompts: "1" };
    const args = sshArgs({ ...target, user: "alice", options });
    const env = {
      ...process.env,
      SSH_ASKPASS: join(dir, "askpass"),
      SSH_ASKPASS_REQUIRE: "force",
      DISPLAY: ":0",
    };
    return (await must("ssh", [...args, command], { env, deadline: MINUTE })).stdout.trim();
  }

  return {
    ...{ ID, HEAD, WORKER, WORKSPACE, secrets, dir },
    ...{ healthy, layOut, cleanUp, startRay, startWorkspace, writeRun, ssh, sshWithPassword, forwarded },
  };
}

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
