/**
 * How GPUs are divided, with the stand-ins of host-runtime-mig-helpers. The program that runs on the node is the real
 * one. Grants in berthd's ledger: host-runtime-mig-held.test.ts.
 * Proves: the file for nvidia-mig-parted; that nothing is touched when the layout is right or the GPU is in use; who is
 * named as its user; what happens at the start of the machine; where the tool comes from.
 * Does not prove that a GPU is divided: that takes one. Formats with MIG on are those of NVIDIA's MIG User Guide.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { MigEntry } from "../../components/host/runtime";
import { A, B, cdi, mig, migMachine } from "../unit/components/host/runtime-mig-helpers";

const asRoot = describe.runIf(process.getuid?.() === 0);
const machine = migMachine();
const { at, read, write, calls, tool, installed, offered, unit } = machine;
const { node, placements, migParted, run, applies, boot, holder, container } = machine;

asRoot("a MIG layout", () => {
  it("becomes a file of nvidia-mig-parted, GPU by GPU, and is applied once", () => {
    node([{ uuid: A }, { uuid: B }]);
    const layout = mig({ gpu: B, layout: { "1g.10gb": 2, "3g.40gb": 1 } }, { gpu: 0, layout: "all-1g.10gb" });
    const { status, stderr, facts } = run(layout);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(read("etc/berth/mig.yaml")).toBe(`# Written by Berth: a change here is lost.
version: v1
mig-configs:
  gpu-0:
    - devices: [0]
      mig-enabled: true
      mig-devices:
        "1g.10gb": 7
  gpu-1:
    - devices: [1]
      mig-enabled: true
      mig-devices:
        "1g.10gb": 2
        "3g.40gb": 1
  berth:
    - devices: [0]
      mig-enabled: true
      mig-devices:
        "1g.10gb": 7
    - devices: [1]
      mig-enabled: true
      mig-devices:
        "1g.10gb": 2
        "3g.40gb": 1
`);
    expect(facts.changed).toEqual(
      expect.arrayContaining([
        "MIG of GPU 0: 7 x 1g.10gb",
        "MIG of GPU 1: 2 x 1g.10gb, 1 x 3g.40gb",
        "berth-mig.service enabled",
      ]),
    );
    expect(applies()).toHaveLength(2);
    expect(run(layout).facts).toMatchObject({ changed: [] });
    expect(applies()).toHaveLength(2);
  });

  it("is switched off by name", () => {
    node([{ uuid: A, mode: "Enabled" }]);
    expect(run(mig({ gpu: "all", layout: "all-disabled" })).facts.changed).toContain("MIG of GPU 0: off");
    expect(read("etc/berth/mig.yaml")).toContain("    - devices: [0]\n      mig-enabled: false\n  berth:");
  });

  it("for all leaves out what cannot be divided, and fails where nothing can", () => {
    node([{ uuid: A, name: "NVIDIA T4", mode: "[N/A]" }, { uuid: B }]);
    run(mig({ gpu: "all", layout: "all-2g.20gb" }));
    expect(read("etc/berth/mig.yaml")).not.toContain("gpu-0");
    node([{ uuid: A, name: "NVIDIA T4", mode: "[N/A]" }]);
    expect(run(mig({ gpu: "all", layout: "all-2g.20gb" })).stderr).toContain(
      "no GPU of this node can be divided (MIG): NVIDIA T4",
    );
    expect(run(mig({ gpu: 0, layout: "all-2g.20gb" })).stderr).toContain(
      "GPU 0 (NVIDIA T4) cannot be divided",
    );
  });

  it.each<[MigEntry[], string]>([
    [[{ gpu: 0, layout: "all-1g.18gb" }], "has no MIG profile 1g.18gb; it has 1g.10gb, 1g.10gb+me, 1g.20gb"],
    [[{ gpu: 3, layout: "all-1g.10gb" }], `this node has no GPU 3; it has 0: ${A}`],
    [
      [
        { gpu: 0, layout: "all-1g.10gb" },
        { gpu: A, layout: "all-7g.80gb" },
      ],
      "has two layouts",
    ],
    [
      [{ gpu: 0, layout: { "3g.40gb": 2, "1g.10gb": 1 } }],
      "has no places for 1 x 1g.10gb, 2 x 3g.40gb together; alone it holds 7 x 1g.10gb, 2 x 3g.40gb",
    ],
    [
      [{ gpu: 0, layout: { "4g.40gb": 1, "2g.20gb": 2 } }],
      "has no places for 2 x 2g.20gb, 1 x 4g.40gb together",
    ],
  ])("%j that the node cannot have changes nothing", (entries, text) => {
    node();
    placements();
    const { status, stderr } = run(mig(...entries));
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
    expect(applies()).toEqual([]);
  });
});

asRoot("a layout that Berth's own table does not know", () => {
  it("is the driver's to judge, of a GPU of any name", () => {
    node([{ uuid: A, name: "NVIDIA X1" }]);
    write("lgip0", read("lgip0").replaceAll("1g.10gb       ", "1g.11gb+xyz   "));
    placements();
    const { status, stderr } = run(mig({ gpu: 0, layout: { "1g.11gb+xyz": 3, "3g.40gb": 1 } }));
    expect([status, stderr]).toEqual([0, ""]);
    expect(read("etc/berth/mig.yaml")).toContain('"1g.11gb+xyz": 3');
    expect(run(mig({ gpu: 0, layout: "all-1g.10gb" })).stderr).toContain(
      "GPU 0 (NVIDIA X1) has no MIG profile 1g.10gb; it has 1g.10gb+me, 1g.11gb+xyz",
    );
  });

  it.each(["Placements", "Placement "])("has its places from the driver, in either word: %s", (word) => {
    node();
    placements(word);
    expect(run(mig({ gpu: 0, layout: { "4g.40gb": 1, "2g.20gb": 1, "1g.10gb": 1 } })).status).toBe(0);
    expect(run(mig({ gpu: 0, layout: { "7g.80gb": 1, "1g.10gb": 1 } })).stderr).toContain("has no places");
  });

  it("is nvidia-mig-parted's to judge where the driver tells no places", () => {
    node();
    expect(run(mig({ gpu: 0, layout: { "3g.40gb": 2, "1g.10gb": 1 } })).status).toBe(0);
    expect(applies()).toHaveLength(1);
  });
});

asRoot("a GPU in use", () => {
  const layout = mig({ gpu: 0, layout: "all-1g.10gb" });
  const refused = (text: string, nvidia = layout) => {
    const { status, stderr } = run(nvidia);
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
    expect(stderr).toContain("nothing was changed");
    expect(applies()).toEqual([]);
  };
  it("by a process, seen by its open device, is not touched", () => {
    node();
    holder(4242, "python3");
    refused("in use are: process 4242 (python3)");
  });

  it("by a process that only the driver tells of is not touched", () => {
    node();
    write("apps", `${A}, 77\n`);
    write("proc/77/cmdline", "/opt/train\0--epochs\0");
    refused("process 77 (train)");
    // Of another process namespace, for instance.
    write("apps", `MIG-0b6a7a0e-1a1c-5c0b-8b5e-2f1f5a0f7f10, 78\n`);
    refused("process 78 (?)");
  });

  it("by a process whose name its owner chose is told of in one line", () => {
    node();
    holder(4242, "a\nchanged GPU 0\u001b[2J");
    refused("process 4242 (a?changed GPU 0?[2J)");
  });

  it("is not told by lines that no driver writes", () => {
    node();
    const lines = [`${A}, x, train`, `${A}`, `${A}, -1`, `${A}, 77, more`, "", "No running processes found"];
    write("apps", `${lines.join("\n")}\n`);
    expect(run(layout).status).toBe(0);
  });

  it("by what keeps the driver alive is not in use", () => {
    node();
    holder(1, "nvidia-persistenced");
    expect(run(layout).status).toBe(0);
  });

  it.each<[string, object, string[]]>([
    ["by CDI, all of them", cdi("nvidia.com/gpu=all"), []],
    ["by CDI, by UUID", cdi(`nvidia.com/gpu=${A}`), []],
    ["by CDI, a MIG device by index", cdi("nvidia.com/gpu=0:1"), []],
    ["by CDI, a MIG device that is gone", cdi("nvidia.com/gpu=MIG-0b6a7a0e-1a1c-5c0b-8b5e-2f1f5a0f7f10"), []],
    ["by a device request", { DeviceRequests: [{ Driver: "", Count: -1, Capabilities: [["gpu"]] }] }, []],
    ["by a device", { Devices: [{ PathOnHost: "/dev/nvidia0" }] }, []],
    ["by the nvidia runtime", { Runtime: "nvidia" }, [`NVIDIA_VISIBLE_DEVICES=${A}`]],
  ])("by a container that was given it %s is not touched", (_, host, env) => {
    node();
    container("ws-alice", host, env);
    refused("in use are: container ws-alice");
  });

  it.each<[string, object, string[]]>([
    ["no GPU", {}, []],
    ["another GPU", cdi(`nvidia.com/gpu=${B}`), []],
    ["nothing, through the nvidia runtime", { Runtime: "nvidia" }, ["NVIDIA_VISIBLE_DEVICES=void"]],
  ])("is not what a container with %s makes it, when the mode stays", (_, host, env) => {
    node([
      { uuid: A, mode: "Enabled" },
      { uuid: B, mode: "Enabled" },
    ]);
    container("ws-alice", host, env);
    holder(4243, "python3", 1);
    expect(run(layout).stderr).toBe("");
  });

  it("by a container that was given one of its MIG devices is not touched, one of another GPU's is nothing to it", () => {
    node([
      { uuid: A, mode: "Enabled" },
      { uuid: B, mode: "Enabled" },
    ]);
    // As `nvidia-smi -L` lists them.
    const device = (uuid: string) => `  MIG 1g.10gb     Device  0: (UUID: ${uuid})\n`;
    const [ofA, ofB] = [
      "MIG-aaaaaaaa-1a1c-5c0b-8b5e-2f1f5a0f7f10",
      "MIG-bbbbbbbb-1a1c-5c0b-8b5e-2f1f5a0f7f10",
    ];
    const [first = "", second = ""] = read("list").trim().split("\n");
    write("list", `${first}\n${device(ofA)}${second}\n${device(ofB)}`);
    container("ws-alice", cdi(`nvidia.com/gpu=${ofA}`));
    refused("in use are: container ws-alice");
    container("ws-alice", cdi(`nvidia.com/gpu=${ofB}`));
    expect(run(layout).status).toBe(0);
  });

  it("elsewhere counts too when MIG mode changes: that resets all GPUs", () => {
    node([{ uuid: A }, { uuid: B }]);
    holder(4243, "python3", 1);
    refused("which resets all GPUs, and in use are: process 4243 (python3)");
  });

  it("does not matter when the layout is right already", () => {
    node();
    run(layout);
    holder(4242, "python3");
    expect(run(layout).facts).toMatchObject({ changed: [] });
  });
});

asRoot("at the start of the machine", () => {
  it("the layout is applied again, before Docker and the list of devices", () => {
    node();
    run(mig({ gpu: A, layout: "all-3g.40gb" }));
    const service = read("etc/systemd/system/berth-mig.service");
    expect(service).toMatch(/^Before=docker\.service nvidia-cdi-refresh\.service/m);
    // The instances are gone, and the card has another index.
    node([{ uuid: B }, { uuid: A, mode: "Enabled" }]);
    const { status, stdout } = boot();
    expect(status).toBe(0);
    expect(stdout).toContain("changed MIG of GPU 1: 2 x 3g.40gb");
    expect(read("etc/berth/mig.yaml")).not.toContain("gpu-0");
    expect(boot().stdout).toBe("");
  });

  it("a driver that is gone is told in one line", () => {
    node();
    run(mig({ gpu: A, layout: "all-3g.40gb" }));
    machine.gone("nvidia-smi");
    const { status, stderr } = boot();
    expect(status).toBe(1);
    expect(stderr).toMatch(/^nvidia-smi --query-gpu.*No such file or directory.*\n$/);
  });

  it("systemd accepts the unit", () => {
    node();
    run(mig({ gpu: 0, layout: "all-1g.10gb" }));
    const file = at("etc/systemd/system/berth-mig.service");
    if (spawnSync("systemd-analyze", ["--version"]).status !== 0) return;
    const { stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" });
    expect(stderr.split("\n").filter((line) => line.includes("berth-mig"))).toEqual([]);
  });

  it("is what a change of mode waits for where the GPU cannot be reset", () => {
    node();
    migParted(
      `sed -i 's/Disabled, Disabled/Disabled, Enabled/' ${at("rows")}; echo 'error resetting all GPUs' >&2; exit 1`,
    );
    const { status, facts } = run(mig({ gpu: 0, layout: "all-1g.10gb" }));
    expect(status).toBe(0);
    expect(facts.rebootRequired).toBe("MIG mode of GPU 0 changes at the next start");
    expect(run(mig({ gpu: 0, layout: "all-1g.10gb" })).facts.rebootRequired).toContain("at the next start");
    expect(applies()).toHaveLength(1);
  });

  it("nothing is done any more once the layout left the configuration; the GPU stays divided", () => {
    node();
    run(mig({ gpu: 0, layout: "all-1g.10gb" }));
    expect(run({}).status).toBe(0);
    for (const path of [
      "etc/systemd/system/berth-mig.service",
      "usr/local/lib/berth/mig",
      "etc/berth/mig.json",
    ])
      expect(existsSync(at(path)), path).toBe(false);
    expect(calls()).toContain("systemctl disable -q berth-mig.service");
    expect(applies()).toHaveLength(1);
  });
});

asRoot("nvidia-mig-parted", () => {
  const layout = { gpu: 0, layout: "all-1g.10gb" };
  const migParted = {
    url: "https://example.org/mig.deb",
    sha256: execFileSync("sha256sum", { input: "downloaded\n", encoding: "utf8" }).slice(0, 64),
  };
  it("that fails is told, with its own words", () => {
    node();
    tool(
      "nvidia-mig-parted",
      `case $1 in
  assert) echo 'selected configuration not currently applied' >&2 ;;
  apply) echo 'in use by another client' >&2 ;;
esac
exit 1`,
    );
    const { status, stderr } = run(mig(layout));
    expect(status).not.toBe(0);
    expect(stderr).toMatch(
      /in use by another client[\s\S]*could not divide GPU 0[\s\S]*not divided as configured/,
    );
  });

  it("that cannot even look is an error, not a difference", () => {
    node([{ uuid: A }], false);
    tool("nvidia-mig-parted", "echo 'unmarshal error: bad file' >&2; exit 1");
    expect(run(mig(layout)).stderr).toContain("could not look at GPU 0: unmarshal error: bad file");
  });

  it("comes from a package repository that has it, and NVIDIA's own service does not compete", () => {
    node([{ uuid: A }], false);
    offered(
      "nvidia-mig-manager",
      "0.15.0-1",
      `printf '#!/bin/bash\\nexit 0\\n' >${at("bin/nvidia-mig-parted")}; chmod 755 ${at("bin/nvidia-mig-parted")}`,
    );
    unit("nvidia-mig-manager.service", { enabled: "enabled" });
    expect(run(mig(layout)).facts.changed).toEqual(
      expect.arrayContaining(["package nvidia-mig-manager", "nvidia-mig-manager.service disabled"]),
    );
  });

  it("comes from the package that configuration names, if its content is the one meant", () => {
    node([{ uuid: A }], false);
    for (const name of ["gnupg", "curl"]) installed(name, "1");
    offered(
      "mig",
      "0.15.0-1",
      `printf '#!/bin/bash\\nexit 0\\n' >${at("bin/nvidia-mig-parted")}; chmod 755 ${at("bin/nvidia-mig-parted")}`,
    );
    const wrong = run({ mig: [layout], migParted: { ...migParted, sha256: "0".repeat(64) } });
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toContain("is not the one whose SHA-256 is configured: nothing was installed");
    expect(calls().join()).not.toContain("install --no-install-recommends");
    expect(run({ mig: [layout], migParted }).status).toBe(0);
  });

  it("that cannot be had is asked for, with the way to give it", () => {
    node([{ uuid: A }], false);
    const { status, stderr } = run(mig(layout));
    expect(status).not.toBe(0);
    expect(stderr).toContain("release of github.com/NVIDIA/mig-parted as runtime.nvidia.migParted");
  });
});
