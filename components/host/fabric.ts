/**
 * InfiniBand: the tools, IP over it, and what NCCL must know. Pure.
 *
 * A node without such a device is left as it is, with the reason among the facts.
 */

import { isInterface } from "../../config";
import { parseNetwork } from "./networks";
import { checkWhole, heredoc, quote, StageOptionError } from "./shell";
import { type Json, parseFacts, renderStage, type StageStep } from "./stage";

export interface FabricInterface {
  /** Its name on the node, such as `ib0` or `ibp65s0`. */
  name: string;
  /** Address with its prefix length, such as `10.15.22.9/24`. */
  address: string;
  /**
   * `connected` carries 64 KiB packets; ConnectX-4 and newer offer `datagram` alone.
   * @default "connected" where `mtu` is above 4092, else "datagram"
   */
  mode?: "datagram" | "connected";
  /** @default what the fabric gives; 65520 when connected */
  mtu?: number;
}

export interface FabricSpec {
  /** Interfaces that get an address. One that leaves the list loses Berth's file at the next boot. @default [] */
  interfaces?: readonly FabricInterface[];
}

interface PlannedInterface {
  name: string;
  address: string;
  mode: "datagram" | "connected";
  mtu?: number;
}

/** Limits of the kernel's IPoIB (drivers/infiniband/ulp/ipoib): 64 KiB less 16, and 4 KiB less 4. */
const MAX_MTU = { connected: 65520, datagram: 4092 } as const;

/**
 * The stage `fabric`. Facts: `fabric` (`infiniband`, or `skipped` with `reason`), `ports` (device, port, state,
 * rate in Gb/s, link), `interfaces` (name, address, mtu, mode), `verbs` (devices that programs can use), `nccl`
 * (environment for Ray and workspaces; only ports that are Active and InfiniBand, and interfaces with an address).
 * @throws StageOptionError for a value that cannot be.
 */
export function renderFabric(options: FabricSpec & { node: string }): string {
  return renderStage({
    name: "fabric",
    node: options.node,
    uses: ["files", "apt"],
    steps: fabricSteps(options),
  });
}

export function fabricSteps(options: FabricSpec): StageStep[] {
  const interfaces = (options.interfaces ?? []).map(planInterface);
  const names = interfaces.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new StageOptionError("fabric.interfaces", twice, "each interface once");
  return [
    { name: "InfiniBand devices", body: DEVICES, deadlineSeconds: 1200 },
    { name: "IP over InfiniBand", body: addresses(interfaces), deadlineSeconds: 300 },
    { name: "facts", body: facts(names), deadlineSeconds: 120 },
  ];
}

function planInterface(given: FabricInterface, i: number): PlannedInterface {
  const where = `fabric.interfaces[${i}]`;
  if (!isInterface(given.name)) {
    throw new StageOptionError(`${where}.name`, given.name, "a network interface, such as 'ib0'");
  }
  const [host = "", prefix] = given.address.split("/");
  const { family } = parseNetwork(host, `${where}.address`);
  if (prefix === undefined || !/^\d{1,3}$/.test(prefix)) {
    throw new StageOptionError(
      `${where}.address`,
      given.address,
      "an address with its prefix length, 10.15.22.9/24",
    );
  }
  checkWhole(Number(prefix), `${where}.address`, 1, family === 4 ? 32 : 128);
  const large = (given.mtu ?? 0) > MAX_MTU.datagram;
  const mode = given.mode ?? (large ? "connected" : "datagram");
  if (mode !== "datagram" && mode !== "connected") {
    throw new StageOptionError(`${where}.mode`, mode, "datagram or connected");
  }
  const mtu = given.mtu ?? (mode === "connected" ? MAX_MTU.connected : undefined);
  if (mtu !== undefined) checkWhole(mtu, `${where}.mtu`, 1280, MAX_MTU[mode]);
  return { name: given.name, address: given.address, mode, ...(mtu === undefined ? {} : { mtu }) };
}

