/**
 * The runtime stage as text.
 * Proves: the scripts with all their options are what was reviewed, valid bash that shellcheck accepts, and small
 * enough for one command; facts are read as what they mean.
 */
import { describe, expect, it } from "vitest";
import { readRuntimeFacts } from "../../../../components/host/facts";
import { type RuntimeOptions, renderRuntime, runtimeSteps } from "../../../../components/host/runtime";
import { MAX_COMMAND_BYTES, stageBody } from "../../../../components/host/stage";
import { describeScripts } from "../../../lib/host-scripts";

const node = "node-0";
const everything: RuntimeOptions = {
  docker: { from: "docker", version: "29.3.1", allowBelowFloor: false },
  nvidia: {
    driver: { install: true, version: "580", modules: "proprietary", key: "A".repeat(40) },
    mig: [
      { gpu: 0, layout: { "1g.10gb": 2, "3g.40gb": 1 } },
      { gpu: "GPU-11111111-2222-3333-4444-555555555555", layout: "all-disabled" },
    ],
    migParted: { url: "https://example.org/nvidia-mig-manager_0.15.0-1_amd64.deb", sha256: "0".repeat(64) },
    persistenced: true,
  },
};
const scripts = {
  "runtime, everything from its makers": renderRuntime({ node, ...everything }),
  "runtime, the newest of Docker's own, no persistence": renderRuntime({
    node,
    docker: { from: "docker", allowBelowFloor: true },
    nvidia: { persistenced: false, driver: { install: true }, mig: [{ gpu: "all", layout: "all-1g.10gb" }] },
  }),
};

describeScripts(scripts);

const steps = (options: RuntimeOptions) => runtimeSteps(options).map(({ name }) => name);

describe("the runtime stage", () => {
  it("fits into one command with everything in it and sixteen GPUs, each divided its own way, with a third left", () => {
    const mig = Array.from({ length: 16 }, (_, i) => ({
      gpu: `GPU-11111111-2222-3333-4444-${String(i).padStart(12, "0")}`,
      layout: { "1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1 },
    }));
    const full = renderRuntime({ node, ...everything, nvidia: { ...everything.nvidia, mig } });
    expect(Buffer.byteLength(full)).toBeLessThan((MAX_COMMAND_BYTES * 2) / 3);
  });

  it("leaves out what is not asked for, and judges versions before anything is started", () => {
    expect(steps({ gpu: "off" })).toEqual([
      "what is installed",
      "what Docker is told by others",
      "version floors of what is there",
      "daemon.json",
      "install Docker",
      "version floors",
      "start Docker",
      "facts",
    ]);
    expect(steps({ docker: { from: "docker" } })).toContain("Docker's repository");
    const all = steps(everything);
    for (const [first, then] of [
      ["Docker's repository", "daemon.json"],
      ["NVIDIA container toolkit", "MIG layout"],
      ["MIG layout", "CDI devices"],
    ] as const)
      expect(all.indexOf(first)).toBeLessThan(all.indexOf(then));
  });

  it("does not speak to any repository but the distribution's unless asked to", () => {
    const plain = stageBody(renderRuntime({ node, gpu: "off" }));
    expect(plain).not.toMatch(/https?:\/\/(?!docs\.)/);
  });
});

describe("the facts of the runtime stage", () => {
  const read = (facts: object) => readRuntimeFacts(`BERTH_FACTS ${JSON.stringify(facts)}\n`);

  it("judge Debian's runc by its changelog, and everyone else's by its number", () => {
    const debian = {
      dockerFrom: "distribution",
      docker: "20.10.24+dfsg1",
      runc: "1.1.5+ds1",
      containerd: "1.6.20",
    };
    expect(read({ ...debian, runcMended: ["CVE-2024-21626"] })).toEqual({
      rebootRequired: "",
      belowFloor: ["runc 1.1.5+ds1 (1.2.8, 1.3.3, 1.4.0-rc.3)"],
    });
    expect(read({ ...debian, dockerFrom: "docker" }).belowFloor).toEqual([
      "runc 1.1.5+ds1 (1.2.8, 1.3.3, 1.4.0-rc.3)",
      "containerd 1.6.20 (1.7.29, 2.0.7, 2.1.5, 2.2.0)",
      "docker 20.10.24+dfsg1 (25.0.2)",
    ]);
  });

  it("say why a reboot is needed", () => {
    expect(read({ rebootRequired: "the driver waits" })).toEqual({
      belowFloor: [],
      rebootRequired: "the driver waits",
    });
  });
});
