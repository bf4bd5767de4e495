/**
 * The fabric stage: its text, and its decisions with recorded output of ibstat, ibv_devinfo and ip, in a folder of
 * its own with a /sys of its own.
 * Proves: a node without InfiniBand is left as it is; the files for systemd-networkd and ifupdown, whichever runs;
 * modes and refusals; NCCL's environment names only ports that work. Does not prove that a fabric works.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FabricSpec, readFabricFacts, renderFabric } from "../../components/host";
import { fabricSteps } from "../../components/host/fabric";
import { parseFacts, renderStage } from "../../components/host/stage";
import { describeScripts, standIns } from "../lib/host-scripts";

const node = "node-0";
const ib0 = { name: "ib0", address: "10.15.22.9/24" };
const scripts = {
  "fabric, plain": renderFabric({ node }),
  "fabric, two interfaces": renderFabric({
    node,
    interfaces: [
      { ...ib0, mtu: 65520 },
      { name: "ib1", address: "fd00::9/64", mtu: 2044 },
    ],
  }),
};
describeScripts(scripts);

/** Two cards of a machine with four: one works, one has no subnet manager, one is Ethernet, one is unplugged. */
const IBSTAT = `CA 'mlx5_0'
	CA type: MT4129
	Number of ports: 1
	Firmware version: 28.39.1002
	Port 1:
		State: Active
		Physical state: LinkUp
		Rate: 400
		Base lid: 12
		Link layer: InfiniBand
CA 'mlx5_1'
	Number of ports: 1
	Port 1:
		State: Initializing
		Physical state: LinkUp
		Rate: 400
		Link layer: InfiniBand
CA 'mlx5_2'
	Number of ports: 1
	Port 1:
		State: Active
		Physical state: LinkUp
		Rate: 25
		Link layer: Ethernet
CA 'mlx5_10'
	Number of ports: 2
	Port 1:
		State: Down
		Physical state: Disabled
		Rate: 10
		Link layer: InfiniBand
	Port 2:
		State: Active
		Physical state: LinkUp
		Rate: 200
		Link layer: InfiniBand`;
