/**
 * The step that installs NVIDIA's container toolkit, run for real by bash with stand-ins for the tools that need a
 * GPU or NVIDIA's network: lspci, nvidia-smi (recorded output), apt, curl, gpg, nvidia-ctk.
 * Proves: its decisions and what it writes. Does not prove that the toolkit works: that takes a machine with a GPU.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NVIDIA } from "../../components/host/runtime";
import { parseFacts, renderStage } from "../../components/host/stage";

const KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0";
const CARD = "65:00.0 0302: 10de:2330 (rev a1)";
const NIC = "17:00.0 0207: 15b3:1021";
const NVIDIA_BRIDGE = "05:00.0 0680: 10de:22a3 (rev a1)";
const SMI = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-nvidia-"));
  mkdirSync(join(folder, "bin"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function tool(name: string, script: string): void {
  writeFileSync(join(folder, "bin", name), `#!/bin/bash\n${script}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
}

interface Machine {
  pci?: string;
  driver?: boolean;
  fingerprint?: string;
  installed?: string;
  offered?: string;
}

function run(machine: Machine) {
  const at = (path: string) => join(folder, path);
  tool("lspci", `echo '${machine.pci ?? CARD}'`);
  if (machine.driver ?? true) {
    tool("nvidia-smi", `case "$1" in -L) echo '${SMI}' ;; *) echo 570.124.06 ;; esac`);
  }
  if (machine.installed) writeFileSync(at("version"), machine.installed);
  tool("dpkg-query", `case "$*" in *Version*) cat ${at("version")} ;; *) echo installed ;; esac`);
  tool(
    "apt-get",
    `echo "$@" >>${at("apt")}; case "$*" in *toolkit*) echo ${machine.offered ?? "1.20.0-1"} >${at("version")} ;; esac`,
  );
  tool("curl", 'while [ "$1" != -o ]; do shift; done; echo key >"$2"');
  tool(
    "gpg",
    `case "$*" in *--show-keys*) echo "fpr:::::::::${machine.fingerprint ?? KEY}:" ;; *) while [ "$1" != -o ]; do shift; done; echo ring >"$2" ;; esac`,
  );
  const config = at("etc/nvidia-container-runtime/config.toml");
  tool(
    "nvidia-ctk",
    `for last; do :; done
case "$*" in
  config*) mkdir -p "$(dirname ${config})"; sed 's/=/ = /' <<<"$last" >${config} ;;
  *generate*) echo 'kind: nvidia.com/gpu' >"\${last#*=}" ;;
  *list*) printf '%s\\n' 'INFO found 2' nvidia.com/gpu=all nvidia.com/gpu=GPU-1 ;;
esac`,
  );
  // Everything that the step writes goes to the folder of this test.
  const moved = NVIDIA.replaceAll("/etc/", at("etc/")).replaceAll("/usr/share/", at("usr/share/"));
  const alone = moved
    .replaceAll("/dev/nvidiactl", at("none"))
    .replaceAll("/proc/driver/nvidia/version", at("none"));
  const command = renderStage({
    name: "runtime",
    node: "node-0",
    uses: ["files", "apt"],
    steps: [{ name: "NVIDIA container toolkit", body: `PATH=${at("bin")}:$PATH\n${alone}` }],
    paths: { logs: at("log"), state: at("state"), lock: at("lock") },
  });
  return spawnSync("dash", ["-c", command], { encoding: "utf8" });
}

const read = (path: string) => readFileSync(join(folder, path), "utf8");

describe.runIf(process.getuid?.() === 0)("NVIDIA's toolkit", () => {
  it.each([
    ["another maker's card", NIC],
    ["NVIDIA's bridge, which is no GPU", NVIDIA_BRIDGE],
  ])("is left out with %s", (_, pci) => {
    const { stdout, status } = run({ pci });
    expect(status).toBe(0);
    expect(parseFacts(stdout)).toMatchObject({ gpu: "none", changed: [] });
    expect(existsSync(join(folder, "apt"))).toBe(false);
  });

  it("is left out where no driver answers, and says so", () => {
    expect(parseFacts(run({ driver: false }).stdout)).toMatchObject({ gpu: "nvidia", gpuDriver: "none" });
  });

  it("is installed from NVIDIA's repository, with CDI, closed to environment variables", () => {
    const { stdout, stderr, status } = run({});
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(parseFacts(stdout)).toMatchObject({
      gpu: "nvidia",
      gpuDriver: "570.124.06",
      nvidiaToolkit: "1.20.0-1",
      cdiDevices: ["nvidia.com/gpu=all", "nvidia.com/gpu=GPU-1"],
    });
    expect(read("etc/cdi/nvidia.yaml")).toBe("kind: nvidia.com/gpu\n");
    expect(read("etc/apt/sources.list.d/nvidia-container-toolkit.list")).toContain("stable/deb/$(ARCH) /");
    expect(read("etc/nvidia-container-runtime/config.toml")).toMatch(
      /^accept-.*-when-unprivileged = false$/m,
    );
  });

  it("changes nothing the second time", () => {
    run({});
    expect(parseFacts(run({}).stdout)).toMatchObject({ changed: [], nvidiaToolkit: "1.20.0-1" });
  });

  it("is brought up to date when an older one is there", () => {
    expect(parseFacts(run({ installed: "1.17.8-1" }).stdout)).toMatchObject({ nvidiaToolkit: "1.20.0-1" });
  });

  it("is refused when the repository has only an older one", () => {
    const { status, stderr } = run({ offered: "1.17.8-1" });
    expect(status).not.toBe(0);
    expect(stderr).toContain("nvidia-container-toolkit is 1.17.8-1; 1.20.0 or newer is needed");
    expect(existsSync(join(folder, "etc/cdi/nvidia.yaml"))).toBe(false);
  });

  it("is not installed with a key that is not NVIDIA's", () => {
    const { status, stderr } = run({ fingerprint: "0".repeat(40) });
    expect(status).not.toBe(0);
    expect(stderr).toContain("is not the known one");
    expect(existsSync(join(folder, "apt")) && read("apt").includes("toolkit")).toBe(false);
  });
});
