/**
 * InfiniBand: the tools, IP over it, and what NCCL must know. Pure.
 *
 * A node without such a device is left as it is, with the reason among the facts.
 */

import { scriptsOf } from "./script";
import { heredoc, quote, quoteAll } from "./shell";
import { parseFacts, renderStage, type StageStep, text } from "./stage";

const script = scriptsOf(__dirname);

export interface FabricInterface {
  /** Its name on the node, such as `ib0` or `ibp65s0`. */
  name: string;
  /** Address with its prefix length, such as `10.15.22.9/24`. */
  address: string;
  /** @default what the fabric gives */
  mtu?: number;
}

export interface FabricSpec {
  /** Interfaces that get an address. One that leaves the list loses Berth's file at the next boot. @default [] */
  interfaces?: readonly FabricInterface[];
}

interface PlannedInterface extends FabricInterface {
  /** `connected` carries 64 KiB packets; ConnectX-4 and newer offer `datagram` alone. */
  mode: "datagram" | "connected";
}

/** The most of `datagram` in the kernel's IPoIB (drivers/infiniband/ulp/ipoib): 4 KiB less 4. */
const DATAGRAM_MTU = 4092;

/**
 * The stage `fabric`. Facts: `fabric` (`infiniband`, or `skipped` with `reason`), `ports` (device, port, state,
 * rate in Gb/s, link), `interfaces` (name, address, mtu, mode), `verbs` (devices that programs can use), `nccl`
 * (environment for Ray and workspaces; only ports that are Active and InfiniBand, and interfaces with an address).
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
  const interfaces = (options.interfaces ?? []).map(
    (one): PlannedInterface => ({ ...one, mode: (one.mtu ?? 0) > DATAGRAM_MTU ? "connected" : "datagram" }),
  );
  return [
    { name: "InfiniBand devices", body: DEVICES, deadlineSeconds: 1200 },
    { name: "IP over InfiniBand", body: addresses(interfaces), deadlineSeconds: 300 },
    { name: "facts", body: facts(interfaces.map(({ name }) => name)), deadlineSeconds: 120 },
  ];
}

const DEVICES = script("fabric-devices.sh");

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
  const rules = interfaces
    .map(({ name, mode }) => `ACTION=="add", SUBSYSTEM=="net", KERNEL=="${name}", ATTR{mode}="${mode}"\n`)
    .join("");
  const names = interfaces.map(({ name }) => name);
  return [
    `names=(${quoteAll(names)})`,
    `interfaces=(${quoteAll(interfaces.flatMap(({ name, address, mode }) => [name, address, mode]))})`,
    ...interfaces.flatMap((one) => [
      `cat >"$work/"${quote(`networkd-${one.name}`)} ${heredoc(networkdFile(one))}`,
      `cat >"$work/"${quote(`ifupdown-${one.name}`)} ${heredoc(ifupdownFile(one))}`,
    ]),
    `cat >"$work/udev-rules" ${heredoc(rules)}`,
    script("fabric-addresses.sh"),
  ].join("\n");
}

const facts = (names: readonly string[]): string =>
  `names=(${quoteAll(names)}) socket=${quote(names.join(","))}\n${script("fabric-facts.sh")}`;

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
  const given = typeof nccl === "object" && nccl !== null && !Array.isArray(nccl) ? nccl : {};
  const known = ["NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"].filter((key) => text(given[key]) !== "");
  return {
    fabric: text(fabric),
    reason: text(reason),
    nccl: Object.fromEntries(known.map((key) => [key, text(given[key])])),
  };
}