const DEVINFO = "4 HCAs found:\n\tmlx5_0\n\tmlx5_1\n\tmlx5_2\n\tmlx5_10\n";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-fabric-"));
  for (const name of [
    "bin",
    "etc/network/interfaces.d",
    "sys/class/net/ib0",
    "sys/module/ib_umad",
    "sys/module/ib_uverbs",
  ]) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  writeFileSync(at("sys/class/net/ib0/type"), "32\n");
  writeFileSync(at("sys/class/net/ib0/mode"), "datagram\n");
  writeFileSync(at("sys/class/net/ib0/mtu"), "2044\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const { at, read, calls, tool } = standIns(() => folder);

interface Machine {
  pci?: string;
  device?: boolean;
  manager?: "networkd" | "ifupdown" | "none";
}

function run(spec: FabricSpec, machine: Machine = {}) {
  const { device = true, manager = "networkd" } = machine;
  if (device) mkdirSync(at("sys/class/infiniband/mlx5_0"), { recursive: true });
  tool("lspci", `echo '${machine.pci ?? ""}'`);
  tool("dpkg-query", "echo installed");
  tool("modprobe", 'record "$@"; exit 1');
  tool("systemctl", `[ "$1 $3" = 'is-active systemd-networkd.service' ] && ${manager === "networkd"}`);
  // The interface has its address once its manager was told.
  tool("networkctl", `record "$@"; touch ${at("up")}`);
  tool("ifup", `record "$@"; touch ${at("up")}`);
  tool("ifdown", 'record "$@"');
  tool("ip", `[ ! -e ${at("up")} ] || echo '7: ib0    inet 10.15.22.9/24 brd 10.15.22.255 scope global ib0'`);
  tool("ibstat", `cat <<'X'\n${IBSTAT}\nX`);
  tool("ibv_devinfo", `printf '${DEVINFO.replaceAll("\n", "\\n").replaceAll("\t", "\\t")}'`);
  const source = manager === "ifupdown" ? "source /etc/network/interfaces.d/*\n" : "";
  writeFileSync(at("etc/network/interfaces"), source.replace("/etc", at("etc")));
  const command = renderStage({
    name: "fabric",
    node,
    uses: ["files", "apt"],
    steps: fabricSteps(spec).map((step) => ({
      ...step,
      body: `PATH=${at("bin")}:$PATH\n${step.body
        .replaceAll("/etc/", `${at("etc")}/`)
        .replaceAll("/sys/", `${at("sys")}/`)}`,
    })),
    paths: { logs: at("log"), state: at("state"), lock: at("lock") },
  });
  return spawnSync("dash", ["-c", command], { encoding: "utf8" });
}

describe.runIf(process.getuid?.() === 0)("the fabric stage", () => {
  it("leaves a node without InfiniBand as it is, and says why", () => {
    const ethernet = "17:00.0 0200: 15b3:1021";
    const { status, stdout } = run({ interfaces: [ib0] }, { device: false, pci: ethernet });
    expect(status).toBe(0);
    expect(parseFacts(stdout)).toMatchObject({ fabric: "skipped", changed: [] });
    expect(readFabricFacts(stdout)).toMatchObject({
      reason: expect.stringContaining("no InfiniBand device"),
      nccl: {},
    });
    expect(calls()).toEqual([]);
  });

  it("says so when a card has no driver", () => {
    const { stdout } = run({}, { device: false, pci: "17:00.0 0207: 15b3:1021" });
    expect(readFabricFacts(stdout).reason).toContain("the kernel has no driver for it");
  });

  it("names to NCCL the ports that work, and no other", () => {
    const facts = parseFacts(run({ interfaces: [ib0] }).stdout);
    expect(facts.nccl).toEqual({ NCCL_IB_HCA: "=mlx5_0:1,mlx5_10:2", NCCL_SOCKET_IFNAME: "=ib0" });
    expect(facts.ports).toHaveLength(5);
    expect(facts.ports).toContainEqual({
      device: "mlx5_1",
      port: 1,
      state: "Initializing",
      gbps: 400,
      link: "InfiniBand",
    });
    expect(facts.verbs).toEqual(["mlx5_0", "mlx5_1", "mlx5_2", "mlx5_10"]);
    expect(facts.interfaces).toEqual([
      { name: "ib0", address: "10.15.22.9/24", mtu: 2044, mode: "datagram" },
    ]);
  });

  it("gives addresses by systemd-networkd, once", () => {
    const spec: FabricSpec = { interfaces: [{ ...ib0, mtu: 65520 }] };
    expect(run(spec).stderr).toBe("");
    expect(read("etc/systemd/network/05-berth-ib0.network")).toMatch(
      /\[Match\]\nName=ib0\n[\s\S]*MTUBytes=65520\n[\s\S]*Address=10\.15\.22\.9\/24\n/,
    );
    expect(read("sys/class/net/ib0/mode")).toBe("connected\n");
    expect(read("etc/udev/rules.d/70-berth-fabric.rules")).toContain('KERNEL=="ib0", ATTR{mode}="connected"');
    expect(calls()).toEqual(["modprobe ib_ipoib", "networkctl reload", "networkctl reconfigure ib0"]);
    rmSync(at("calls"));
    expect(parseFacts(run(spec).stdout).changed).toEqual([]);
    expect(calls()).toEqual(["modprobe ib_ipoib"]);
    // An interface that leaves the list loses our file, and no other.
    writeFileSync(at("etc/systemd/network/10-theirs.network"), "");
    expect(run({}).stderr).toBe("");
    expect(existsSync(at("etc/systemd/network/05-berth-ib0.network"))).toBe(false);
    expect(existsSync(at("etc/systemd/network/10-theirs.network"))).toBe(true);
    expect(existsSync(at("etc/udev/rules.d/70-berth-fabric.rules"))).toBe(false);
  });

  it("gives addresses by ifupdown where that runs", () => {
    expect(run({ interfaces: [{ ...ib0, mtu: 2044 }] }, { manager: "ifupdown" }).stderr).toBe("");
    expect(read("etc/network/interfaces.d/berth-ib0")).toMatch(
      /^auto ib0\niface ib0 inet static\n {4}address 10\.15\.22\.9\/24\n {4}mtu 2044\n$/m,
    );
    expect(calls()).toEqual(["modprobe ib_ipoib", "ifdown --force ib0", "ifup ib0"]);
  });

  it.each<[string, FabricSpec, Machine, string]>([
    [
      "an interface that is not there",
      { interfaces: [{ ...ib0, name: "ib7" }] },
      {},
      "no interface ib7. InfiniBand interfaces here: ib0",
    ],
    [
      "a network that neither runs",
      { interfaces: [ib0] },
      { manager: "none" },
      "neither systemd-networkd nor ifupdown",
    ],
  ])("refuses %s", (_, spec, machine, message) => {
    const { status, stderr } = run(spec, machine);
    expect(status).not.toBe(0);
    expect(stderr).toContain(message);
    expect(existsSync(at("etc/systemd/network"))).toBe(false);
  });

  it("refuses a mode that the card does not take", () => {
    // A directory takes no text, as the card's own file takes no other mode.
    rmSync(at("sys/class/net/ib0/mode"));
    mkdirSync(at("sys/class/net/ib0/mode"));
    const { stderr } = run({ interfaces: [{ ...ib0, mtu: 65520 }] });
    expect(stderr).toContain(
      "ib0 does not take the mode connected: ConnectX-4 and newer offer datagram alone",
    );
  });
});
