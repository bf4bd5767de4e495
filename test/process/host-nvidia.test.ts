/**
 * The steps for NVIDIA's driver, persistence, container toolkit and CDI, run for real by bash on a stand-in machine:
 * lspci, nvidia-smi (recorded output), apt, curl, gpg, systemd and nvidia-ctk are stand-ins.
 * Proves: their decisions and what they write. Does not prove that driver and toolkit work: that takes a GPU.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { NvidiaOptions } from "../../components/host/runtime";
import { nvidiaMachine, TOOLKIT_KEY, UUID } from "./host-nvidia-helpers";

const CUDA_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC";
const NIC = "17:00.0 0207: 15b3:1021";
const NVIDIA_BRIDGE = "05:00.0 0680: 10de:22a3 (rev a1)";

const asRoot = describe.runIf(process.getuid?.() === 0);
const { at, read, write, calls, tool, offered, log, run, node } = nvidiaMachine();

asRoot("NVIDIA's toolkit", () => {
  it.each([
    ["another maker's card", NIC],
    ["NVIDIA's bridge, which is no GPU", NVIDIA_BRIDGE],
  ])("is left out with %s", (_, pci) => {
    node({ pci });
    const { status, facts } = run();
    expect(status).toBe(0);
    expect(facts).toMatchObject({ gpu: "none", changed: [] });
    expect(calls()).toEqual([]);
  });

  it("is left out where no driver answers, and says so", () => {
    node({ driver: false });
    const { facts } = run();
    expect(facts).toMatchObject({ gpu: "nvidia", gpuDriver: "none", changed: [] });
    expect(facts.rebootRequired).toBeUndefined();
  });

  it("is installed from NVIDIA's repository, with CDI, closed to environment variables", () => {
    node();
    write("fingerprints", `${"2".repeat(40)}\n${TOOLKIT_KEY}\n`);
    const { facts, stderr, status } = run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(facts).toMatchObject({
      gpu: "nvidia",
      gpuDriver: "580.159.04",
      nvidiaToolkit: "1.20.0-1",
      cdiDevices: [`nvidia.com/gpu=${UUID}`, "nvidia.com/gpu=all"],
      gpus: [`GPU 0: NVIDIA H100 80GB HBM3 (UUID: ${UUID})`],
    });
    expect(read("usr/share/keyrings/nvidia-container-toolkit.gpg")).toBe(`ring of ${TOOLKIT_KEY}\n`);
    expect(read("etc/apt/sources.list.d/nvidia-container-toolkit.list")).toContain("stable/deb/$(ARCH) /");
    expect(read("etc/nvidia-container-runtime/config.toml")).toMatch(
      /^accept-.*-when-unprivileged = false$/m,
    );
  });

  it("changes nothing the second time", () => {
    node();
    run();
    expect(run().facts).toMatchObject({ changed: [], nvidiaToolkit: "1.20.0-1" });
  });

  it.each([
    [
      "another table",
      "[nvidia-container-cli]\naccept-nvidia-visible-devices-envvar-when-unprivileged = false\n",
      true,
    ],
    ["a comment", "#accept-nvidia-visible-devices-envvar-when-unprivileged = false\n", true],
    [
      "its own place",
      'debug = 1\n"accept-nvidia-visible-devices-envvar-when-unprivileged"=false # closed\n[x]\n',
      false,
    ],
  ])("is closed to environment variables where its file says so in %s", (_, text, changes) => {
    node({ toolkit: "1.20.0-1" });
    write("etc/nvidia-container-runtime/config.toml", text);
    expect(run({}, ["GPU and its driver", "NVIDIA container toolkit"]).facts.changed).toEqual(
      changes ? [at("etc/nvidia-container-runtime/config.toml")] : [],
    );
  });

  it("is brought up to date when an older one is there", () => {
    node({ toolkit: "1.17.8-1" });
    expect(run().facts).toMatchObject({ nvidiaToolkit: "1.20.0-1" });
  });

  it("is refused when the repository has only an older one", () => {
    node({ offered: "1.17.8-1" });
    const { status, stderr } = run();
    expect(status).not.toBe(0);
    expect(stderr).toContain("nvidia-container-toolkit is 1.17.8-1; 1.20.0 or newer is needed");
    expect(existsSync(at("var/run/cdi/nvidia.yaml"))).toBe(false);
  });

  it("is not installed with a key that is not NVIDIA's", () => {
    node();
    write("fingerprints", `${"0".repeat(40)}\n`);
    const { status, stderr } = run();
    expect(status).not.toBe(0);
    expect(stderr).toContain("is not the known one");
    expect(calls().join()).not.toContain("toolkit");
  });

  it("is not put on a driver that it does not work with", () => {
    node({ driver: "390.157" });
    expect(run().stderr).toContain("the NVIDIA driver is 390.157; the container toolkit needs 418.81.07");
  });
});

asRoot("persistence", () => {
  const STEPS = ["GPU and its driver", "NVIDIA persistence"];

  it("is the driver's own daemon where it has a unit, with persistence on also where the package has it off", () => {
    node({ persistenced: true });
    const { facts } = run({}, STEPS);
    expect(facts.persistence).toBe("Enabled");
    expect(read("etc/systemd/system/nvidia-persistenced.service.d/berth.conf")).toBe(
      `[Service]\nExecStartPost=-${at("bin/nvidia-smi")} -pm 1\n`,
    );
    expect(calls()).toContain("nvidia-smi -pm 1");
    expect(run({}, STEPS).facts).toMatchObject({ changed: [] });
  });

  it("is a unit of ours around the daemon, or around the driver's own mode where there is none", () => {
    node();
    run({}, STEPS);
    const own = "etc/systemd/system/berth-persistence.service";
    expect(read(own)).toContain(
      `Type=oneshot\nRemainAfterExit=yes\nExecStart=${at("bin/nvidia-smi")} -pm 1\n`,
    );
    tool("nvidia-persistenced", "exit 0");
    run({}, STEPS);
    expect(read(own)).toContain(`Type=forking\nExecStart=${at("bin/nvidia-persistenced")} --verbose\n`);
    expect(read("enabled/berth-persistence.service")).toBe("enabled\n");
    node({ persistenced: true });
    run({}, STEPS);
    expect(existsSync(at(own))).toBe(false);
  });

  it("is given up when configuration says so", () => {
    node();
    run({}, STEPS);
    run({ persistenced: false }, STEPS);
    expect(existsSync(at("etc/systemd/system/berth-persistence.service"))).toBe(false);
    expect(calls()).toContain("systemctl disable -q --now berth-persistence.service");
  });
});

asRoot("a driver", () => {
  const STEPS = ["GPU and its driver", "need for a reboot"];
  const install = (more: object = {}): NvidiaOptions => ({
    driver: { install: true, version: "580", ...more },
  });
  /** What NVIDIA's repository offers; the driver answers at once, or after a reboot. */
  const repository = (answers: boolean) => {
    node({ driver: false });
    write("fingerprints", `${CUDA_KEY}\n`);
    offered("nvidia-driver-pinning-580", "580-1");
    offered("linux-headers-6.1.0-40-amd64", "6.1");
    for (const name of ["nvidia-open", "cuda-drivers"])
      offered(
        name,
        "580.159.04-1",
        answers
          ? `printf '#!/bin/bash\\necho 580.159.04\\n' >${at("bin/nvidia-smi")}; chmod 755 ${at("bin/nvidia-smi")}`
          : "",
      );
    write(
      "policy",
      " 500 http://deb.debian.org/debian bookworm/contrib amd64 Packages\n     release v=12,o=Debian,c=contrib,b=amd64\n",
    );
  };
  const apt = () =>
    calls()
      .filter((call) => call.startsWith("apt-get"))
      .join("\n");

  it("is installed from NVIDIA's repository, the branch pinned, headers first", () => {
    repository(true);
    const { facts, status, stderr } = run(install(), STEPS);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(facts).toMatchObject({ gpuDriver: "580.159.04" });
    expect(read("etc/apt/sources.list.d/berth-nvidia-cuda.list")).toContain("cuda/repos/debian12/x86_64 /\n");
    expect(read("usr/share/keyrings/berth-nvidia-cuda.gpg")).toBe(`ring of ${CUDA_KEY}\n`);
    expect(apt()).toMatch(/nvidia-driver-pinning-580[\s\S]*linux-headers-6\.1\.0-40-amd64 nvidia-open/);
    expect(run(install(), STEPS).facts).toMatchObject({ changed: [] });
  });

  it("that does not answer yet asks for a reboot, and nothing reboots or installs it again", () => {
    repository(false);
    const { facts } = run(install({ modules: "proprietary" }), STEPS);
    expect(facts).toMatchObject({
      gpuDriver: "installed",
      rebootRequired: expect.stringContaining("next start of the machine"),
    });
    expect(log()).toContain("REBOOT NEEDED");
    const before = apt();
    expect(run(install({ modules: "proprietary" }), STEPS).facts).toMatchObject({
      gpuDriver: "installed",
      changed: [],
    });
    expect(apt()).toBe(before);
    expect(calls().join()).not.toMatch(/reboot|shutdown/);
  });

  it("comes from contrib too, on a Debian that does not have it in its lists", () => {
    repository(true);
    write("policy", "     release v=12,o=Debian,c=main,b=amd64\n");
    run(install(), STEPS);
    expect(read("etc/apt/sources.list.d/berth-contrib.list")).toContain(
      "https://deb.debian.org/debian bookworm contrib",
    );
  });

  it("is not installed with an unknown key: of a system whose key is not known, or another one", () => {
    repository(true);
    write("fingerprints", `${"3".repeat(40)}\n`);
    expect(run(install(), STEPS).stderr).toContain(`not the known one, ${CUDA_KEY}`);
    write("etc/os-release", 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n');
    const { stderr, status } = run(install(), STEPS);
    expect(status).not.toBe(0);
    expect(stderr).toContain("give its fingerprint as runtime.nvidia.driver.key");
    expect(run(install({ key: "3".repeat(40) }), STEPS).status).toBe(0);
    expect(read("etc/apt/sources.list.d/berth-nvidia-cuda.list")).toContain("cuda/repos/debian13/x86_64 /");
  });

  it("is not built where Secure Boot would not load it", () => {
    repository(true);
    write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\u0006\0\0\0\u0001");
    expect(run(install(), STEPS).stderr).toContain("Secure Boot is on");
    write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\u0006\0\0\0\0");
    expect(run(install(), STEPS).status).toBe(0);
  });

  it("of another branch that is in use is not changed", () => {
    node({ driver: "570.124.06" });
    const { status, stderr } = run(install(), STEPS);
    expect(status).not.toBe(0);
    expect(stderr).toContain("is 570.124.06, and runtime.nvidia.driver.version asks for 580");
    expect(apt()).toBe("");
    expect(run({ driver: { install: true } }, STEPS).status).toBe(0);
  });

  it("in memory that its programs do not fit any more asks for a reboot", () => {
    node({ driver: false });
    write("proc/driver/nvidia/version", "NVRM version: 570\n");
    const { facts } = run({}, STEPS);
    expect(facts).toMatchObject({
      gpuDriver: "none",
      rebootRequired: expect.stringContaining("does not answer"),
    });
  });
});