const DEVICES = `
has_device() { [ -n "$(ls -A /sys/class/infiniband 2>/dev/null)" ]; }
# Class 0207: InfiniBand controllers. The card may be there before its driver is.
if ! has_device && ! lspci -n 2>/dev/null | grep -q -E ' 0207: '; then
  fact fabric skipped
  fact reason 'no InfiniBand device: none in /sys/class/infiniband, none of class 0207 on the PCI bus'
  return 0
fi
# The drivers of cards for programs (mlx5 and others) are in a package that no other one needs.
apt_install rdma-core ibverbs-providers ibverbs-utils infiniband-diags
place 0644 /etc/modules-load.d/berth-fabric.conf <<'MODULES'
ib_umad
ib_uverbs
ib_ipoib
MODULES
for module in ib_umad ib_uverbs ib_ipoib; do
  if [ ! -d "/sys/module/$module" ]; then modprobe "$module" || printf '%s: not in this kernel\\n' "$module"; fi
done
if ! has_device; then
  fact fabric skipped
  fact reason 'an InfiniBand card is on the PCI bus, and the kernel has no driver for it: see dmesg'
  return 0
fi
fact fabric infiniband
: >"$work/fabric"
`;

/** Files for systemd-networkd sort before netplan's (10-netplan-…): the first that matches an interface counts. */
function networkdFile({ name, address, mtu }: PlannedInterface): string {
  const link = mtu === undefined ? "" : `MTUBytes=${mtu}\n`;
  return `# Rendered by Berth: a change here is lost.\n[Match]\nName=${name}\n\n[Link]\n${link}RequiredForOnline=no\n\n[Network]\nAddress=${address}\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n`;
}

function ifupdownFile({ name, address, mtu }: PlannedInterface): string {
  const family = address.includes(":") ? "inet6" : "inet";
  const line = mtu === undefined ? "" : `    mtu ${mtu}\n`;
  return `# Rendered by Berth: a change here is lost.\nauto ${name}\niface ${name} ${family} static\n    address ${address}\n${line}`;
}

function addresses(interfaces: readonly PlannedInterface[]): string {
  const calls = interfaces.map((one) => {
    const { name, address, mode, mtu } = one;
    return `
up ${quote(name)} ${quote(address)} ${mode} ${mtu ?? "''"}
case $manager in
  networkd) place 0644 /etc/systemd/network/05-berth-${name}.network fabric ${heredoc(networkdFile(one))}
  ;;
  ifupdown) place 0644 /etc/network/interfaces.d/berth-${name} fabric ${heredoc(ifupdownFile(one))}
  ;;
esac`;
  });
  const rules = interfaces
    .map(({ name, mode }) => `ACTION=="add", SUBSYSTEM=="net", KERNEL=="${name}", ATTR{mode}="${mode}"\n`)
    .join("");
  const names = interfaces.map(({ name }) => name);
  return `
[ -e "$work/fabric" ] || return 0
manager=none names=${quote(names.join(" "))}
if systemctl is-active -q systemd-networkd.service; then
  manager=networkd
elif command -v ifup >/dev/null && grep -q -E '^[[:space:]]*source(-directory)?[[:space:]]+/etc/network/interfaces\\.d' /etc/network/interfaces; then
  manager=ifupdown
fi
${interfaces.length > 0 ? `if [ "$manager" = none ]; then\n  fail 'neither systemd-networkd nor ifupdown (with interfaces.d) runs the network here: Berth gives no address to InfiniBand interfaces then'\nfi` : ""}
fact networkManager "$manager"
has() { ip -o addr show dev "$1" | awk '{print $4}' | grep -q -x -F -e "$2"; }
# NAME ADDRESS MODE MTU: the mode first, since it decides which MTU is possible.
up() {
  local mode
  if [ ! -d "/sys/class/net/$1" ]; then
    fail "fabric.interfaces: no interface $1. InfiniBand interfaces here: $(grep -l -x 32 /sys/class/net/*/type 2>/dev/null | sed 's|/type$||; s|.*/||' | paste -s -d ' ')"
  fi
  # ARPHRD_INFINIBAND, linux/if_arp.h.
  if [ "$(cat "/sys/class/net/$1/type")" != 32 ]; then fail "$1 is no InfiniBand interface"; fi
  mode=$(cat "/sys/class/net/$1/mode" 2>/dev/null || true)
  if [ "$mode" != "$3" ]; then
    { printf '%s\\n' "$3" >"/sys/class/net/$1/mode"; } 2>/dev/null || true
    if [ "$(cat "/sys/class/net/$1/mode" 2>/dev/null || true)" != "$3" ]; then
      fail "$1 does not take the mode $3: ConnectX-4 and newer offer datagram alone"
    fi
    changed "mode of $1"
  fi
}
${calls.join("\n")}
for file in /etc/systemd/network/05-berth-*.network /etc/network/interfaces.d/berth-*; do
  [ -e "$file" ] || continue
  name=\${file##*berth-}
  case " $names " in *" \${name%.network} "*) ;; *) unplace "$file" fabric ;; esac
done
${rules === "" ? "unplace /etc/udev/rules.d/70-berth-fabric.rules" : `place 0644 /etc/udev/rules.d/70-berth-fabric.rules ${heredoc(rules)}`}
if pending fabric; then
  case $manager in
    networkd)
      networkctl reload
      ${names.length > 0 ? `networkctl reconfigure ${names.join(" ")}` : ":"}
      ;;
    ifupdown)
      ${names.length > 0 ? `for name in ${names.join(" ")}; do\n        ifdown --force "$name" || true\n        ifup "$name"\n      done` : ":"}
      ;;
  esac
  settled fabric
fi
${interfaces.map(({ name, address }) => `wait_for 30 ${quote(`${address} on ${name}`)} has ${quote(name)} ${quote(address)}`).join("\n")}
`.trim();
}

