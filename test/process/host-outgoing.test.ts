/**
 * The rules for what a node itself sends, put in place by the script that a node runs, in network namespaces of this
 * kernel with real sockets of real accounts: the node (with a stand-in for Docker's proxy, sshd and others on it), another
 * node that is the internet and a provider's metadata service too, a workspace behind its bridge, and a virtual machine.
 * Proves: who reaches whom, on both families; that nothing but Docker's proxy answers on people's ports, and what a
 * listener there hears. Does not prove ufw's part, nor that Ray works, which test/e2e tries.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FirewallOptions } from "../../components/host/firewall";
import { FIREWALL } from "../../components/host/retire/firewall";
import { RAY_UID } from "../../components/ray/plan";
import { placeFirewall } from "../lib/firewall-script";
import { standIns } from "../lib/host-scripts";
import { NEIGHBOUR } from "./neighbours";

/** Whether this account and kernel let a test have a network of its own, with rules about accounts in it. */
const possible =
  process.platform === "linux" &&
  spawnSync("unshare", [
    "-n",
    "sh",
    "-c",
    "iptables -A OUTPUT -m owner --uid-owner 1 -j DROP && ip6tables -S && ip link add br0 type bridge",
  ]).status === 0;

let folder: string;
const { at, tool } = standIns(() => folder);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-outgoing-"));
  for (const name of ["bin", "etc", "var"]) mkdirSync(at(name));
  tool("systemctl", "exit 0");
  tool("dockerd", "exit 1");
  tool(
    "docker",
    `case "$1 $2" in 'network ls') echo ${"5".repeat(64)} ;; 'network inspect') echo br-own ;; esac`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options: FirewallOptions & { node: string } = {
  node: "node-0",
  allowSsh: ["10.0.1.0/24"],
  allowUsers: ["10.0.1.0/24", "fd00:1::/64"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: ["10.0.1.1", "10.0.1.2", "fd00:1::/64"],
  clusterPorts: [
    { start: 6379, end: 6379 },
    { start: 31000, end: 31999 },
  ],
  rayUid: RAY_UID,
  rules: [{ port: { start: 8080, end: 8081 }, from: ["10.0.1.0/24"] }],
};

const PROGRAM = join(__dirname, "network-machine.py");
const NOBODY = 65534;

/** Who listens: in which namespace, by which account, where. */
const LISTENERS: readonly string[] = [
  // Services of the node: sshd, berthd, a name server on two addresses, something on a port of the kernel's choice.
  ...["127.0.0.1", "10.0.1.1", "::1", "fd00:1::1"].flatMap((host) =>
    [22, 9700, 45000].map((port) => `self 0 tcp ${host} ${port}`),
  ),
  "self 0 udp 127.0.0.1 53",
  "self 0 udp 127.0.0.11 41053",
  "self 0 udp 127.0.0.1 5514",
  // Docker's proxy on alice's port; carol's is free, and Ray's task and another account listen there.
  "self 0 tcp 10.0.1.1 10022",
  "self 0 tcp fd00:1::1 10022",
  ...["10.0.1.1", "fd00:1::1"].flatMap((host) => [
    `self ${RAY_UID} tcp ${host} 10202`,
    `self 1000 tcp ${host} 10302`,
    `self ${RAY_UID} tcp ${host} 6379`,
    `self ${RAY_UID} tcp ${host} 31000`,
    `self ${RAY_UID} tcp ${host} 45001`,
    // A port that is opened for somebody's service, which does not run; and one whose service does.
    `self ${RAY_UID} tcp ${host} 8080`,
  ]),
  `self ${RAY_UID} tcp 127.0.0.1 45002`,
  ...[22, 80, 443, 2049, 6379, 9700, 10022, 31000].map((port) => `WORLD 0 tcp :: ${port}`),
  ...[22, 9000].map((port) => `BOX 0 tcp :: ${port}`),
  "OWN 0 tcp :: 80",
];

/** What serves metadata, and an address beside it on the link. */
const METADATA = [
  ...["169.254.169.254", "169.254.7.7", "100.100.100.200", "168.63.129.16"],
  ...["fd00:ec2::254", "fd20:ce::254"],
];

/**
 * The node's 10.0.1.1 and fd00:1::1 are on eth0, behind which `world` is: another node (10.0.1.2, fd00:1::2), the
 * internet (203.0.113.9, 2001:db8::9) and the metadata service. `box` is a workspace, `own` a container in a network of
 * the operator's own, `guest` a virtual machine. The ports of box and own are published as Docker does it.
 */
const MACHINE = `
set -eu
pids=
trap 'kill $pids 2>/dev/null || true' EXIT
ip link set lo up
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0 net.ipv4.tcp_syncookies=\${COOKIES:-1}
${NEIGHBOUR}
neighbour world eth0 '' 10.0.1.1 10.0.1.2 fd00:1::1 fd00:1::2
neighbour box veth4 berth-ws0 172.30.0.1 172.30.0.2 fd00:4::1 fd00:4::2
neighbour own veth5 br-own 10.0.5.1 10.0.5.2 fd00:5::1 fd00:5::2
neighbour guest vnet0 virbr0 10.0.6.1 10.0.6.2 fd00:6::1 fd00:6::2
nsenter -t "$world" -n sh -c '
  for one in 169.254.169.254/32 169.254.7.7/32 100.100.100.200/32 168.63.129.16/32 203.0.113.9/32; do ip addr add $one dev eth0; done
  for one in fd00:ec2::254/128 fd20:ce::254/128 fe80::a9fe:a9fe/64 2001:db8::9/128; do ip addr add $one dev eth0 nodad; done'
ip route add 169.254.0.0/16 via 10.0.1.2
for one in 203.0.113.0/24 100.100.100.200 168.63.129.16; do ip route add $one via 10.0.1.2; done
ip -6 route add fd00:ec2::254/128 via fd00:1::2
ip -6 route add fd20:ce::254/128 via fd00:1::2
ip -6 route add 2001:db8::/32 via fd00:1::2
for rule in "10022 172.30.0.2:22 berth-ws0" "20080 10.0.5.2:80 br-own"; do
  set -- $rule
  iptables -t nat -A PREROUTING -d 10.0.1.1 ! -i "$3" -p tcp --dport "$1" -j DNAT --to "$2"
  iptables -t nat -A OUTPUT -d 10.0.1.1 -p tcp --dport "$1" -j DNAT --to "$2"
done
iptables -t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to 127.0.0.11:41053
named() { sed -e "s/^WORLD /$world /; s/^BOX /$box /; s/^OWN /$own /; s/^GUEST /$guest /"; }
chmod 0777 FOLDER
named <FOLDER/listeners >FOLDER/serve
serving=$(python3 ${PROGRAM} serve FOLDER/serve)
pids="$pids $serving"
asks() { named >FOLDER/ask && python3 ${PROGRAM} ask FOLDER/ask; }
sleep 0.3
`;

type Answers = Record<string, "yes" | "no">;

/** Runs bash in such a machine. @returns what it printed; its failure is the test's. */
function inMachine(script: string, cookies = 1): string {
  writeFileSync(at("listeners"), `${LISTENERS.join("\n")}\n`);
  const ran = spawnSync(
    "unshare",
    ["-n", "bash", "-c", `${MACHINE}\n${script}`.replaceAll("FOLDER", folder)],
    {
      encoding: "utf8",
      timeout: 60_000,
      env: { ...process.env, COOKIES: String(cookies) },
    },
  );
  expect(ran.stderr).toBe("");
  expect(ran.status).toBe(0);
  return ran.stdout;
}

const asked = (expected: Answers) => `asks <<'QUESTIONS'\n${Object.keys(expected).join("\n")}\nQUESTIONS`;
/** The questions with the answers that came. */
const answered = (expected: Answers, out: string): Answers => {
  const words = out.trim().split("\n");
  return Object.fromEntries(Object.keys(expected).map((key, i) => [key, words[i] as "yes" | "no"]));
};

const ray = (rest: string) => `self ${RAY_UID} ${rest}`;
const each = (questions: readonly string[], answer: "yes" | "no"): Answers =>
  Object.fromEntries(questions.map((question) => [question, answer]));

/** Each question, NAMESPACE UID PROTOCOL HOST PORT, with the answer that is right. */
const RIGHT: Answers = {
  // On a person's block answers the workspace, or Docker's proxy for it, to whoever asks from wherever.
  ...each(
    [
      "WORLD 0 tcp 10.0.1.1 10022",
      "WORLD 0 tcp fd00:1::1 10022",
      "BOX 1000 tcp 10.0.1.1 10022",
      "self 0 tcp 10.0.1.1 10022",
      "self 1000 tcp 10.0.1.1 10022",
    ],
    "yes",
  ),
  // And nothing else, while the workspace is down: neither Ray's task nor anybody else's process.
  ...each(
    ["WORLD 0", "BOX 1000", "self 0", "self 1000", `self ${RAY_UID}`].flatMap((who) =>
      [10202, 10302].flatMap((port) => [`${who} tcp 10.0.1.1 ${port}`, `${who} tcp fd00:1::1 ${port}`]),
    ),
    "no",
  ),
  // Nor in the place of a service that somebody else is let in to.
  ...each(["WORLD 0 tcp 10.0.1.1 8080", "WORLD 0 tcp fd00:1::1 8080", "WORLD 0 tcp 10.0.1.1 45001"], "no"),
  // Ray is reached on its ports, and reaches itself on any.
  ...each(
    [
      "WORLD 0 tcp 10.0.1.1 6379",
      "BOX 1000 tcp 10.0.1.1 31000",
      "self 0 tcp 10.0.1.1 6379",
      ray("tcp 10.0.1.1 6379"),
      ray("tcp fd00:1::1 31000"),
      ray("tcp 10.0.1.1 45001"),
      ray("tcp fd00:1::1 45001"),
      ray("tcp 127.0.0.1 45002"),
      ray("tcp 10.0.1.2 6379"),
      ray("tcp 10.0.1.2 31000"),
      ray("tcp fd00:1::2 31000"),
    ],
    "yes",
  ),
  // Ray reaches what is outside, and names.
  ...each(
    [
      ray("tcp 203.0.113.9 443"),
      ray("tcp 2001:db8::9 443"),
      ray("tcp 203.0.113.9 10022"),
      ray("udp 127.0.0.1 53"),
      ray("udp 127.0.0.11 53"),
    ],
    "yes",
  ),
  // No service of its node, on whichever address; others do.
  ...each(
    ["127.0.0.1", "10.0.1.1", "::1", "fd00:1::1"].flatMap((host) =>
      [22, 9700, 45000].map((port) => ray(`tcp ${host} ${port}`)),
    ),
    "no",
  ),
  [ray("udp 127.0.0.1 5514")]: "no",
  ...each(["self 0 tcp 127.0.0.1 22", "self 1000 tcp ::1 45000", "self 1000 udp 127.0.0.1 5514"], "yes"),
  // No workspace and no other container, on whichever port; not past it either.
  ...each(
    [
      "tcp 172.30.0.2 22",
      "tcp 172.30.0.2 9000",
      "tcp fd00:4::2 9000",
      "tcp 10.0.1.1 10022",
      "tcp 10.0.5.2 80",
      "tcp fd00:5::2 80",
      "tcp 10.0.1.1 20080",
    ].map(ray),
    "no",
  ),
  ...each(["self 0 tcp 172.30.0.2 9000", "self 0 tcp 10.0.1.1 20080"], "yes"),
  // Of other nodes Ray alone.
  ...each(
    [22, 2049, 9700, 10022].flatMap((port) => [ray(`tcp 10.0.1.2 ${port}`), ray(`tcp fd00:1::2 ${port}`)]),
    "no",
  ),
  // Containers reach Ray there, and no files: a server would take them for their node. Guests of others go on.
  ...each(["BOX 1000 tcp 10.0.1.2 6379", "BOX 1000 tcp fd00:1::2 31000", "GUEST 0 tcp 10.0.1.2 2049"], "yes"),
  ...each(
    ["BOX 0", "OWN 0"].flatMap((who) => [`${who} tcp 10.0.1.2 2049`, `${who} tcp fd00:1::2 2049`]),
    "no",
  ),
  // Metadata is root's of the node, and what others forward for their virtual machines.
  ...each(
    [
      "self 0 tcp 169.254.169.254 80",
      "self 0 tcp fd00:ec2::254 80",
      "self 0 tcp fe80::a9fe:a9fe%eth0 80",
      "GUEST 0 tcp 169.254.169.254 80",
      "GUEST 0 tcp fd00:ec2::254 80",
    ],
    "yes",
  ),
  ...each(
    [...METADATA, "fe80::a9fe:a9fe%eth0"].flatMap((host) =>
      [RAY_UID, 1000, NOBODY].map((uid) => `self ${uid} tcp ${host} 80`),
    ),
    "no",
  ),
  ...each(
    ["BOX", "OWN"].flatMap((who) => METADATA.map((host) => `${who} 0 tcp ${host} 80`)),
    "no",
  ),
  // Azure's name server is at its metadata's address.
  ...each([`self ${NOBODY} tcp 168.63.129.16 443`, "BOX 0 tcp 168.63.129.16 443"], "yes"),
};

describe.runIf(possible)("what a node sends", { timeout: 120_000 }, () => {
  it("is open to everybody without the rules, so that what is closed below is their work", () => {
    const open = Object.fromEntries(Object.keys(RIGHT).map((key) => [key, "yes" as const]));
    const out = inMachine(asked(open));
    expect(answered(open, out)).toEqual(open);
    expect(readFileSync(at("heard-10202"), "utf8")).toContain("password");
  });

  it("goes where it should, and a process on a free port of somebody's hears nothing", () => {
    placeFirewall(options, at);
    expect(answered(RIGHT, inMachine(`${at("apply")}\n${asked(RIGHT)}`))).toEqual(RIGHT);
    for (const port of [10202, 10302, 8080]) expect(statSync(at(`heard-${port}`)).size, String(port)).toBe(0);
    for (const port of [9700, 45000]) {
      const heard = existsSync(at(`heard-${port}`)) ? readFileSync(at(`heard-${port}`), "utf8") : "";
      // Others than Ray asked, where any did.
      expect(heard.length, String(port)).toBe(port === 45000 ? "password".length : 0);
    }
  });

  it("holds when a listener answers by SYN cookies, which have no socket", () => {
    placeFirewall(options, at);
    const expected: Answers = {
      "WORLD 0 tcp 10.0.1.1 10202": "no",
      "WORLD 0 tcp fd00:1::1 10202": "no",
      "WORLD 0 tcp 10.0.1.1 10302": "no",
      "WORLD 0 tcp 10.0.1.1 8080": "no",
      [ray("tcp 127.0.0.1 22")]: "no",
      [ray("tcp 127.0.0.1 45000")]: "no",
      "WORLD 0 tcp 10.0.1.1 6379": "yes",
      "self 0 tcp 127.0.0.1 22": "yes",
      [ray("tcp 10.0.1.1 6379")]: "yes",
    };
    expect(answered(expected, inMachine(`${at("apply")}\n${asked(expected)}`, 2))).toEqual(expected);
    for (const port of [10202, 10302, 8080]) expect(statSync(at(`heard-${port}`)).size, String(port)).toBe(0);
  });

  it("is no call from a guarded port either, which whoever waits for that port takes for an answer", () => {
    // As ufw does: nothing new gets in there, so who asks hears nothing and goes on waiting.
    const closed = `for tool in iptables ip6tables; do
  $tool -A INPUT -p tcp -m multiport --dports 8081,10402,10502 -m conntrack --ctstate NEW -j DROP
done`;
    const ports = [10402, 10502, 8081];
    const questions = ports.flatMap((port) => [
      `WORLD 0 tcp 10.0.1.1 ${port}`,
      `WORLD 0 tcp fd00:1::1 ${port}`,
    ]);
    const calls = ["10.0.1.1", "fd00:1::1"].flatMap((host) => [
      `self ${RAY_UID} tcp ${host} 10402`,
      `self 1000 tcp ${host} 10502`,
      `self ${RAY_UID} tcp ${host} 8081`,
    ]);
    const meeting = (first: string) => `${closed}\n${first}
named >FOLDER/calls <<'CALLS'\n${calls.join("\n")}\nCALLS
pids="$pids $(python3 ${PROGRAM} call FOLDER/calls)"
named >FOLDER/ask <<'QUESTIONS'\n${questions.join("\n")}\nQUESTIONS
python3 ${PROGRAM} ask FOLDER/ask back`;
    const heard = () => ports.map((port) => statSync(at(`heard-${port}`)).size > 0);
    const open = each(questions, "yes");
    expect(answered(open, inMachine(meeting("")))).toEqual(open);
    expect(heard()).toEqual([true, true, true]);
    for (const port of ports) rmSync(at(`heard-${port}`));
    placeFirewall(options, at);
    const shut = each(questions, "no");
    expect(answered(shut, inMachine(meeting(at("apply"))))).toEqual(shut);
    expect(heard()).toEqual([false, false, false]);
  });

  it("lets DigitalOcean's monitoring agent ask, where it is installed, and no other account", () => {
    writeFileSync(at("do-agent.service"), "[Service]\nUser=nobody\n");
    placeFirewall(options, at);
    const expected: Answers = {
      [`self ${NOBODY} tcp 169.254.169.254 80`]: "yes",
      [`self ${NOBODY} tcp 169.254.169.254 443`]: "no",
      [`self ${NOBODY} tcp 169.254.7.7 80`]: "no",
      [ray("tcp 169.254.169.254 80")]: "no",
    };
    expect(answered(expected, inMachine(`${at("apply")}\n${asked(expected)}`))).toEqual(expected);
  });

  it("without Ray has the rules of everybody, and nothing of Ray's", () => {
    const { rayUid: _uid, ...without } = options;
    placeFirewall({ ...without, clusterPorts: [] }, at);
    const expected: Answers = {
      "self 1000 tcp 169.254.169.254 80": "no",
      "WORLD 0 tcp 10.0.1.1 10202": "no",
      "WORLD 0 tcp 10.0.1.1 10022": "yes",
      [ray("tcp 127.0.0.1 22")]: "yes",
    };
    expect(answered(expected, inMachine(`${at("apply")}\n${asked(expected)}`))).toEqual(expected);
  });

  it("stands before ufw's rules, is the same after another run, and goes with the node", () => {
    placeFirewall(options, at);
    const [values = ""] = FIREWALL.split("\n");
    const step = FIREWALL.slice(FIREWALL.indexOf("for tool in"), FIREWALL.indexOf("if ! command -v ufw"));
    const chains = `${values}\n${step}`;
    const out = inMachine(`
${at("apply")}
iptables-save | grep -v '^#' >${at("first")}; ip6tables-save | grep -v '^#' >>${at("first")}
${at("apply")} ask
iptables-save | grep -v '^#' >${at("second")}; ip6tables-save | grep -v '^#' >>${at("second")}
sed -i 's/ \\[[0-9:]*\\]//' ${at("first")} ${at("second")}
cmp ${at("first")} ${at("second")} && echo same
iptables -I OUTPUT 1 -o lo -j ACCEPT
${at("apply")}
iptables -S OUTPUT
changed() { echo "changed $*"; }
${chains}
iptables -S OUTPUT
iptables-save | grep -c BERTH || true
ip6tables-save | grep -c BERTH || true`);
    expect(out.trim().split("\n")).toEqual([
      "same",
      "-P OUTPUT ACCEPT",
      "-A OUTPUT -j BERTH-OUT",
      "-A OUTPUT -o lo -j ACCEPT",
      "changed chains of iptables",
      "changed chains of ip6tables",
      "-P OUTPUT ACCEPT",
      "-A OUTPUT -o lo -j ACCEPT",
      "0",
      "0",
    ]);
  });
});
