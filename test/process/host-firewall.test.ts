/**
 * The rules for what a machine forwards, put in place by the script that a node runs, in network namespaces of this
 * kernel: an uplink with a client behind it, a virtual machine's bridge, a VPN, and a bridge of Docker's that has a name
 * of its own. Docker and systemd are stand-ins; iptables, its rules and the packets are real.
 * Proves: who reaches whom before and after, on both families. Does not prove ufw's part, which test/e2e tries.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placeFirewall } from "../lib/firewall-script";
import { standIns } from "../lib/host-scripts";
import { NEIGHBOUR } from "./neighbours";

/** Whether this account and kernel let a test have a network of its own, with iptables in it. */
const possible =
  process.platform === "linux" &&
  spawnSync("unshare", ["-n", "sh", "-c", "iptables -S && ip6tables -S && ip link add br0 type bridge"])
    .status === 0;

let folder: string;
const { at, tool } = standIns(() => folder);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-forward-"));
  for (const name of ["bin", "etc", "var"]) mkdirSync(at(name));
  tool("systemctl", `[ -e ${at("docker-runs")} ]`);
  tool("dockerd", "exit 1");
  network("br-mailcow");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What Docker answers about its networks, and whether it can be asked. */
function network(bridge: string, runs = true): void {
  tool(
    "docker",
    `case "$1 $2" in 'network ls') echo ${"5".repeat(64)} ;; 'network inspect') echo ${bridge} ;; esac`,
  );
  if (runs) writeFileSync(at("docker-runs"), "");
  else rmSync(at("docker-runs"), { force: true });
}

