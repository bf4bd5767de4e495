/** The stage that looks at a server before it is adopted: its script, and what is read from its output. */
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderBase } from "../../../../components/host/base";
import { distributionCheck } from "../../../../components/host/node-ready";
import {
  type PreflightOptions,
  readPreflightFacts,
  renderPreflight,
} from "../../../../components/host/preflight";
import { StageOptionError } from "../../../../components/host/shell";
import { stageBody } from "../../../../components/host/stage";
import { describeScripts } from "../../../lib/host-scripts";

const options: PreflightOptions & { node: string } = {
  node: "gpu-1",
  stack: "lab",
  privateAddress: "10.0.0.7",
  ports: [
    { start: 22, end: 22, what: "the node's SSH", path: "ssh" },
    { start: 10000, end: 19999, what: "the users' blocks", path: "berth:ports.users" },
  ],
  firewall: {
    allowSsh: ["192.0.2.0/24"],
    allowUsers: ["192.0.2.0/24"],
    userPorts: [{ start: 10000, end: 19999 }],
    clusterAddresses: ["10.0.0.7"],
    clusterPorts: [{ start: 6379, end: 6379 }],
  },
};

const scripts = {
  "preflight, plain": renderPreflight(options),
  "preflight, with all": renderPreflight({
    ...options,
    privateInterface: "eno2",
    base: { securityUpdates: true },
    firewall: { ...options.firewall, rules: [{ port: 8080, from: ["192.0.2.9"] }] },
    storage: {
      devices: [{ match: { serial: "S4EVNX0R" }, mount: "/mnt/storage" }],
      nfs: { mounts: [{ from: "nas:/data", mount: "/data/shared" }] },
      bind: { state: "/data/volumes" },
    },
    runtime: { insecureRegistries: ["10.0.0.2:5000"] },
  }),
};
describeScripts({
  "base, with security updates": renderBase({ node: "gpu-1", securityUpdates: true }),
});
describeScripts(scripts);

it("looks at the distribution first of all", () => {
  expect(stageBody(renderPreflight(options))).toContain(distributionCheck("problem").trim());
});

it("tells of a listener whose port is open for what is published alone", () => {
  const rule = { port: { start: 20000, end: 29999 }, protocol: "udp" as const, from: ["192.0.2.9"] };
  const body = (published: boolean) =>
    stageBody(
      renderPreflight({ ...options, firewall: { ...options.firewall, rules: [{ ...rule, published }] } }),
    );
  expect([false, true].map((published) => body(published).includes("udp 20000 29999"))).toEqual([
    true,
    false,
  ]);
});

describe("options", () => {
  it.each([[{ ports: [{ start: 2, end: 1, what: "x", path: "y" }] }, /preflight\.ports\[0\]\.end/]] as [
    Partial<PreflightOptions>,
    RegExp,
  ][])("%j is refused", (more, message) => {
    expect(() => renderPreflight({ ...options, ...more })).toThrow(StageOptionError);
    expect(() => renderPreflight({ ...options, ...more })).toThrow(message);
  });

  it("writes the name of a range as one inert word", () => {
    const nasty = fc.string({
      unit: fc.constantFrom("'", '"', "$", "`", "\\", "(", ";", " ", "a"),
      maxLength: 12,
    });
    fc.assert(
      fc.property(nasty, nasty, (what, path) => {
        const body = stageBody(renderPreflight({ ...options, ports: [{ start: 1, end: 2, what, path }] }));
        expect(spawnSync("bash", ["-n"], { input: body, encoding: "utf8" }).stderr).toBe("");
      }),
      { numRuns: 25 },
    );
  });
});

describe("facts", () => {
  const read = (facts: object) => readPreflightFacts(`BERTH_FACTS ${JSON.stringify(facts)}\n`);

  it("are read into typed values", () => {
    expect(
      read({
        login: "ada",
        sudo: true,
        users: ["ada:x:1000:1000:Ada,,,:/home/ada:/bin/bash", "nonsense"],
        disks: [
          'NAME="sda" TYPE="disk" SIZE="512110190592" FSTYPE="" PTTYPE="gpt" LABEL="" UUID="" MOUNTPOINT=""',
          'NAME="sda1" TYPE="part" SIZE="1073741824" FSTYPE="ext4" PTTYPE="gpt" LABEL="my\\x20data" UUID="1-2" MOUNTPOINT="/mnt/a\\x20b"',
          'NAME="loop0" TYPE="loop" SIZE="1" FSTYPE="squashfs" PTTYPE="" LABEL="" UUID="" MOUNTPOINT="/snap/x"',
        ],
        mounts: ["/dev/sda1 /mnt/a\\x20b ext4 1000 400", "broken"],
        docker: "29.3.1",
        dockerPackage: "docker-ce",
        running: 2,
        containers: 3,
        daemonJson: true,
        liveRestore: false,
        cgroupDriver: "systemd",
        dataRoot: "/var/lib/docker",
        ufw: "active",
        ufwRules: 4,
        otherFirewalls: ["service nftables"],
        privateInterface: "eno2",
        timeSync: "chrony",
        synchronized: true,
        before: "recorded",
        willChange: ["installs packages: a"],
      }),
    ).toEqual({
      login: "ada",
      sudo: true,
      users: [{ name: "ada", uid: 1000, home: "/home/ada" }],
      disks: [
        { name: "sda", type: "disk", bytes: 512110190592, signature: "gpt", label: "", uuid: "", mounts: [] },
        {
          name: "sda1",
          type: "part",
          bytes: 1073741824,
          signature: "ext4",
          label: "my data",
          uuid: "1-2",
          mounts: ["/mnt/a b"],
        },
      ],
      mounts: [{ source: "/dev/sda1", target: "/mnt/a b", filesystem: "ext4", bytes: 1000, freeBytes: 400 }],
      docker: {
        version: "29.3.1",
        package: "docker-ce",
        running: 2,
        containers: 3,
        daemonJson: true,
        liveRestore: false,
        cgroupDriver: "systemd",
        dataRoot: "/var/lib/docker",
      },
      ufw: { state: "active", rules: 4 },
      otherFirewalls: ["service nftables"],
      privateInterface: "eno2",
      timeSync: "chrony",
      synchronized: true,
      before: "recorded",
      willChange: ["installs packages: a"],
    });
  });

  it("are empty, never missing, where a server has nothing", () => {
    const facts = read({ stage: "preflight" });
    expect(facts.docker).toBeUndefined();
    expect(facts).toMatchObject({
      users: [],
      disks: [],
      mounts: [],
      willChange: [],
      ufw: { state: "missing" },
    });
  });
});
