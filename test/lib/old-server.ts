/**
 * A server that has been somebody's for years, for the tests of adoption: a container with systemd, an account with a
 * home, data on a file system of its own, a Docker engine with its own settings and a container that runs, ufw off.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { docker, must, run, until } from "./host-node";

/** Written as people write: not in the form in which a program would. */
const OWN_DAEMON_JSON =
  '{"exec-opts": ["native.cgroupdriver=systemd"],\n "labels": ["owner=ada"], "userland-proxy": true}';

/** As components/node/local.ts. */
const CAPABILITIES =
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD " +
  "AUDIT_WRITE SETFCAP SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_NICE IPC_LOCK DAC_READ_SEARCH";

/** The person's own set-up, as root on the server. */
const OLD_LIFE = `
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends docker.io docker-cli
useradd -m -s /bin/bash ada
printf 'chapter one\\n' >/home/ada/thesis.txt
install -d -m 0700 -o ada -g ada /home/ada/.ssh
install -m 0600 -o ada -g ada /root/.ssh/authorized_keys /home/ada/.ssh/authorized_keys
printf 'ada ALL=(ALL:ALL) NOPASSWD: ALL\\n' >/etc/sudoers.d/ada
chmod 0440 /etc/sudoers.d/ada
chown ada:ada /home/ada/thesis.txt
mkdir -p /srv/results
printf '%s\\n' '# written by ada' 'tmpfs /srv/results tmpfs size=16m,mode=755 0 0' >>/etc/fstab
mount /srv/results
dd if=/dev/urandom of=/srv/results/run-1.bin bs=1024 count=512 status=none
mkdir -p /etc/docker /data
printf '%s' '${OWN_DAEMON_JSON}' >/etc/docker/daemon.json
systemctl restart docker
tar -C / -c --exclude=usr/share --exclude=usr/lib/modules bin lib lib64 sbin usr etc | docker import - self:1
docker run -d --name web -p 8088:8000 -v /srv/results:/results self:1 python3 -m http.server -d /results 8000
ufw allow from 10.1.2.3 to any port 7777 proto tcp
`;

export interface OldServerOptions {
  /** Name of its container. */
  name: string;
  hostname: string;
  /** A Docker network; made with the server where it is not there. */
  network: string;
  subnet: string;
  address: string;
  /** @default 2 */
  memoryGiB?: number;
}

export class OldServer {
  /** Made by the start. */
  private folder = "";
  private readonly client: string;
  private readonly volume: string;

  constructor(private readonly of: OldServerOptions) {
    this.client = `${of.name}-client`;
    this.volume = `${of.name}-docker`;
  }

  /** The private key that opens it; once it was started. */
  get keyFile(): string {
    return join(this.folder, "id");
  }