const options = {
  node: "node-0",
  allowSsh: ["10.0.1.0/24"],
  allowUsers: ["10.0.1.0/24", "fd00:1::/64"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: [],
  clusterPorts: [],
};

const place = (keep: readonly (4 | 6)[] = []): void => placeFirewall(options, at, keep);

/**
 * A machine with four neighbours, each a network namespace: `world` on the uplink, `guest` on a virtual machine's
 * bridge, `peer` on a VPN, `box` on Docker's bridge. Each has 10.0.N.2 and fd00:N::2 behind the machine's 10.0.N.1 and
 * fd00:N::1, and answers on TCP port 80. The machine publishes box's port on 10080 and 9000, and sends 8443 to the guest.
 */
const MACHINE = `
set -eu
pids=
trap 'kill $pids 2>/dev/null || true' EXIT
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
${NEIGHBOUR}
answering_neighbour() { # NUMBER NAME INTERFACE BRIDGE?
  neighbour "$2" "$3" "\${4:-}" "10.0.$1.1" "10.0.$1.2" "fd00:$1::1" "fd00:$1::2"
  eval "who=\\$$2"
  nsenter -t "$who" -n python3 -c '
import socket
s = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
while True: s.accept()[0].close()' &
  pids="$pids $!"
}
answering_neighbour 1 world eth0
answering_neighbour 2 guest vnet0 virbr0
answering_neighbour 3 peer wg0
answering_neighbour 4 box veth4 br-mailcow
for tool in iptables ip6tables; do
  if [ $tool = iptables ]; then box_at=10.0.4.2 guest_at=10.0.2.2 world_at=10.0.1.2; else box_at='[fd00:4::2]' guest_at='[fd00:2::2]' world_at='[fd00:1::2]'; fi
  for port in 10080 9000; do
    $tool -t nat -A PREROUTING -m addrtype --dst-type LOCAL ! -i br-mailcow -p tcp --dport $port -j DNAT --to "$box_at:80"
  done
  $tool -t nat -A PREROUTING -i eth0 -p tcp --dport 8443 -j DNAT --to "$guest_at:80"
  # A virtual machine's name server is elsewhere than it thinks.
  $tool -t nat -A PREROUTING -i virbr0 -p tcp --dport 53 -j DNAT --to "$world_at:80"
done
asks() { # WHO HOST PORT
  eval "who=\\$$1"
  if nsenter -t "$who" -n python3 -c 'import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5).close()' "$2" "$3" 2>/dev/null; then echo "$1 $2 $3 yes"; else echo "$1 $2 $3 no"; fi
}
until [ "$(asks world 10.0.4.2 80)$(asks box 10.0.1.2 80)$(asks guest 10.0.3.2 80)" = "world 10.0.4.2 80 yesbox 10.0.1.2 80 yesguest 10.0.3.2 80 yes" ]; do sleep 0.1; done
`;

/** Runs bash in such a machine. @returns what it printed; its failure is the test's. */
function inMachine(script: string): string {
  const ran = spawnSync("unshare", ["-n", "bash", "-c", `${MACHINE}\n${script}`], {
    encoding: "utf8",
    timeout: 60_000,
  });
  expect(ran.stderr).toBe("");
  expect(ran.status).toBe(0);
  return ran.stdout;
}

/** One question a line, `WHO HOST PORT`; the answers side by side, in their order. */
const ask = (questions: readonly string[]) =>
  `rm -f ${at("answer-")}*\n${questions.map((question, i) => `asks ${question} >${at(`answer-${String(i).padStart(2, "0")}`)} & waiting="\${waiting:-} $!"`).join("\n")}\nwait $waiting; waiting=; cat ${at("answer-")}*`;

/** Each question with the answer that is right. */
const ALWAYS: Record<string, "yes" | "no"> = {
  // Others' forwarding: a virtual machine and a VPN get out, are reached by a route, and reach each other.
  "guest 10.0.1.2 80": "yes",
  "guest fd00:1::2 80": "yes",
  "world 10.0.2.2 80": "yes",
  "world fd00:2::2 80": "yes",
  "peer 10.0.1.2 80": "yes",
  "peer fd00:1::2 80": "yes",
  "peer 10.0.2.2 80": "yes",
  // Containers get out.
  "box 10.0.1.2 80": "yes",
  "box fd00:1::2 80": "yes",
  // Published in nobody's block, forwarded by DNAT, or straight to a container past its ports: closed.
  "world 10.0.1.1 9000": "no",
  "world fd00:1::1 9000": "no",
  "guest 10.0.2.1 9000": "no",
  "world 10.0.1.1 8443": "no",
  "world 10.0.4.2 80": "no",
  "world fd00:4::2 80": "no",
  "peer 10.0.4.2 80": "no",
};
const answers = (expected: Record<string, string>) =>
  `${Object.entries(expected)
    .map(([question, answer]) => `${question} ${answer}`)
    .join("\n")}\n`;

const PUBLISHED = {
  "world 10.0.1.1 10080": "yes",
  "world fd00:1::1 10080": "yes",
  "guest 10.0.2.1 10080": "no",
  "peer 10.0.3.1 10080": "no",
} as const;

describe.runIf(possible)("what is forwarded", () => {
  it("stays with whose it is, and published ports are guarded, also on a bridge with a name of its own", () => {
    place();
    const expected = {
      ...ALWAYS,
      ...PUBLISHED,
      // Between guests of others, and out: no published port, though its destination is another one.
      "guest 10.9.9.9 53": "yes",
      "guest fd00:9::9 53": "yes",
    };
    expect(inMachine(`${at("apply")}\n${ask(Object.keys(expected))}`)).toBe(answers(expected));
  });

  it("is judged by Docker's last answer while it cannot be asked, and a bridge made since is guarded", () => {
    place();
    const known = { ...ALWAYS, ...PUBLISHED };
    const unknown = {
      ...PUBLISHED,
      "guest 10.0.1.2 80": "yes",
      "world 10.0.1.1 9000": "no",
      "world 10.0.1.1 8443": "no",
    };
    // Started before dockerd; asked once it runs; then a start at which it cannot be asked.
    const out = inMachine(`
rm ${at("docker-runs")}
${at("apply")}
${ask(Object.keys(unknown))}
${at("apply")} ask
${at("apply")}
${ask(Object.keys(known))}`);
    expect(out).toBe(answers(unknown) + answers(known));
  });

  it("is closed to a network that Docker made since it was last asked, and goes on to bridges that only look so", () => {
    place();
    const since = {
      // Its container gets out, and to one beside it; nobody comes straight to it, from outside or another bridge.
      "fresh 10.0.1.2 80": "yes",
      "fresh fd00:1::2 80": "yes",
      "world 10.0.5.2 80": "no",
      "world fd00:5::2 80": "no",
      "guest 10.0.5.2 80": "no",
      "lan 10.0.5.2 80": "no",
      "peer fd00:5::2 80": "no",
      "lan 10.0.1.2 80": "yes",
      "world 10.0.6.2 80": "yes",
      "world fd00:6::2 80": "yes",
      "peer 10.0.6.2 80": "yes",
    };
    const before = { "world 10.0.6.2 80": "yes", "world fd00:6::2 80": "yes" };
    const out = inMachine(`
answer() { until [ "$(asks "$1" 10.0.1.2 80)$(asks "$1" fd00:1::2 80)" = "$1 10.0.1.2 80 yes$1 fd00:1::2 80 yes" ]; do sleep 0.1; done; }
answering_neighbour 6 lan veth6 br-lan
answer lan
until [ "$(asks world fd00:6::2 80)" = 'world fd00:6::2 80 yes' ]; do sleep 0.1; done
rm ${at("docker-runs")}
${at("apply")}
${ask(Object.keys(before))}
: >${at("docker-runs")}
${at("apply")}
answering_neighbour 5 fresh veth5 br-0123456789ab
answer fresh
${ask(Object.keys(since))}`);
    expect(out).toBe(answers(before) + answers(since));
  });

  it("is no guests' affair on a bridge that has none yet", () => {
    place();
    const out = inMachine(`
ip link add brnew type bridge
${at("apply")}
iptables -S BERTH-USER | grep -c -e '-i brnew -g BERTH-GUESTS' || true
ip link add vm0 type veth peer name vm1
ip link set vm0 master brnew
${at("apply")}
iptables -S BERTH-USER | grep -c -e '-i brnew -g BERTH-GUESTS'`);
    expect(out).toBe("0\n1\n");
  });

  it("is let through last of all where it was before ufw closed FORWARD, one family alone if need be", () => {
    place([4]);
    // What Docker writes for a container that may get out, and for one that is published.
    const docker = "-o br-mailcow -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    const out = inMachine(`
for tool in iptables ip6tables; do
  $tool -P FORWARD DROP
  $tool -A FORWARD ${docker}
done
${at("apply")}
# ufw puts its own behind it, and the next run sets that right.
iptables -A FORWARD -d 10.0.3.2 -j DROP
${at("apply")}
${at("apply")}
iptables -S FORWARD | grep -c -e berth-others
iptables -S FORWARD | tail -n 1 | grep -c -e berth-others
ip6tables -S FORWARD | grep -c -e berth-others || true
${ask(["guest 10.0.1.2 80", "world 10.0.2.2 80", "world 10.0.1.1 10080", "world 10.0.1.1 9000", "guest 10.0.3.2 80", "guest fd00:1::2 80"])}
: >${at("etc/forward")}
${at("apply")}
iptables -S FORWARD | grep -c -e berth-others || true
${ask(["guest 10.0.1.2 80"])}`);
    expect(out).toBe(
      `1\n1\n0\n${answers({ "guest 10.0.1.2 80": "yes", "world 10.0.2.2 80": "yes", "world 10.0.1.1 10080": "yes", "world 10.0.1.1 9000": "no", "guest 10.0.3.2 80": "no", "guest fd00:1::2 80": "no" })}0\n${answers({ "guest 10.0.1.2 80": "no" })}`,
    );
  });

  it("is no failure of dockerd's start where an interface has a name that no rule can hold", () => {
    network("br+x");
    place();
    expect(inMachine(`${at("apply")} 2>&1; iptables -S BERTH-USER | grep -c -F -e 'br+x' || true`)).toBe(
      `${"no rule is written for the interface br+x: its name holds more than letters, digits, and _.:@-\n".repeat(4)}0\n`,
    );
  });
});
