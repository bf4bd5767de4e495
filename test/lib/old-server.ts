/**
 * A server that has been somebody's for years, for the tests of adoption: a container with systemd, an account with a
 * home, data on a file system of its own, a Docker engine with its own settings and a container that runs, ufw off.
 */
import { answers, startClient } from "./client";
import { buildImage, removeThings } from "./docker";
import { TestNode } from "./node";

/** Written as people write: not in the form in which a program would. */
const OWN_DAEMON_JSON =
  '{"exec-opts": ["native.cgroupdriver=systemd"],\n "labels": ["owner=ada"], "userland-proxy": true}';

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
  /** Fills the volume with its Docker data beforehand. @default it begins empty */
  fill?: (volume: string) => Promise<void>;
}

export class OldServer extends TestNode {
  /** A container beside it, as another computer. */
  readonly client: string;

  constructor({ network, subnet, memoryGiB = 2, ...server }: OldServerOptions) {
    super({
      ...server,
      network: { name: network, subnets: [subnet] },
      memory: `${memoryGiB}g`,
      cpus: "1.5",
      // Whether somebody is shut out shows in new connections alone.
      multiplex: false,
    });
    this.client = `${server.name}-client`;
  }

  override async cleanUp(): Promise<void> {
    await removeThings({ containers: [this.client] });
    await super.cleanUp();
  }

  override async start(): Promise<void> {
    await super.start();
    const address = this.address.replace(/\d+$/, (last) => String(Number(last) + 10));
    const { ref: image } = await buildImage("node");
    await startClient({ name: this.client, network: this.of.network.name, address, image });
    await this.onNode(OLD_LIFE);
  }

  /** True when the client beside the server gets an answer from a port of it. */
  answers(port: number, seconds = 2): Promise<boolean> {
    return answers(this.client, this.address, port, seconds);
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
sshd -T -C user=root,host=x,addr=10.89.8.1,laddr=${this.address},lport=22,rdomain= | sort
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
