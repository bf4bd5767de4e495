/** A real node for the tests of the host stages: a container with systemd, SSH into it, and two clients beside it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
export const NODE = "berth-hosttest-node";
const NETWORK = "berth-hosttest";
const VOLUME = "berth-hosttest-docker";
export const CLIENTS = { allowed: "berth-hosttest-allowed", denied: "berth-hosttest-denied" };
export const ADDRESS = "10.89.7.10";
export const ADDRESS6 = "fd00:89:7::10";
const folder = mkdtempSync(join(tmpdir(), "berth-hosttest-"));

/** The capabilities and mounts of a local node; see components/node/local.ts. */
const CAPABILITIES =
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD " +
  "AUDIT_WRITE SETFCAP SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_NICE IPC_LOCK DAC_READ_SEARCH";

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export async function run(command: string, args: readonly string[], seconds = 120): Promise<Result> {
  try {
    const { stdout, stderr } = await execute(command, [...args], {
      timeout: seconds * 1000,
      maxBuffer: 2 ** 26,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const failed = error as { code?: number | string; stdout?: string; stderr?: string; message: string };
    if (typeof failed.code !== "number") throw error;
    return { code: failed.code, stdout: failed.stdout ?? "", stderr: failed.stderr ?? "" };
  }
}

export async function must(command: string, args: readonly string[], seconds = 120): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, seconds);
  if (code !== 0)
    throw new Error(`${command} ${args.join(" ").slice(0, 200)}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}

export const docker = (...args: string[]) => must("docker", args, 300);

export function sshArgs(command: string): string[] {
  const options = {
    IdentitiesOnly: "yes",
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: join(folder, "known_hosts"),
    ConnectTimeout: "5",
    ServerAliveInterval: "15",
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  return ["-i", join(folder, "id"), ...flags, `root@${ADDRESS}`, command];
}

export const ssh = (command: string, seconds = 600) => run("ssh", sshArgs(command), seconds);
export const onNode = (command: string) => must("ssh", sshArgs(command), 300);

export async function until(what: string, seconds: number, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** True when an HTTP server answers there, asked from a client container or, without one, from this computer. */
export async function answers(client: string | undefined, host: string, port: number): Promise<boolean> {
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
  const curl = ["curl", "-g", "-s", "--noproxy", "*", "-m", "2", "-o", "/dev/null", url];
  const [command = "", ...args] = client ? ["docker", "exec", client, ...curl] : curl;
  return (await run(command, args, 30)).code === 0;
}

export async function cleanUp(): Promise<void> {
  await run("docker", ["rm", "-f", "-v", NODE, CLIENTS.allowed, CLIENTS.denied]);
  await run("docker", ["volume", "rm", VOLUME]);
  await run("docker", ["network", "rm", NETWORK]);
}

export function removeFiles(): void {
  rmSync(folder, { recursive: true, force: true });
}

export async function startNode(): Promise<void> {
  const image = JSON.parse(await must("node", ["scripts/image.mjs", "build", "node", "--json"], 900)) as {
    ref: string;
  };
  const subnets = ["--subnet", "10.89.7.0/24", "--ipv6", "--subnet", "fd00:89:7::/64"];
  await docker("network", "create", ...subnets, NETWORK);
  for (const file of ["id", "hostkey"]) {
    await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, file)]);
  }
  const hostKey = readFileSync(join(folder, "hostkey.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  writeFileSync(join(folder, "known_hosts"), `${ADDRESS} ${hostKey}\n`);
  await docker(
    ...["create", "--name", NODE, "--hostname", "node-0"],
    ...["--network", NETWORK, "--ip", ADDRESS, "--ip6", ADDRESS6],
    ...["--cgroupns", "private", "--cap-drop", "ALL"],
    ...CAPABILITIES.split(" ").flatMap((name) => ["--cap-add", name]),
    ...["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"],
    ...["--tmpfs", "/run:rw,nosuid,nodev,mode=755", "--tmpfs", "/run/lock:rw,nosuid,nodev,noexec"],
    ...["--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"],
    ...["--device", "/dev/fuse", "-v", `${VOLUME}:/var/lib/docker`],
    ...["--memory", "2g", "--memory-swap", "2g", "--cpus", "1.5", image.ref],
  );
  await docker("cp", join(folder, "hostkey"), `${NODE}:/etc/ssh/ssh_host_ed25519_key`);
  await docker("cp", join(folder, "id.pub"), `${NODE}:/root/.ssh/authorized_keys`);
  await docker("start", NODE);
  for (const [name, last] of [
    [CLIENTS.allowed, "20"],
    [CLIENTS.denied, "21"],
  ] as const) {
    await docker(
      ...["run", "-d", "--init", "--name", name, "--network", NETWORK, "--ip", `10.89.7.${last}`],
      ...["--ip6", `fd00:89:7::${last}`, "--entrypoint", "sleep", image.ref, "7200"],
    );
  }
  await docker("exec", NODE, "chown", "0:0", "/root/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key");
  await docker("exec", NODE, "chmod", "0600", "/root/.ssh/authorized_keys");
  await until("SSH to the node", 60, async () => (await ssh("true", 10)).code === 0);
}

/** A published web server in a container made from the node's own programs: no image has to be fetched. */
export async function publishServers(): Promise<void> {
  await onNode(
    "tar -C / -c --exclude=usr/share --exclude=usr/lib/modules bin lib lib64 sbin usr etc | docker import - self:1",
  );
  const publish = [`${ADDRESS}:10022:8000`, `[${ADDRESS6}]:10022:8000`, `${ADDRESS}:9000:8000`, "9001:8000"];
  await onNode(
    `docker run -d --restart unless-stopped --name web ${publish.map((p) => `-p ${p}`).join(" ")} ` +
      "-w /etc/alternatives self:1 python3 -m http.server 8000",
  );
  await onNode(
    "systemd-run -q --unit ray-like python3 -m http.server -d /etc/alternatives 6379 && " +
      "systemd-run -q --unit other python3 -m http.server -d /etc/alternatives 5555",
  );
}

/** Asks for ever until stopped; whether it was ever answered. */
export function watch(client: string, host: string, port: number): { stop: () => Promise<boolean> } {
  const script = `while :; do curl -s --noproxy '*' -m 1 -o /dev/null http://${host}:${port}/ && echo open || sleep 0.05; done`;
  const child: ChildProcess = spawn("docker", ["exec", client, "bash", "-c", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let seen = "";
  child.stdout?.on("data", (data) => {
    seen += String(data);
  });
  return {
    stop: async () => {
      await run("docker", ["exec", client, "pkill", "curl|bash"]);
      child.kill();
      return seen.includes("open");
    },
  };
}
