/**
 * Which interfaces are Docker's: it is asked, whatever they are called.
 * Proves: facts and the preflight tell a machine's own addresses and other people's rules apart from Docker's by its
 * answer; what was forwarded before is kept by the record. That packets pass is proved in test/process/host-firewall.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ownAddresses } from "../../components/host/bridges";
import { renderFirewall } from "../../components/host/firewall";
import { readerLibrary } from "../../components/host/retire/before";
import { DOCKER, FIREWALLS } from "../../components/host/retire/looks";
import { stageBody } from "../../components/host/stage";
import { lookMachine } from "./host-look-helpers";

const { at, tool, look, seen, calls } = lookMachine();

/** Docker with networks on these bridges; undefined: it is not running, and a question would start it. */
function docker(bridges: readonly string[] | undefined): void {
  tool("systemctl", bridges ? '[ "$*" = "is-active -q docker.service" ]' : "exit 3");
  tool("dockerd", "exit 1");
  tool(
    "docker",
    `record "$@"
case "$1 $2" in
  'network ls') printf '%s\\n' ${bridges?.map((_, i) => `id${i}`).join(" ") ?? ""} ;;
  'network inspect') printf '%s\\n' ${bridges?.join(" ") ?? ""} ;;
  'info -f') case $3 in *ServerVersion*) echo 28.0.1 ;; *Swarm*) echo inactive ;; *) echo 0 ;; esac ;;
esac`,
  );
}

describe("the machine's own addresses", () => {
  const interfaces = (...names: string[]) =>
    tool(
      "ip",
      `printf '%s\\n' ${names.map((name, i) => `'${i + 2}: ${name}    inet 10.0.${i}.1/24 scope global ${name}'`).join(" ")}`,
    );
  const own = () =>
    look(`${ownAddresses}\nown_addresses >"$work/own"`) &&
    seen("own")
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]);

  it.each([
    ["an uplink that looks like Docker's", ["br-lan", "docker-uplink", "veth-wan", "br-0123456789ab"]],
    ["bridges of virtual machines and of other container tools", ["eth0", "virbr0", "lxdbr0", "podman1"]],
  ])("hold %s", (_, names) => {
    docker(["br-mailcow"]);
    interfaces(...names, "docker0", "br-mailcow");
    expect(own()).toEqual(names);
  });

  it("are told without starting a Docker that does not run", () => {
    docker(undefined);
    interfaces("eth0", "docker0");
    expect(own()).toEqual(["eth0"]);
    expect(calls()).toEqual([]);
  });
});

describe("the rules that are there", () => {
  const tables = (filter: string[], nat: string[] = []) => {
    const print = (lines: string[]) => `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ") || "''"}`;
    tool("iptables", `case "$*" in *' nat '*) ${print(nat)} ;; *) ${print(filter)} ;; esac`);
  };

  it("are Docker's on every bridge that it calls its own, and others' on one that only looks so", () => {
    docker(["docker0", "br-mailcow", "shop"]);
    tables([
      "-A FORWARD -i br-mailcow ! -o br-mailcow -j ACCEPT",
      "-A FORWARD -o shop -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
      "-A FORWARD -m comment --comment berth-others -j ACCEPT",
      "-A FORWARD -j NETAVARK_FORWARD",
      "-A FORWARD -i br-lan -o br-0badc0ffee00 -j ACCEPT",
      "-A FORWARD -i docker-uplink -j ACCEPT",
      "-A INPUT -i br-mailcow2 -j ACCEPT",
    ]);
    const { facts, stderr } = look(DOCKER, FIREWALLS);
    expect(stderr).toBe("");
    expect(facts.otherFirewalls).toEqual([
      "iptables: 1 rules of others in INPUT",
      "iptables: 2 rules of others in FORWARD",
    ]);
  });

  it("are told where they forward ports, which the firewall guards like published ones", () => {
    docker([]);
    tables(
      [],
      [
        "-P PREROUTING ACCEPT",
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 192.168.122.5:443",
        "-A NETAVARK-DN-1D8 -p udp -m udp --dport 5000:5010 -j DNAT --to-destination 10.89.0.2:5000",
        "-A PREROUTING -p tcp -m multiport --dports 25,993 -j DNAT --to-destination 10.0.0.9",
        "-A PREROUTING -d 203.0.113.9/32 -j DNAT --to-destination 192.168.122.6",
        "-A KUBE-SEP-OX6 -p tcp -m tcp -j DNAT --to-destination 10.42.0.3:53",
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80",
        "-A OUTPUT -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.0.0.9",
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
      ],
    );
    expect(look(DOCKER, FIREWALLS).stderr).toBe("");
    expect(seen("redirected").trim().split("\n")).toEqual([
      "tcp 8443 8443 PREROUTING",
      "udp 5000 5010 NETAVARK-DN-1D8",
      "tcp 25 25 PREROUTING",
      "tcp 993 993 PREROUTING",
      "tcp 1 65535 PREROUTING",
    ]);
  });
});

describe("what was forwarded before", () => {
  const body = stageBody(
    renderFirewall({
      node: "n",
      allowSsh: ["::/0"],
      allowUsers: [],
      userPorts: [],
      clusterAddresses: [],
      clusterPorts: [],
    }),
  );
  const keep = /^for family in 4 6; do\n[\s\S]*?^done >"\$work\/forward"$/m.exec(body)?.[0] ?? "exit 1";
  const policy = /^forward=\n[\s\S]*?^fi$/m.exec(body)?.[0] ?? "exit 1";
  const after = (record: Record<string, string> | undefined) => {
    mkdirSync(at("state"), { recursive: true });
    if (record) {
      const lines = Object.entries(record).map(([key, value]) => `"${key}":"${value}",\n`);
      writeFileSync(at("state/before.json"), `{\n${lines.join("")}"end":""\n}\n`);
    }
    expect(look(`${readerLibrary}\n${keep}\n${policy}\nprintf %s "$forward" >"$work/policy"`).stderr).toBe(
      "",
    );
    return { kept: readFileSync(at("seen/forward"), "utf8"), policy: seen("policy") };
  };
  const base64 = (text: string) => Buffer.from(text).toString("base64");

  it.each([
    ["no record: a machine of Berth's own", undefined, "", ""],
    [
      "a router",
      { ufw: "inactive", forward4: "ACCEPT", forwarding4: "1", forward6: "ACCEPT", forwarding6: "1" },
      "4\n6\n",
      "",
    ],
    [
      "Docker closed IPv4",
      { ufw: "missing", forward4: "DROP", forwarding4: "1", forward6: "ACCEPT", forwarding6: "1" },
      "6\n",
      "",
    ],
    [
      "nothing was forwarded at all",
      { ufw: "inactive", forward4: "ACCEPT", forwarding4: "0", forward6: "ACCEPT", forwarding6: "0" },
      "",
      "",
    ],
    ["an older record", { ufw: "inactive", forward4: "ACCEPT", forward6: "ACCEPT" }, "", ""],
    [
      "a ufw that let it through",
      {
        ufw: "active",
        forward4: "ACCEPT",
        forwarding4: "1",
        ufwDefaults: base64('IPV6=yes\nDEFAULT_FORWARD_POLICY="ACCEPT"\n'),
      },
      "",
      '"ACCEPT"',
    ],
  ] as const)("goes on: %s", (_, record, kept, policy) => {
    expect(after(record)).toEqual({ kept, policy });
  });
});
