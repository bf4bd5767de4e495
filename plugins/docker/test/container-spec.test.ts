/** What a program asks for is what the engine is asked for. */

import { Readable } from "node:stream";
import type { Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { faults } from "../src/container";
import { goDuration, nanoseconds, sameDuration } from "../src/container/duration";
import { containerFields } from "../src/container/schema";
import { containerSpec, limits } from "../src/container/spec";
import { firstFile, uploadArchive, uploadFiles } from "../src/container/uploads";
import { recorded } from "./support";

const MIB = 1024 * 1024;
const host = (inputs: Props) => containerSpec({ name: "n", image: "i", ...inputs }).body.HostConfig;
const body = (inputs: Props) => containerSpec({ name: "n", image: "i", ...inputs }).body;

describe("containerSpec", () => {
  it("asks for no more than the engine's defaults when nothing is given", () => {
    expect(containerSpec({ name: "n", image: "i" })).toEqual({
      name: "n",
      platform: undefined,
      networks: [],
      body: {
        Image: "i",
        HostConfig: {
          Memory: 0,
          MemoryReservation: 0,
          CpuShares: 0,
          CpusetCpus: "",
          RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
          Init: false,
          NetworkMode: "bridge",
          LogConfig: { Type: "", Config: {} },
        },
      },
    });
  });

  it.each<[Props, Record<string, unknown>]>([
    [{ memory: 64 }, { Memory: 64 * MIB }],
    [{ memorySwap: 128 }, { MemorySwap: 128 * MIB }],
    [{ memorySwap: -1 }, { MemorySwap: -1 }],
    [
      { cpus: "1.5", cpuPeriod: 5, cpuQuota: 6 },
      { NanoCpus: 1.5e9, CpuPeriod: undefined, CpuQuota: undefined },
    ],
    [
      { cpuPeriod: 5, cpuQuota: 6 },
      { CpuPeriod: 5, CpuQuota: 6 },
    ],
    [{ shmSize: 64 }, { ShmSize: 64 * MIB }],
    [{ capabilities: { drops: ["ALL"], adds: ["CHOWN"] } }, { CapDrop: ["ALL"], CapAdd: ["CHOWN"] }],
    [
      { securityOpts: ["seccomp=unconfined", "systempaths=unconfined"] },
      { SecurityOpt: ["seccomp=unconfined"], MaskedPaths: [], ReadonlyPaths: [] },
    ],
    [{ securityOpts: ["no-new-privileges"] }, { SecurityOpt: ["no-new-privileges"], MaskedPaths: undefined }],
    [
      {
        ports: [
          { internal: 80, external: 8080, ip: "127.0.0.1", protocol: "tcp" },
          { internal: 80, external: 81 },
        ],
      },
      {
        PortBindings: {
          "80/tcp": [
            { HostIp: "127.0.0.1", HostPort: "8080" },
            { HostIp: "0.0.0.0", HostPort: "81" },
          ],
        },
      },
    ],
    [
      { ports: [{ internal: 53, protocol: "udp" }] },
      { PortBindings: { "53/udp": [{ HostIp: "0.0.0.0", HostPort: "0" }] } },
    ],
    [
      {
        mounts: [
          {
            type: "bind",
            source: "/a",
            target: "/b",
            readOnly: true,
            bindOptions: { propagation: "rslave" },
          },
        ],
      },
      {
        Mounts: [
          {
            Type: "bind",
            Source: "/a",
            Target: "/b",
            ReadOnly: true,
            BindOptions: { Propagation: "rslave" },
          },
        ],
      },
    ],
    [
      { mounts: [{ type: "tmpfs", target: "/t", tmpfsOptions: { sizeBytes: 9, mode: 448 } }] },
      { Mounts: [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 9, Mode: 448 } }] },
    ],
    [
      {
        mounts: [
          {
            type: "volume",
            source: "v",
            target: "/v",
            volumeOptions: { noCopy: true, labels: [{ label: "a", value: "b" }], driverName: "local" },
          },
        ],
      },
      {
        Mounts: [
          {
            Type: "volume",
            Source: "v",
            Target: "/v",
            VolumeOptions: { NoCopy: true, Labels: { a: "b" }, DriverConfig: { Name: "local" } },
          },
        ],
      },
    ],
    [
      {
        volumes: [
          { volumeName: "v", containerPath: "/v", readOnly: true },
          { hostPath: "/h", containerPath: "/c", selinuxRelabel: "z" },
          { fromContainer: "other" },
        ],
      },
      { Binds: ["v:/v:ro", "/h:/c:rw,z"], VolumesFrom: ["other"] },
    ],
    [{ tmpfs: { "/run": "size=1m" } }, { Tmpfs: { "/run": "size=1m" } }],
    [
      {
        devices: [
          { hostPath: "/dev/fuse" },
          { hostPath: "/dev/a", containerPath: "/dev/b", permissions: "r" },
        ],
      },
      {
        Devices: [
          { PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rwm" },
          { PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "r" },
        ],
      },
    ],
    [
      { deviceRequests: [{ driver: "cdi", deviceIds: ["nvidia.com/gpu=GPU-1"] }] },
      {
        DeviceRequests: [
          { Driver: "cdi", Count: 0, DeviceIDs: ["nvidia.com/gpu=GPU-1"], Capabilities: [[]], Options: {} },
        ],
      },
    ],
    [{ gpus: "all" }, { DeviceRequests: [{ Count: -1, Capabilities: [["gpu"]] }] }],
    [{ gpus: "2" }, { DeviceRequests: [{ Count: 2, Capabilities: [["gpu"]] }] }],
    [
      { gpus: '"device=GPU-1,GPU-2"' },
      { DeviceRequests: [{ Count: 0, DeviceIDs: ["GPU-1", "GPU-2"], Capabilities: [["gpu"]] }] },
    ],
    [{ hosts: [{ host: "h", ip: "1.2.3.4" }] }, { ExtraHosts: ["h:1.2.3.4"] }],
    [
      { restart: "on-failure", maxRetryCount: 3 },
      { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } },
    ],
    [
      { deviceReadBps: [{ path: "/dev/sda", rate: 5 }] },
      { BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 5 }] },
    ],
    [
      {
        ipcMode: "private",
        pidMode: "host",
        cgroupnsMode: "private",
        cgroupParent: "/x",
        usernsMode: "host",
      },
      {
        IpcMode: "private",
        PidMode: "host",
        CgroupnsMode: "private",
        CgroupParent: "/x",
        UsernsMode: "host",
      },
    ],
    [
      { sysctls: { a: "1" }, storageOpts: { size: "1G" }, groupAdds: ["44"], dns: ["1.1.1.1"] },
      { Sysctls: { a: "1" }, StorageOpt: { size: "1G" }, GroupAdd: ["44"], Dns: ["1.1.1.1"] },
    ],
    [
      { rm: true, readOnly: true, init: true, privileged: true },
      { AutoRemove: true, ReadonlyRootfs: true, Init: true, Privileged: true },
    ],
  ])("host configuration of %j", (inputs, expected) => {
    expect(host(inputs)).toMatchObject(
      Object.fromEntries(Object.entries(expected).filter(([, value]) => value !== undefined)),
    );
    for (const [key, value] of Object.entries(expected))
      if (value === undefined) expect(host(inputs)).not.toHaveProperty(key);
  });

  it("turns a healthcheck's durations into nanoseconds", () => {
    expect(
      body({ healthcheck: { tests: ["CMD", "x"], interval: "1m30s", timeout: "500ms", retries: 3 } })
        .Healthcheck,
    ).toEqual({
      Test: ["CMD", "x"],
      Interval: 90e9,
      Timeout: 5e8,
      StartPeriod: 0,
      Retries: 3,
    });
  });

  it("connects to each network with its address and aliases", () => {
    const networksAdvanced: Props[] = [
      { name: "net", ipv4Address: "10.0.0.2", aliases: ["a"], driverOpts: ["k=v=w"] },
      { name: "two" },
    ];
    expect(containerSpec({ networksAdvanced }).networks).toEqual([
      {
        name: "net",
        endpoint: { IPAMConfig: { IPv4Address: "10.0.0.2" }, Aliases: ["a"], DriverOpts: { k: "v=w" } },
      },
      { name: "two", endpoint: {} },
    ]);
  });

  it("makes something of every input that it offers", () => {
    const used = new Set<string>();
    const spy = new Proxy(recorded.full?.checked as Props, {
      getOwnPropertyDescriptor: (target, key) => {
        used.add(String(key));
        return Reflect.getOwnPropertyDescriptor(target, key);
      },
    });
    containerSpec(spy);
    // The plugin's own settings: see create.ts, calls.ts and update in index.ts.
    const ours = [
      "mustRun",
      "start",
      "attach",
      "logs",
      "wait",
      "waitTimeout",
      "destroyGraceSeconds",
      "removeVolumes",
      "containerReadRefreshTimeoutMilliseconds",
      "uploads",
    ];
    const inputs = Object.keys(containerFields).filter((key) => containerFields[key]?.output !== true);
    // `cpus` wins over the next two, `gpus` over deviceRequests: read only when the first is absent.
    const excluded = ["cpuPeriod", "cpuQuota"];
    expect(inputs.filter((key) => !used.has(key) && !ours.includes(key) && !excluded.includes(key))).toEqual(
      [],
    );
  });

  it("gives an update the limits and the restart policy, nothing else", () => {
    expect(
      limits({ memory: 1, memorySwap: 2, cpuShares: 3, cpuSet: "0", restart: "always", image: "x" }),
    ).toEqual({
      Memory: MIB,
      MemorySwap: 2 * MIB,
      MemoryReservation: 0,
      CpuShares: 3,
      CpusetCpus: "0",
      RestartPolicy: { Name: "always", MaximumRetryCount: 0 },
    });
  });
});

