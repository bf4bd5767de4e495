/** Two nodes as a droplet or a server is one to the operator: reached by SSH alone, with Docker on them. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { renderReady } from "../../components/host/node-ready";
import { renderRuntime } from "../../components/host/runtime";

const execute = promisify(execFile);
const ID = `berth-sshimage-${process.pid}`;
export const HEAD = "10.95.77.10";
export const WORKER = "10.95.77.11";
const NODES = { head: HEAD, worker: WORKER };
export const folder = mkdtempSync(join(tmpdir(), `${ID}-`));

/** The capabilities and mounts of a local node; see components/node/local.ts. */
const CAPABILITIES =
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD " +
  "AUDIT_WRITE SETFCAP SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_NICE IPC_LOCK DAC_READ_SEARCH";

/** As the program hands them over. */
export const sshOptions = [
  "-i",
  join(folder, "id"),
  ...["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes"].flatMap((word) => ["-o", word]),
  ...["-o", `UserKnownHostsFile=${join(folder, "known_hosts")}`],
  ...["-o", "ControlMaster=auto", "-o", `ControlPath=${folder}/%C`, "-o", "ControlPersist=10"],
];

async function must(command: string, args: string[], seconds = 300): Promise<string> {
  const { stdout } = await execute(command, args, { timeout: seconds * 1000, maxBuffer: 2 ** 26 });
  return stdout.trim();
}

export const docker = (...args: string[]) => must("docker", args);

export function onNode(address: string, command: string, user = "root"): Promise<string> {
  return must("ssh", [...sshOptions, "-o", "ConnectTimeout=5", `${user}@${address}`, command], 900);
}

export async function until(what: string, seconds: number, probe: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await probe().catch(() => false))) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

export async function startNodes(): Promise<void> {
  const image = JSON.parse(await must("node", ["scripts/image.mjs", "build", "node"], 900)) as {
    ref: string;
  };
  await docker("network", "create", "--subnet", "10.95.77.0/24", ID);
  for (const file of ["id", "hostkey", "otherkey"]) {
    await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, file)]);
  }
  const key = (file: string) =>
    readFileSync(join(folder, `${file}.pub`), "utf8")
      .split(" ", 2)
      .join(" ");
  writeFileSync(join(folder, "known_hosts"), `${HEAD} ${key("hostkey")}\n${WORKER} ${key("hostkey")}\n`);
  writeFileSync(join(folder, "wrong_hosts"), `${HEAD} ${key("otherkey")}\n`);
  await Promise.all(Object.entries(NODES).map(([name, address]) => startNode(name, address, image.ref)));
}

async function startNode(name: string, address: string, image: string): Promise<void> {
  const container = `${ID}-${name}`;
  await docker(
    ...["create", "--name", container, "--hostname", name, "--network", ID, "--ip", address],
    ...["--cgroupns", "private", "--cap-drop", "ALL"],
    ...CAPABILITIES.split(" ").flatMap((capability) => ["--cap-add", capability]),
    ...["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"],
    ...["--tmpfs", "/run:rw,nosuid,nodev,mode=755", "--tmpfs", "/run/lock:rw,nosuid,nodev,noexec"],
    ...["--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"],
    ...["--device", "/dev/fuse", "-v", `${container}:/var/lib/docker`],
    ...["--memory", "2g", "--memory-swap", "2g", image],
  );
  await docker("cp", join(folder, "hostkey"), `${container}:/etc/ssh/ssh_host_ed25519_key`);
  await docker("cp", join(folder, "id.pub"), `${container}:/root/.ssh/authorized_keys`);
  await docker("start", container);
  await docker(
    ...["exec", container, "chown", "0:0", "/root/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key"],
  );
  await docker("exec", container, "chmod", "0600", "/root/.ssh/authorized_keys");
  await until("SSH to the node", 60, async () => (await onNode(address, "echo up")) === "up");
  await onNode(address, renderReady({ node: name, minFree: [] }));
  await onNode(
    address,
    renderRuntime({ node: name, avoidNetworks: ["10.95.77.0/24"], insecureRegistries: [`${HEAD}:5000`] }),
  );
}

export async function cleanUp(): Promise<void> {
  for (const name of Object.keys(NODES)) {
    await docker("rm", "-f", "-v", `${ID}-${name}`).catch(() => {});
    await docker("volume", "rm", `${ID}-${name}`).catch(() => {});
  }
  await docker("network", "rm", ID).catch(() => {});
  rmSync(folder, { recursive: true, force: true });
}
