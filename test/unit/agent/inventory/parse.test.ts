/**
 * What is read from nvidia-smi, against captures of a real H100 and, with MIG on, against NVIDIA's formats.
 * Proves: every field of the inventory and the readings; that nothing malformed passes for an inventory, and that the
 * error says where. Does not prove the MIG formats themselves: no capture with MIG on exists.
 */
import { describe, expect, it } from "vitest";
import {
  addLinks,
  InventoryError,
  parseInstanceProfiles,
  parseList,
  parseNvidiaSmi,
  parseTopology,
} from "../../../../agent/src/inventory";
import { fixture } from "./helpers";

const H100 = fixture("h100/q.xml");
const MIG = fixture("mig/q.xml");
const LIST = fixture("mig/L.txt");
const A = "GPU-aaaaaaaa-2222-3333-4444-555555555555";
const B = "GPU-bbbbbbbb-2222-3333-4444-555555555555";

/** Code and text of what it throws; a test fails when it throws nothing. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof InventoryError)) throw error;
    return `${error.code}: ${error.message}`;
  }
  throw new Error("it was accepted");
}

describe("nvidia-smi -q -x", () => {
  it("gives inventory and readings of a real H100", () => {
    const { inventory, readings, lost } = parseNvidiaSmi(H100);
    expect(inventory).toEqual({
      source: "nvidia-smi",
      driver: "580.159.04",
      gpus: [
        {
          uuid: "GPU-11111111-2222-3333-4444-555555555555",
          index: 0,
          model: "NVIDIA H100 80GB HBM3",
          memoryMiB: 81559,
          mig: false,
          instances: [],
          nvlink: [],
        },
      ],
    });
    expect(lost).toEqual([]);
    expect(readings).toEqual([
      {
        uuid: "GPU-11111111-2222-3333-4444-555555555555",
        index: 0,
        pci: "0000:00:06",
        minor: 0,
        migMode: "disabled",
        migModePending: "disabled",
        memoryUsedMiB: 0,
        utilisation: 0,
        temperatureC: 37,
        powerW: 74.12,
        processes: [],
        instances: [],
      },
    ]);
  });

  it("tells a busy GPU by its figures, whatever the process list says", () => {
    const [busy] = parseNvidiaSmi(fixture("h100/q-busy.xml")).readings;
    expect(busy).toMatchObject({ memoryUsedMiB: 847, utilisation: 100, powerW: 657.73 });
    expect(busy?.processes).toEqual([{ pid: 504, name: "python3", type: "C", memoryMiB: 838 }]);
  });

  it("joins MIG devices with their profiles and UUIDs, compute instances apart", () => {
    const reading = parseNvidiaSmi(MIG, LIST);
    addLinks(reading, fixture("mig/topo.txt"));
    const { inventory, readings } = reading;
    expect(inventory.gpus).toEqual([
      {
        uuid: A,
        index: 0,
        model: "NVIDIA H100 80GB HBM3",
        memoryMiB: 81559,
        mig: true,
        instances: [
          {
            uuid: "MIG-0a1b2c3d-42e4-5de3-91c7-45d71c87eb3f",
            profile: "3g.40gb",
            memoryMiB: 40448,
            gi: 1,
            ci: 0,
          },
          {
            uuid: "MIG-1a1b2c3d-42e4-5de3-91c7-45d71c87eb3f",
            profile: "1c.3g.40gb",
            memoryMiB: 40448,
            gi: 2,
            ci: 0,
          },
          {
            uuid: "MIG-2a1b2c3d-42e4-5de3-91c7-45d71c87eb3f",
            profile: "2c.3g.40gb",
            memoryMiB: 40448,
            gi: 2,
            ci: 1,
          },
        ],
        nvlink: [B],
      },
      expect.objectContaining({ uuid: B, index: 1, mig: false, instances: [], nvlink: [A] }),
    ]);
    expect(readings[0]).toMatchObject({ migMode: "enabled", utilisation: null, pci: "0000:3b:00" });
    expect(readings[0]?.instances.map(({ memoryUsedMiB }) => memoryUsedMiB)).toEqual([1234, 26, 26]);
    expect(readings[0]?.processes[0]).toMatchObject({ gi: 1, ci: 0, name: "/usr/bin/python3 & more" });
  });

  it("shows a change of the MIG mode that waits for a reset", () => {
    const pending = H100.replace("<pending_mig>Disabled", "<pending_mig>Enabled");
    expect(parseNvidiaSmi(pending).readings[0]).toMatchObject({
      migMode: "disabled",
      migModePending: "enabled",
    });
    expect(parseNvidiaSmi(pending).inventory.gpus[0]?.mig).toBe(false);
  });

  it("has an empty MIG GPU, granted by instances alone", () => {
    const empty = H100.replaceAll("_mig>Disabled", "_mig>Enabled");
    expect(parseNvidiaSmi(empty).inventory.gpus[0]).toMatchObject({ mig: true, instances: [] });
  });

  it("says when the driver itself calls a GPU unusable", () => {
    const fault = (from: string, to: string) => parseNvidiaSmi(H100.replace(from, to)).readings[0]?.fault;
    const action = (to: string) => fault("<gpu_recovery_action>None", `<gpu_recovery_action>${to}`);
    expect(action("GPU Reset")).toBe("the driver asks for: GPU Reset");
    expect(action("Node Reboot")).toContain("Node Reboot");
    expect(action("Drain P2P")).toBeUndefined();
    expect(fault("<remapped_row_failure>No", "<remapped_row_failure>Yes")).toContain("row remap failed");
    expect(fault("<unrepairable_memory>No", "<unrepairable_memory>Yes")).toContain("cannot be repaired");
    // Work goes on while a row waits for the next reset.
    expect(fault("<remapped_row_pending>No", "<remapped_row_pending>Yes")).toBeUndefined();
  });

  it("keeps the numbers of the GPUs that are left when one is lost", () => {
    const line = "Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost.\n";
    const only = MIG.replace(/\t<gpu id="00000000:3B[\s\S]*?<\/gpu>\n/, "");
    const { inventory, lost } = parseNvidiaSmi(line + only, LIST);
    expect(inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([[B, 1]]);
    expect(lost).toEqual([{ pci: "0000:3b:00", reason: "GPU is lost." }]);
  });

  it("takes a GPU that answers 'GPU is lost' for lost, by address and UUID", () => {
    const first = MIG.replace("<total>81559 MiB</total>", "<total>GPU is lost</total>");
    expect(parseNvidiaSmi(first, LIST).lost).toEqual([{ pci: "0000:3b:00", uuid: A, reason: "GPU is lost" }]);
    const all = MIG.replace(`<uuid>${A}`, "<uuid>Unknown Error");
    const read = parseNvidiaSmi(all, LIST);
    expect(read.lost).toEqual([{ pci: "0000:3b:00", reason: "Unknown Error" }]);
    expect(read.inventory.gpus.map(({ uuid }) => uuid)).toEqual([B]);
  });

  it("passes over a warning after the end", () => {
    const text = `${H100}\nWARNING: infoROM is corrupted at gpu 0000:00:06.0\n`;
    expect(parseNvidiaSmi(text).inventory.gpus).toHaveLength(1);
  });

  it.each([
    ["nothing", "", "nvidia-smi -q -x printed no XML"],
    ["words", "NVIDIA-SMI has failed because it couldn't communicate with the driver.", "printed no XML"],
    ["half a text", H100.slice(0, 5000), "printed no whole XML"],
    ["a tag torn apart", H100.replace("</uuid>", "</uui"), "printed no whole XML: line"],
    ["another root", '<?xml version="1.0" ?>\n<html></html>', "nvidia_smi_log"],
    ["no UUID", H100.replace(/\t\t<uuid>.*\n/, ""), "nvidia_smi_log.gpu[0].uuid"],
    ["a UUID that is none", H100.replace("<uuid>GPU-1", "<uuid>GPU-x"), "nvidia_smi_log.gpu[0].uuid is"],
    [
      "a MIG mode of no kind",
      H100.replace("<current_mig>Disabled", "<current_mig>Perhaps"),
      "current_mig is",
    ],
    ["an address that is none", H100.replace('id="00000000:00:06.0"', 'id="6"'), "nvidia_smi_log.gpu[0].@id"],
    [
      "fewer GPUs than it says",
      H100.replace("<attached_gpus>1", "<attached_gpus>2"),
      "tells of 2 GPUs and shows 1",
    ],
    [
      "more GPUs than it says",
      H100.replace("<attached_gpus>1", "<attached_gpus>0"),
      "attached_gpus is 0, and 1",
    ],
  ])("refuses %s, and says where", (_, text, message) => {
    expect(refusal(() => parseNvidiaSmi(text))).toContain("garbage: ");
    expect(refusal(() => parseNvidiaSmi(text))).toContain(message);
  });

  it("refuses a GPU that is there twice", () => {
    expect(refusal(() => parseNvidiaSmi(MIG.replace(B, A), LIST))).toContain(`${A} is there twice`);
  });

  it("refuses XML and list of different moments", () => {
    const where = "nvidia_smi_log.gpu[0].mig_devices";
    expect(refusal(() => parseNvidiaSmi(MIG))).toContain(`${where} has 3 instances, and nvidia-smi -L 0`);
    const two = LIST.replace(/ {2}MIG 2c.*\n/, "");
    expect(refusal(() => parseNvidiaSmi(MIG, two))).toContain("has 3 instances, and nvidia-smi -L 2");
    const other = LIST.replace("Device  2", "Device  5");
    expect(refusal(() => parseNvidiaSmi(MIG, other))).toContain("is 2, which nvidia-smi -L does not have");
    const none = H100.replaceAll("_mig>Disabled", "_mig>Enabled");
    const one =
      "GPU 0: H (UUID: GPU-11111111-2222-3333-4444-555555555555)\n  MIG 1g.10gb     Device  0: (UUID: MIG-0a1b2c3d-42e4-5de3-91c7-45d71c87eb3f)\n";
    expect(refusal(() => parseNvidiaSmi(none, one))).toContain("has 0 instances, and nvidia-smi -L 1");
  });
});

describe("nvidia-smi -L", () => {
  it("reads a capture, MIG devices, and the names of the first drivers with MIG", () => {
    expect(parseList(fixture("h100/L.txt"))).toEqual([
      {
        index: 0,
        model: "NVIDIA H100 80GB HBM3",
        uuid: "GPU-11111111-2222-3333-4444-555555555555",
        instances: [],
      },
    ]);
    expect(parseList(LIST)[0]?.instances.map(({ device, profile }) => [device, profile])).toEqual([
      [0, "3g.40gb"],
      [1, "1c.3g.40gb"],
      [2, "2c.3g.40gb"],
    ]);
    expect(parseList(fixture("mig/L-r450.txt"))[0]?.instances[1]?.uuid).toBe(
      "MIG-GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/2/0",
    );
    expect(parseList("No devices found.\n")).toEqual([]);
  });

  it.each([
    [
      "a line of another kind",
      "GPU 0: H100 (UUID: GPU-11111111-2222-3333-4444-555555555555)\nSegmentation fault\n",
      "line 2",
    ],
    [
      "a MIG device without a GPU",
      "  MIG 1g.5gb Device 0: (UUID: MIG-0a1b2c3d-42e4-5de3-91c7-45d71c87eb3f)\n",
      "line 1",
    ],
    ["a UUID that is none", "GPU 0: H100 (UUID: ERR!)\n", "no UUID of a GPU"],
  ])("refuses %s", (_, text, message) => {
    expect(refusal(() => parseList(text))).toContain(message);
  });
});

describe("tables", () => {
  it("refuses a row that it cannot read, and what is no table", () => {
    const torn = fixture("h100/lgip.txt").replace("7/7", "7-7").replace("0/7", "0-7");
    expect(refusal(() => parseInstanceProfiles(torn))).toMatch(/mig -lgip, line \d+,/);
    expect(refusal(() => parseInstanceProfiles("Killed\n"))).toContain("printed no table");
  });

  it("reads the profiles of a real H100", () => {
    const rows = parseInstanceProfiles(fixture("h100/lgip.txt"));
    expect(rows.map(({ profile, profileId, total }) => [profile, profileId, total])).toEqual([
      ["1g.10gb", 19, 7],
      ["1g.10gb+me", 20, 1],
      ["1g.20gb", 15, 4],
      ["2g.20gb", 14, 3],
      ["3g.40gb", 9, 2],
      ["4g.40gb", 5, 1],
      ["7g.80gb", 0, 1],
    ]);
    expect(rows[0]).toEqual({
      gpu: 0,
      profile: "1g.10gb",
      profileId: 19,
      free: 7,
      total: 7,
      memoryGiB: 9.75,
    });
  });

  it("finds NVLink neighbours, with colours and NICs in the matrix", () => {
    expect([...parseTopology(fixture("mig/topo-4.txt"))]).toEqual([
      [0, [1]],
      [1, [0]],
      [2, [3]],
      [3, [2]],
    ]);
    expect([...parseTopology(fixture("h100/topo.txt"))]).toEqual([[0, []]]);
    expect(refusal(() => parseTopology("GPU0 GPU1\n"))).toContain("no row that names the GPUs");
    expect(refusal(() => parseTopology("\tGPU0\tGPU1\nGPU0\t X \tERR!\n"))).toContain(
      '"ERR!" between GPU0 and GPU1',
    );
  });
});