describe("faults", () => {
  it.each<[Props, string]>([
    [{ attach: true }, "attach"],
    [{ gpus: "some" }, "gpus"],
    [{ gpus: "all", deviceRequests: [{ deviceIds: ["x"] }] }, "gpus"],
    [{ uploads: [{ file: "/a" }] }, "uploads[0]"],
    [{ uploads: [{ file: "/a", content: "x", source: "/b" }] }, "uploads[0]"],
    [{ volumes: [{ volumeName: "v" }] }, "volumes[0]"],
    [{ volumes: [{ fromContainer: "c", containerPath: "/p" }] }, "volumes[0]"],
  ])("%j is refused at %s", (inputs, property) => {
    expect(faults(inputs).map((fault) => fault.property)).toEqual([property]);
  });

  it("shows no content of an upload", () => {
    expect(
      JSON.stringify(faults({ uploads: [{ file: "/a", content: "TOPSECRET", contentBase64: "VE9Q" }] })),
    ).not.toMatch(/TOPSECRET|VE9Q/);
  });
});

describe("uploads", () => {
  it("survive the way through an archive, bytes and mode", async () => {
    const files = await uploadFiles({
      uploads: [
        {
          file: "/etc/berth/key",
          contentBase64: Buffer.from([0, 255, 10]).toString("base64"),
          permissions: "0600",
        },
        { file: "/x", content: "x", executable: true },
        { file: "/y", content: "y" },
      ],
    });
    expect(files.map(({ file, mode }) => [file, mode.toString(8)])).toEqual([
      ["/etc/berth/key", "600"],
      ["/x", "744"],
      ["/y", "644"],
    ]);
    const back = await firstFile(Readable.from([await uploadArchive(files.slice(0, 1))]));
    expect(back).toEqual({ content: Buffer.from([0, 255, 10]), mode: 0o600 });
  });
});

describe("durations", () => {
  it.each([
    ["0s", 0],
    ["90s", 90e9],
    ["1m30s", 90e9],
    ["1h0m0s", 3600e9],
    ["1.5s", 1.5e9],
    ["250ms", 25e7],
    ["0", 0],
  ])("%s is %d ns", (text, ns) => {
    expect(nanoseconds(text)).toBe(ns);
  });
  it.each([
    [0, "0s"],
    [1e9, "1s"],
    [90e9, "1m30s"],
    [3600e9, "1h0m0s"],
    [25e7, "250ms"],
    [1.5e9, "1.5s"],
    [15e5, "1.5ms"],
    [100e9, "1m40s"],
  ])("%d ns are written %s", (ns, text) => {
    expect(goDuration(ns)).toBe(text);
    expect(sameDuration(text, goDuration(ns))).toBe(true);
  });
  it.each(["", "5", "1x", "s", "-1s", "1s 2s"])("%j is none", (text) => {
    expect(() => nanoseconds(text)).toThrow(/no duration/);
  });
});
