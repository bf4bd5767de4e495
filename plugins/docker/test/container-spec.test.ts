/** What a program asks for is what the engine is asked for. */

import { Readable } from "node:stream";
import type { Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
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
      networks: [],
      body: {
        Image: "i",
        HostConfig: {
          Memory: 0,
          MemoryReservation: 0,
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
    [{ cpus: "1.5" }, { NanoCpus: 1.5e9 }],
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
          },
          { type: "volume", source: "v", target: "/v" },
        ],
      },
      {
        Mounts: [
          { Type: "bind", Source: "/a", Target: "/b", ReadOnly: true },
          { Type: "volume", Source: "v", Target: "/v" },
        ],
      },
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
    [{ restart: "on-failure" }, { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 0 } }],
    [
      { ipcMode: "private", cgroupnsMode: "private", cgroupParent: "/x" },
      { IpcMode: "private", CgroupnsMode: "private", CgroupParent: "/x" },
    ],
    [{ privileged: true }, { Privileged: true }],
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

  it("connects to each network, with its address", () => {
    const networksAdvanced: Props[] = [{ name: "net", ipv4Address: "10.0.0.2" }, { name: "two" }];
    expect(containerSpec({ networksAdvanced }).networks).toEqual([
      { name: "net", endpoint: { IPAMConfig: { IPv4Address: "10.0.0.2" } } },
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
    const ours = ["mustRun", "destroyGraceSeconds", "uploads"];
    const offered = Object.entries(containerFields)
      .filter(([, field]) => field.output !== true && field.unsupported === undefined)
      .map(([key]) => key);
    expect(offered.filter((key) => !used.has(key) && !ours.includes(key))).toEqual([]);
    expect([...used].filter((key) => !offered.includes(key))).toEqual([]);
  });

  it("gives an update the limits and the restart policy, nothing else", () => {
    expect(limits({ memory: 1, memorySwap: 2, restart: "always", image: "x" })).toEqual({
      Memory: MIB,
      MemorySwap: 2 * MIB,
      MemoryReservation: 0,
      RestartPolicy: { Name: "always", MaximumRetryCount: 0 },
    });
  });
});

describe("uploads", () => {
  it("survive the way through an archive, bytes and mode", async () => {
    const files = uploadFiles({
      uploads: [
        { file: "/etc/berth/key", content: "ä\0\n", permissions: "0600" },
        { file: "/y", content: "" },
      ],
    });
    expect(files.map(({ file, mode }) => [file, mode.toString(8)])).toEqual([
      ["/etc/berth/key", "600"],
      ["/y", "644"],
    ]);
    const back = await firstFile(Readable.from([await uploadArchive(files.slice(0, 1))]));
    expect(back).toEqual({ content: Buffer.from("ä\0\n"), mode: 0o600 });
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