function facts(names: readonly string[]): string {
  return `
[ -e "$work/fabric" ] || return 0
# One line for each port: CA PORT STATE RATE LINK.
ibstat | awk '
  function flush() { if (port != "") print ca, port, state, rate, link; port = "" }
  /^CA / { flush(); gsub(/\\047/, "", $2); ca = $2 }
  /^[ \\t]*Port [0-9]+:/ { flush(); port = $2; sub(/:/, "", port); state = "?"; rate = 0; link = "?" }
  /^[ \\t]*State:/ { state = $2 }
  /^[ \\t]*Rate:/ { rate = ($2 + 0) }
  /^[ \\t]*Link layer:/ { link = $3 }
  END { flush() }' >"$work/ports"
cat -- "$work/ports"
fact_json ports "[$(awk '{printf "%s{\\"device\\":\\"%s\\",\\"port\\":%d,\\"state\\":\\"%s\\",\\"gbps\\":%s,\\"link\\":\\"%s\\"}", (NR > 1 ? "," : ""), $1, $2, $3, $4, $5}' "$work/ports")]"
# What programs see through libibverbs: a device without its userspace driver is missing here.
fact_json verbs "$(ibv_devinfo -l 2>/dev/null | sed -n 's/^[[:space:]]\\{1,\\}\\([^[:space:]]\\{1,\\}\\).*/\\1/p' | json_lines)"
: >"$work/interfaces"
names=${quote(names.join(" "))}
for name in $names; do
  printf '{"name":%s,"address":%s,"mtu":%s,"mode":%s}\\n' "$(json_string "$name")" \\
    "$(json_string "$(ip -o addr show dev "$name" scope global | awk 'NR == 1 {print $4}')")" \\
    "$(cat "/sys/class/net/$name/mtu")" "$(json_string "$(cat "/sys/class/net/$name/mode" 2>/dev/null || true)")" >>"$work/interfaces"
done
fact_json interfaces "[$(paste -s -d , -- "$work/interfaces")]"
# A leading = makes NCCL take the names as they are, not as beginnings: mlx5_1 is not mlx5_10.
hca=$(awk '$3 == "Active" && $5 == "InfiniBand" {print $1 ":" $2}' "$work/ports" | paste -s -d ,)
socket=${quote(names.join(","))}
nccl=''
if [ -n "$hca" ]; then nccl="\\"NCCL_IB_HCA\\":$(json_string "=$hca")"; fi
if [ -n "$hca" ] && [ -n "$socket" ]; then nccl="$nccl,\\"NCCL_SOCKET_IFNAME\\":$(json_string "=$socket")"; fi
fact_json nccl "{$nccl}"
`;
}

export interface FabricFacts {
  /** `infiniband`, or `skipped`. */
  fabric: string;
  /** Why it was skipped; empty when it was not. */
  reason: string;
  /** Environment for Ray and workspaces: `NCCL_IB_HCA`, `NCCL_SOCKET_IFNAME`, or none. */
  nccl: Record<string, string>;
}

/** The facts of stage `fabric`. @throws Error as `parseFacts` does. */
export function readFabricFacts(stdout: string): FabricFacts {
  const { fabric, reason, nccl } = parseFacts(stdout);
  const text = (value: Json | undefined) => (typeof value === "string" ? value : "");
  const given = typeof nccl === "object" && nccl !== null && !Array.isArray(nccl) ? nccl : {};
  const known = ["NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"].filter((key) => text(given[key]) !== "");
  return {
    fabric: text(fabric),
    reason: text(reason),
    nccl: Object.fromEntries(known.map((key) => [key, text(given[key])])),
  };
}
