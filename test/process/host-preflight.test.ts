/** The stage that looks at a server before it is adopted: its steps, run beside stand-ins for what they ask. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { renderBase } from "../../components/host/base";
import { distributionCheck } from "../../components/host/node-ready";
import { guardChanges } from "../../components/host/preflight-storage";
import { DOCKER, FIREWALLS, LISTENERS } from "../../components/host/retire/looks";
import { stageBody } from "../../components/host/stage";
import { lookMachine } from "./host-look-helpers";

describe("the system", () => {
  const { at, look } = lookMachine();
  const on = (release: string) => {
    writeFileSync(at("os-release"), release);
    return look(distributionCheck("problem").replace("/etc/os-release", at("os-release")));
  };

  it.each([
    'ID=debian\nVERSION_ID="12"\n',
    "ID=debian\nPRETTY_NAME='Debian GNU/Linux forky/sid'\n",
    'ID=ubuntu\nVERSION_ID="22.04"\n',
    'ID=ubuntu\nVERSION_ID="26.04"\n',
  ])("is one that the stages are written for: %j", (release) => {
    expect(on(release)).toMatchObject({ status: 0 });
  });

  it.each([
    ["Debian GNU/Linux 11 (bullseye)", 'ID=debian\nVERSION_ID="11"\n'],
    ["Ubuntu 20.04.6 LTS", 'ID=ubuntu\nVERSION_ID="20.04"\n'],
    ["Rocky Linux 9.4 (Blue Onyx)", 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'],
  ])("is told of before anything is changed: %s", (name, release) => {
    const { status, stderr } = on(`${release}PRETTY_NAME="${name}"\n`);
    expect(status).toBe(1);
    expect(stderr).toContain(
      `- this node runs ${name}; Berth's host stages support Debian 12 or newer and Ubuntu`,
    );
  });
});

describe("security updates", () => {
  const aptFolder = mkdtempSync(join(tmpdir(), "berth-apt-"));
  afterAll(() => rmSync(aptFolder, { recursive: true, force: true }));
  const aptFile = (text: string) => {
    writeFileSync(join(aptFolder, "apt.conf"), `${text}\n`);
    return join(aptFolder, "apt.conf");
  };

  it("are in a file of their own, behind the distribution's and that of a machine's user data", () => {
    const body = stageBody(renderBase({ node: "gpu-1", securityUpdates: true }));
    const file =
      /^file=(\S+security-updates)\ncat >"\$work\/updates" <<'BERTH_FILE'\n([\s\S]*?)\nBERTH_FILE\n/m.exec(
        body,
      );
    expect(file?.[1]).toBe("/etc/apt/apt.conf.d/53berth-security-updates");
    expect(file?.[2]).toContain('APT::Periodic::Unattended-Upgrade "1";');
    expect(file?.[2]).toContain("label=Debian-Security");
    expect(file?.[2]).toContain('Unattended-Upgrade::Automatic-Reboot "false";');
    expect(file?.[2]).not.toContain("user data");
    const parsed = spawnSync("apt-config", ["dump", "Unattended-Upgrade"], {
      encoding: "utf8",
      env: { ...process.env, APT_CONFIG: file?.[2] === undefined ? "" : aptFile(file[2]) },
    });
    // Only where apt is: its own parser has the last word.
    if (parsed.error === undefined) {
      expect(parsed.stderr).toBe("");
      expect(parsed.stdout).toMatch(
        /Origins-Pattern:: "origin=Debian,codename=\$\{distro_codename\}-security/,
      );
    }
  });

  it("go with the option", () => {
    const body = stageBody(renderBase({ node: "gpu-1" }));
    expect(body).toContain("unplace /etc/apt/apt.conf.d/53berth-security-updates");
    expect(body).not.toContain("unattended-upgrades");
  });
});

describe("what is seen, with recorded output of the tools", () => {
  const { at, tool, look, seen } = lookMachine();

  const dockerSays = (info: Record<string, string>, ps: string, ours = "") => {
    const cases = Object.entries(info).map(([format, value]) => `*'${format}'*) echo '${value}' ;;`);
    tool(
      "docker",
      `case "$*" in ${cases.join(" ")} "ps -a -q"*) printf '${ours}' ;; "ps --no-trunc"*) printf '${ps}' ;; *) echo 0 ;; esac`,
    );
  };

  it("tells published ports of others from Berth's and from loopback", () => {
    dockerSays(
      {
        "{{.ServerVersion}}": "28.0.1",
        "{{.Swarm": "inactive",
        LiveRestore: "false",
        CgroupDriver: "systemd",
      },
      "aaa\\tweb\\t0.0.0.0:8088->8000/tcp, [::]:8088->8000/tcp, 9000/tcp\\n" +
        "bbb\\tgames\\t0.0.0.0:7000-7002->7000-7002/udp, 127.0.0.1:5432->5432/tcp\\n" +
        "ccc\\tberth-dev-ray\\t127.0.0.1:8265->8265/tcp\\n",
      "ccc\\n",
    );
    const { facts, stderr } = look(DOCKER);
    expect(stderr).toBe("");
    expect(facts).toMatchObject({ docker: "28.0.1", running: 2 });
    expect(seen("published").trim().split("\n")).toEqual([
      "tcp 8088 8088 web",
      "tcp 8088 8088 web",
      "udp 7000 7002 games",
    ]);
    expect(seen("ours-published")).toBe("tcp 8265 8265 berth-dev-ray\n");
  });

  it("refuses an engine in a swarm", () => {
    dockerSays({ "{{.ServerVersion}}": "28.0.1", "{{.Swarm": "active", LiveRestore: "false" }, "");
    expect(look(DOCKER).stderr).toContain("is in a swarm (active), which excludes live-restore");
  });

  it("refuses a firewall backend without a place for Berth's rules", () => {
    const says = (driver: string) =>
      dockerSays(
        {
          "{{.ServerVersion}}": "29.0.1",
          "{{.Swarm": "inactive",
          LiveRestore: "false",
          "{{json .}}": `{"Name":"x","FirewallBackend":{"Driver":"${driver}"},"Y":1}`,
        },
        "",
      );
    says("nftables");
    expect(look(DOCKER).stderr).toContain("dockerd uses the firewall backend nftables");
    says("iptables");
    expect(look(DOCKER).stderr).toBe("");
  });

  it("names other firewalls, not Docker's, ufw's or Berth's", () => {
    tool(
      "ufw",
      `case $1 in status) echo 'Status: active' ;; *) printf '%s\\n' 'Added user rules:' 'ufw allow 22/tcp' "ufw allow 80 comment 'berth:abc'" ;; esac`,
    );
    tool(
      "nft",
      `printf '%s\\n' 'table ip filter' 'table ip6 nat' 'table inet filter' 'table ip docker-bridges' 'table inet f2b-table'`,
    );
    tool(
      "iptables",
      `printf '%s\\n' '-P INPUT DROP' '-A INPUT -j ufw-before-input' '-A INPUT -p tcp -m tcp --dport 25 -j DROP' '-A INPUT -j f2b-sshd' '-A FORWARD -j DOCKER-USER' '-A FORWARD -i docker0 -o docker0 -j ACCEPT'`,
    );
    const { facts } = look(FIREWALLS);
    expect(facts).toMatchObject({ ufw: "active", ufwRules: 1 });
    expect(facts.otherFirewalls).toEqual([
      "iptables: 2 rules of others in INPUT",
      "nftables table inet f2b-table",
      "nftables table inet filter",
    ]);
  });

  it("refuses a firewalld that is active", () => {
    tool("systemctl", '[ "$*" = "is-active -q firewalld" ]');
    expect(look(FIREWALLS).stderr).toContain("systemctl disable --now firewalld");
  });

  const listening = (tcp: string[], udp: string[] = []) => {
    const lines = (list: string[]) => list.map((line) => `'${line}'`).join(" ");
    tool(
      "ss",
      `case "$*" in *--tcp*) printf '%s\\n' ${lines(tcp)} ;; *) printf '%s\\n' ${lines(udp) || "''"} | sed '/^$/d' ;; esac`,
    );
    for (const name of ["ours", "ours-published"]) writeFileSync(at(`seen/${name}`), "");
  };
  const given = `cp -- ${"$given"}/ours ${"$given"}/ours-published "$work"`;
  const ports = `planned 22 22 SSH ssh\nplanned 10000 19999 "the users' blocks" berth:ports.users`;
  const listen = () => look(`given=${at("seen")}\n${given}\n${LISTENERS}\n${ports}`);

  it("finds who listens on a port of the plan, and tells all of them at once", () => {
    listening([
      'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=85,fd=6))',
      'LISTEN 0 5 127.0.0.1:10022 0.0.0.0:* users:(("python3",pid=4000001,fd=3))',
      'LISTEN 0 5 [::1]:19999 [::]:* users:(("node server",pid=4000002,fd=3))',
      "LISTEN 0 5 127.0.0.11:10001 0.0.0.0:*",
      'LISTEN 0 5 0.0.0.0:9999 0.0.0.0:* users:(("other",pid=4000003,fd=3))',
    ]);
    const { stderr } = listen();
    expect(stderr).toContain(
      "port 10022 is for the users' blocks (berth:ports.users), and python3 (process 4000001)",
    );
    expect(stderr).toContain("(process 4000002) listens on [::1]:19999");
    expect(stderr).toContain("port 10001 is for");
    expect(stderr).not.toContain("port 22 ");
    expect(stderr).not.toContain("port 9999 ");
  });

  it("takes what is on SSH's port for a clash when it is not sshd", () => {
    listening(['LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("dropbear",pid=4000001,fd=6))']);
    expect(listen().stderr).toContain("port 22 is for SSH (ssh), and dropbear");
  });

  it("lets Docker's proxy be for a port of Berth's own containers, and for no other", () => {
    listening([
      'LISTEN 0 4096 10.0.0.7:10022 0.0.0.0:* users:(("docker-proxy",pid=4000001,fd=4))',
      'LISTEN 0 4096 0.0.0.0:10100 0.0.0.0:* users:(("docker-proxy",pid=4000002,fd=4))',
    ]);
    writeFileSync(at("seen/ours-published"), "tcp 10022 10022 berth-dev-workspace-eve\n");
    const { stderr } = listen();
    expect(stderr).toContain("port 10100 is for");
    expect(stderr).not.toContain("10022 is for");
  });

  it("keeps what is reachable from outside apart from loopback and what ufw always lets in", () => {
    listening(
      [
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=85,fd=6))',
        'LISTEN 0 5 [::1]:631 [::]:* users:(("cupsd",pid=9,fd=3))',
        'LISTEN 0 5 *:8080 *:* users:(("java",pid=10,fd=3))',
      ],
      [
        'UNCONN 0 0 0.0.0.0:5353 0.0.0.0:* users:(("avahi-daemon",pid=11,fd=3))',
        'UNCONN 0 0 0.0.0.0:161 0.0.0.0:* users:(("snmpd",pid=12,fd=3))',
      ],
    );
    expect(listen().stderr).toBe("");
    expect(seen("outside")).toBe("tcp 22 22 sshd\ntcp 8080 8080 java\nudp 161 161 snmpd\n");
    const { status } = look(
      `printf '%s\\n' 'tcp 22 22' 'tcp 8000 8090' >"$work/open"; closed_ports <${at("seen/outside")} >${at("closed")}`,
    );
    expect(status).toBe(0);
    expect(readFileSync(at("closed"), "utf8")).toBe("udp 161 (snmpd)");
  });
});

describe("what people write", () => {
  const { at, tool, look, seen } = lookMachine();
  const told = () => {
    const body = guardChanges({ root: at("tree"), bind: { homes: at("srv/homes") } });
    expect(look(body.replaceAll("/usr/local/lib/berth/guard-storage", at("guard"))).stderr).toBe("");
    return seen("will");
  };

  it("is told of before it loses what it could do for others, with the folders that are there", () => {
    for (const name of ["tree/shared", "srv/homes"]) mkdirSync(at(name), { recursive: true });
    expect(told()).toMatch(
      /^mounts what people write nosuid and nodev, .*There already: \S+\/tree\/shared \S+\/srv\/homes$/m,
    );
    tool("dockerd", "exit 1");
    expect(told()).toContain("where they cannot be had, dockerd does not start");
    writeFileSync(at("guard"), "");
    expect(told()).toBe("");
  });
});