  /** `ssh-ed25519 BASE64`; once it was started. */
  get hostKey(): string {
    return readFileSync(join(this.folder, "hostkey.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  }

  sshArgs(command: string, user = "root"): string[] {
    const options = {
      IdentitiesOnly: "yes",
      BatchMode: "yes",
      StrictHostKeyChecking: "yes",
      UserKnownHostsFile: join(this.folder, "known_hosts"),
      ConnectTimeout: "5",
      ServerAliveInterval: "15",
    };
    const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    return ["-i", this.keyFile, ...flags, `${user}@${this.of.address}`, command];
  }

  ssh(command: string, seconds = 900) {
    return run("ssh", this.sshArgs(command), seconds);
  }

  onNode(command: string): Promise<string> {
    return must("ssh", this.sshArgs(command), 600);
  }

  /** What a killed run left, too. */
  async cleanUp(): Promise<void> {
    await run("docker", ["rm", "-f", "-v", this.of.name, this.client]);
    await run("docker", ["volume", "rm", this.volume]);
    // Refused while another server is in it.
    await run("docker", ["network", "rm", this.of.network]);
  }

  removeFiles(): void {
    if (this.folder !== "") rmSync(this.folder, { recursive: true, force: true });
  }

  async start(): Promise<void> {
    this.folder = mkdtempSync(join(tmpdir(), "berth-old-server-"));
    const { name, hostname, network, subnet, address, memoryGiB = 2 } = this.of;
    const image = JSON.parse(await must("node", ["scripts/image.mjs", "build", "node", "--json"], 900)) as {
      ref: string;
    };
    if ((await run("docker", ["network", "inspect", network])).code !== 0)
      await docker("network", "create", "--subnet", subnet, network);
    for (const file of ["id", "hostkey"]) {
      await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(this.folder, file)]);
    }
    writeFileSync(join(this.folder, "known_hosts"), `${address} ${this.hostKey}\n`);
    await docker(
      ...["create", "--name", name, "--hostname", hostname, "--network", network, "--ip", address],
      ...["--cgroupns", "private", "--cap-drop", "ALL"],
      ...CAPABILITIES.split(" ").flatMap((capability) => ["--cap-add", capability]),
      ...["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"],
      ...["--tmpfs", "/run:rw,nosuid,nodev,mode=755", "--tmpfs", "/run/lock:rw,nosuid,nodev,noexec"],
      ...["--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"],
      ...["--device", "/dev/fuse", "-v", `${this.volume}:/var/lib/docker`],
      ...["--memory", `${memoryGiB}g`, "--memory-swap", `${memoryGiB}g`, "--cpus", "1.5", image.ref],
    );
    await docker("cp", join(this.folder, "hostkey"), `${name}:/etc/ssh/ssh_host_ed25519_key`);
    await docker("cp", `${this.keyFile}.pub`, `${name}:/root/.ssh/authorized_keys`);
    await docker("start", name);
    await docker(
      ...["run", "-d", "--init", "--name", this.client, "--network", network],
      ...["--ip", address.replace(/\d+$/, (last) => String(Number(last) + 10))],
      ...["--entrypoint", "sleep", image.ref, "7200"],
    );
    await docker("exec", name, "chown", "0:0", "/root/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key");
    await docker("exec", name, "chmod", "0600", "/root/.ssh/authorized_keys");
    await until("SSH to the server", 60, async () => (await this.ssh("true", 10)).code === 0);
    await this.onNode(OLD_LIFE);
  }

  /** True when the client beside the server gets an answer from a port of it. */
  async answers(port: number): Promise<boolean> {
    const url = `http://${this.of.address}:${port}/`;
    const curl = ["curl", "-s", "--noproxy", "*", "-m", "2", "-o", "/dev/null", url];
    return (await run("docker", ["exec", this.client, ...curl], 30)).code === 0;
  }

  /** Everything that is the operator's, in one text: accounts, files with their times, mounts, the container's life. */
  ownThings(): Promise<string> {
    return this.onNode(`
getent passwd ada; getent group | sort
stat -c '%n %a %U %s %Y' /home/ada /home/ada/thesis.txt /home/ada/.ssh/authorized_keys
cat /home/ada/thesis.txt; sha256sum /srv/results/run-1.bin; findmnt -n -o SOURCE,TARGET,FSTYPE /srv/results
docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.State.Running}} {{.RestartCount}}' web
cut -d ' ' -f 22 "/proc/$(docker inspect -f '{{.State.Pid}}' web)/stat"
curl -s http://127.0.0.1:8088/run-1.bin | sha256sum
`);
  }

  /** Settings that Berth changes and has to put back, in one text. */
  settings(): Promise<string> {
    return this.onNode(`
cat /etc/docker/daemon.json /etc/fstab /etc/default/ufw
docker info -f '{{.CgroupDriver}} {{.LiveRestoreEnabled}} {{.LoggingDriver}} {{.Labels}}'
ufw status; ufw show added; systemctl is-enabled ufw.service docker.service
iptables -S FORWARD | head -n 1; sysctl -n net.ipv4.ip_local_reserved_ports
sshd -T -C user=root,host=x,addr=10.89.8.1 | sort
ls -A /data
`);
  }

  /** What bears Berth's name: files, units, chains, rules, mounts. Empty on a server that it has left. */
  traces(): Promise<string> {
    return this.onNode(`
find / -xdev \\( -path /proc -o -path /sys -o -path /tmp -o -path /var/lib/docker -o -path /var/lib/dpkg \\) -prune -o -iname '*berth*' -print |
  grep -v -x -e /sbin/berth-init -e /usr/sbin/berth-init -e '/etc/ssh/sshd_config.d/10-berth-node.conf' -e '.*/berth-apt-install' -e '/usr/local/share/ca-certificates/berth.*' || true
find /run /dev/shm -iname '*berth*' -print
systemctl list-units --all --no-legend 'berth*'; systemctl list-unit-files --no-legend 'berth*'
iptables-save | grep -i berth || true
ip6tables-save | grep -i berth || true
ufw show added | grep berth || true
findmnt -n -r -o TARGET | grep -e /mnt/storage -e /workspace || true
ls -d /mnt/storage /workspace /data2 2>/dev/null || true
grep -i berth /etc/fstab /etc/passwd /etc/projects /etc/projid 2>/dev/null || true
`);
  }
}

/** The one of host-adopt.test.ts. */
const server = new OldServer({
  name: "berth-adopttest-node",
  hostname: "old-server",
  network: "berth-adopttest",
  subnet: "10.89.8.0/24",
  address: "10.89.8.10",
});
export const ADDRESS = "10.89.8.10";
export const CLIENT = "berth-adopttest-node-client";
export const sshArgs = (command: string, user?: string) => server.sshArgs(command, user);
export const ssh = (command: string, seconds?: number) => server.ssh(command, seconds);
export const onNode = (command: string) => server.onNode(command);
export const cleanUp = () => server.cleanUp();
export const removeFiles = () => server.removeFiles();
export const startServer = () => server.start();
export const answers = (port: number) => server.answers(port);
export const ownThings = () => server.ownThings();
export const settings = () => server.settings();
export const traces = () => server.traces();
