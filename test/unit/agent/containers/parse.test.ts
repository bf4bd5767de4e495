/**
 * What is read from Docker's answers, the pure parts. Proves: which GPUs a container has, however they were named; events
 * are read whole, to the nanosecond, however they are cut.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { devicesOf } from "../../../../agent/src/containers/devices";
import { parseEvent, parseEvents, sinceOf } from "../../../../agent/src/docker/events";
import type { Inspect } from "../../../../agent/src/docker/shapes";
import { GPU0, GPU1, inventory, MIG0, MIG1 } from "./rig";

const container = (host: Partial<Inspect["HostConfig"]>, env: string[] = []): Inspect => ({
  Id: "a".repeat(64),
  Name: "/x",
  Created: "",
  State: { Status: "running", Running: true, Pid: 1, ExitCode: 0 },
  Config: { Env: env },
  HostConfig: host,
});

describe("the GPUs of a container", () => {
  const cases: [string, Partial<Inspect["HostConfig"]>, string[], string[]][] = [
    ["nothing", {}, [], []],
    [
      "CDI by UUID",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: [`nvidia.com/gpu=${MIG0}`] }] },
      [],
      [MIG0],
    ],
    ["CDI by index", { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=0"] }] }, [], [GPU0]],
    [
      "CDI, a MIG instance by its place",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=1:1"] }] },
      [],
      [MIG1],
    ],
    [
      "CDI, all",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=all"] }] },
      [],
      [GPU0, MIG0, MIG1],
    ],
    [
      "CDI of the runtime's own kind",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["runtime.nvidia.com/gpu=0"] }] },
      [],
      [GPU0],
    ],
    ["CDI of another maker", { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["amd.com/gpu=0"] }] }, [], []],
    [
      "--gpus all",
      { DeviceRequests: [{ Driver: "", Count: -1, Capabilities: [["gpu"]] }] },
      [],
      [GPU0, MIG0, MIG1],
    ],
    ["--gpus 1", { DeviceRequests: [{ Driver: "", Count: 1, Capabilities: [["gpu"]] }] }, [], [GPU0]],
    ["--gpus device=1", { DeviceRequests: [{ Driver: "nvidia", DeviceIDs: ["1"] }] }, [], [MIG0, MIG1]],
    [
      "another driver's request",
      { DeviceRequests: [{ Driver: "tpu", Count: -1, Capabilities: [["tpu"]] }] },
      [],
      [],
    ],
    [
      "a device file",
      {
        Devices: [{ PathOnHost: "/dev/nvidia0", PathInContainer: "/dev/nvidia0", CgroupPermissions: "rwm" }],
      },
      [],
      [GPU0],
    ],
    [
      "the control device alone",
      { Devices: [{ PathOnHost: "/dev/nvidiactl", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }] },
      [],
      [],
    ],
    [
      "a MIG capability",
      {
        Devices: [
          { PathOnHost: "/dev/nvidia-caps/nvidia-cap12", PathInContainer: "/x", CgroupPermissions: "r" },
        ],
      },
      [],
      [GPU0, MIG0, MIG1],
    ],
    [
      "NVIDIA's runtime and the image's wish for all",
      { Runtime: "nvidia" },
      ["NVIDIA_VISIBLE_DEVICES=all"],
      [GPU0, MIG0, MIG1],
    ],
    [
      "NVIDIA's runtime, the last word counts",
      { Runtime: "nvidia" },
      ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void"],
      [],
    ],
    [
      "NVIDIA's runtime with CDI names",
      { Runtime: "nvidia-cdi" },
      [`NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=${MIG1}`],
      [MIG1],
    ],
    ["the wish without the runtime", { Runtime: "runc" }, ["NVIDIA_VISIBLE_DEVICES=all"], []],
    [
      "an annotation",
      { Annotations: { "cdi.k8s.io/x": "nvidia.com/gpu=0,nvidia.com/gpu=1:0" } },
      [],
      [GPU0, MIG0],
    ],
    [
      "a GPU that is gone",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=GPU-gone"] }] },
      [],
      ["GPU-gone"],
    ],
    [
      "an instance that is not there: all of its GPU",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=1:7"] }] },
      [],
      [MIG0, MIG1],
    ],
    [
      "a divided GPU by UUID",
      { DeviceRequests: [{ Driver: "cdi", DeviceIDs: [`nvidia.com/gpu=${GPU1}`] }] },
      [],
      [MIG0, MIG1],
    ],
  ];
  it.each(cases)("%s", (_, host, env, units) => {
    expect(devicesOf(container(host, env), inventory).units).toEqual([...units].sort());
  });

  it("tells that GPUs are named which the inventory does not have yet", () => {
    const all = container({ DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=all"] }] });
    expect(devicesOf(all, { source: "none", gpus: [] })).toEqual({
      units: [],
      named: true,
      privileged: false,
    });
    expect(devicesOf(container({ Privileged: true }), inventory)).toEqual({
      units: [],
      named: false,
      privileged: true,
    });
  });
});

describe("events", () => {
  const line = (nano: string) =>
    `{"Type":"container","Action":"die","Actor":{"ID":"abc","Attributes":{"exitCode":"0"}},"time":1700000000,"timeNano":${nano}}`;

  it("keeps the nanoseconds, which no number holds", () => {
    expect(parseEvent(line("1700000000123456789"))).toEqual({
      type: "container",
      action: "die",
      id: "abc",
      attributes: { exitCode: "0" },
      at: "1700000000.123456789",
    });
    expect(sinceOf(1_700_000_000_123)).toBe("1700000000.123000000");
  });

  it("leaves out what is of no type that is followed, and refuses what is no event", () => {
    expect(parseEvent("")).toBeUndefined();
    expect(parseEvent('{"Type":"network","Action":"connect"}')).toBeUndefined();
    expect(() => parseEvent("<html>")).toThrow("dockerd's events make no sense");
  });

  it("reads them whole however they are cut", async () => {
    const text = `${line("1700000000000000001")}\n\n${line("1700000000000000002")}\n`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 6 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        async function* chunks() {
          for (let i = 1; i < at.length; i++) yield Buffer.from(text.slice(at[i - 1], at[i]));
        }
        const found: string[] = [];
        for await (const event of parseEvents(chunks())) found.push(event?.at ?? "missed");
        expect(found).toEqual(["1700000000.000000001", "1700000000.000000002"]);
      }),
      { numRuns: 50 },
    );
  });

  describe("of which one is too long", () => {
    const MiB = 2 ** 20;
    /** `long` between two others, in pieces of so many characters. */
    const read = async (long: Iterable<string>, size: number) => {
      function* pieces() {
        yield `${line("1700000000000000001")}\n`;
        yield* long;
        yield `\n${line("1700000000000000002")}\n`;
      }
      async function* chunks() {
        for (const piece of pieces())
          for (let at = 0; at < piece.length; at += size) yield Buffer.from(piece.slice(at, at + size));
      }
      const found: string[] = [];
      for await (const event of parseEvents(chunks())) found.push(event?.at ?? "missed");
      return found;
    };
    const others = ["1700000000.000000001", "1700000000.000000002"];
    const missed = [others[0], "missed", others[1]];

    it.each([1000, 65_536, 4 * MiB])(
      "tells that one was missed, and goes on: in pieces of %i",
      async (size) => {
        const label = "x".repeat(MiB);
        const start = `{"status":"start","id":"a","Type":"container","Action":"start","Actor":{"ID":"a","Attributes":{"l":"${label}"}}}`;
        expect(await read([start], size)).toEqual(missed);
        expect(await read(["x".repeat(MiB + 1)], size)).toEqual(missed);
      },
    );

    it.each([
      [
        "an older dockerd",
        '{"status":"exec_create: ',
        '","id":"a","Type":"container","Action":"exec_create: ',
      ],
      ["a newer one", '{"Type":"container","Action":"exec_start: ', ""],
    ])("passes over an exec, which says nothing of its container: %s", async (_, begin, middle) => {
      const command = "\\u003c".repeat(MiB / 6);
      const exec = `${begin}${command}${middle}${command}","Actor":{"ID":"a","Attributes":{}}}`;
      for (const size of [1000, 65_536, 4 * MiB]) expect(await read([exec], size)).toEqual(others);
    });

    it("reads what is as long as may be", async () => {
      const short = line("1700000000000000003");
      const long = short.replace('"0"', `"${"0".repeat(MiB - short.length + 1)}"`);
      expect(long.length).toBe(MiB);
      for (const size of [65_536, 4 * MiB])
        expect(await read([long], size)).toEqual([others[0], "1700000000.000000003", others[1]]);
    });

    it("keeps little of one that is longer than the memory", async () => {
      function* endless() {
        const piece = "x".repeat(MiB);
        for (let n = 0; n < 500; n++) yield piece;
      }
      const before = process.memoryUsage().rss;
      expect(await read(endless(), MiB)).toEqual(missed);
      expect(process.memoryUsage().rss - before).toBeLessThan(400 * MiB);
    });
  });
});
