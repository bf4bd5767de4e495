/**
 * GPUs out of use, with a driver, a kernel log and a clock that the test turns.
 * Proves: what takes a GPU out of use and what does not; that only the operator puts it back; which lines of the kernel
 * log are Xids, and which of them are fatal.
 */
import { describe, expect, it } from "vitest";
import { fatalReason, fatalXids, parseXid } from "../../../../agent/src/inventory";
import { machine, node, pci, uuidAt, without, xid } from "./watch-helpers";

describe("a GPU is put out of use", () => {
  it("when it disappears, and stays so when it comes back, until the operator says", async () => {
    const { watch, driver, changes } = machine(node());
    const lost = uuidAt(node(), 1);
    await watch.start();
    driver.shows = without(node(), lost);
    await watch.refresh();
    expect(changes[1]?.quarantined).toEqual([
      { uuid: lost, reason: "it is gone: nvidia-smi shows it no more" },
    ]);
    // It is still shown, with why; the others are as they were, and the node is open.
    const { inventory, closed } = watch.state;
    expect(closed).toBeUndefined();
    expect(inventory.gpus.map(({ index, quarantined }) => [index, quarantined !== undefined])).toEqual([
      [0, false],
      [1, true],
      [2, false],
    ]);
    driver.shows = node();
    await watch.refresh();
    expect(watch.state.inventory.gpus[1]?.quarantined).toContain("it is gone");
    expect(changes).toHaveLength(2);
    expect(watch.unquarantine(lost)).toEqual({ ok: true });
    expect(changes[2]).toMatchObject({ restored: [lost], quarantined: [] });
    expect(watch.state.inventory).toEqual(node());
    await watch.refresh();
    expect(changes).toHaveLength(3);
  });

  it("when the driver cannot reach it, by UUID or by address", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    const [a, b] = [uuidAt(node(), 0), uuidAt(node(), 1)];
    driver.shows = without(without(node(), a), b);
    driver.lost = [
      { pci: pci(0), reason: "GPU is lost" },
      { pci: "0000:77:00", uuid: b, reason: "Unknown Error" },
      { pci: "0000:78:00", reason: "GPU is lost" },
    ];
    await watch.refresh();
    expect(watch.state.inventory.gpus.map(({ quarantined }) => quarantined)).toEqual([
      "the driver cannot reach it: GPU is lost",
      "the driver cannot reach it: Unknown Error",
      undefined,
    ]);
    expect(watch.state.warnings).toEqual([
      "the GPU at 0000:78:00 cannot be reached, and was never read: GPU is lost",
    ]);
    expect(watch.unquarantine(a)).toEqual({
      ok: false,
      reason: `${a} still has the fault: the driver cannot reach it: GPU is lost. Reset or replace it first`,
    });
  });

  it("when the driver calls it unusable, for as long as it does", async () => {
    const { watch, driver } = machine(node());
    const bad = uuidAt(node(), 0);
    driver.faults = { [bad]: "the driver asks for: GPU Reset" };
    await watch.start();
    expect(watch.state.inventory.gpus[0]?.quarantined).toBe("the driver asks for: GPU Reset");
    expect(watch.unquarantine(bad).ok).toBe(false);
    driver.faults = {};
    await watch.refresh();
    expect(watch.state.inventory.gpus[0]?.quarantined).toBeDefined();
    expect(watch.unquarantine(bad).ok).toBe(true);
    expect(watch.unquarantine(bad)).toEqual({ ok: false, reason: `${bad} is not out of use` });
  });

  it("when the kernel log has a fatal Xid for its address, once", async () => {
    const { watch, driver, changes } = machine(node());
    await watch.start();
    driver.kernel.push({ text: xid(1, 79, "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.") });
    driver.kernel.push({ text: xid(1, 119) });
    await watch.refresh();
    // The first is the cause.
    expect(changes[1]?.quarantined).toEqual([
      { uuid: uuidAt(node(), 1), reason: "Xid 79: it fell off the bus" },
    ]);
    expect(watch.unquarantine(uuidAt(node(), 1)).ok).toBe(true);
    await watch.refresh();
    expect(watch.state.inventory).toEqual(node());
    driver.kernel.push({ text: xid(7, 95) });
    await watch.refresh();
    expect(watch.state.warnings[0]).toContain("Xid 95");
    expect(watch.state.warnings[0]).toContain("0000:17:00 that is not known");
    expect(watch.state.inventory).toEqual(node());
  });

  it("and not for what one program did, nor for what the driver repaired", async () => {
    const { watch, driver, changes } = machine(node());
    for (const number of [13, 31, 43, 45, 63, 69, 92, 94, 109, 155])
      driver.kernel.push({ text: xid(0, number) });
    driver.kernel.push({
      text: xid(0, 154, "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"),
    });
    driver.kernel.push({ text: "usb 1-1: new device" });
    await watch.start();
    expect(watch.state.inventory).toEqual(node());
    expect(changes).toHaveLength(1);
  });

  it("by hand, too", async () => {
    const { watch, changes } = machine(node());
    await watch.start();
    expect(watch.quarantine("GPU-none", "x")).toBe(false);
    expect(watch.quarantine(uuidAt(node(), 0), "strange noises")).toBe(true);
    expect(changes[1]?.quarantined).toEqual([{ uuid: uuidAt(node(), 0), reason: "strange noises" }]);
  });

  it("and forgotten when the operator puts back one that is not there, or declares another set", async () => {
    const { watch, driver } = machine(node());
    await watch.start();
    const [a, b] = [uuidAt(node(), 0), uuidAt(node(), 1)];
    driver.shows = without(node(), a);
    await watch.refresh();
    expect(watch.unquarantine(a)).toEqual({ ok: true });
    expect(watch.state.inventory.gpus.map(({ uuid }) => uuid)).not.toContain(a);
    const declared = without(without(node(), a), b);
    driver.shows = declared;
    watch.settle(declared.gpus.map(({ uuid }) => uuid));
    await watch.refresh();
    expect(watch.state.inventory).toEqual(declared);
  });
});

describe("Xid lines", () => {
  it.each([
    [
      "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
      "0000:3b:00",
      79,
    ],
    ["[ 12.5] NVRM: Xid (PCI:0000:86:00 GPU-I:05): 94, pid=12, Contained", "0000:86:00", 94],
    ["NVRM: Xid (PCI:0008:01:00.0): 119, Timeout", "0008:01:00", 119],
    ["NVRM: Xid (0000:03:00): 13, 0001", "0000:03:00", 13],
    ["NVRM: Xid (PCI:0000:0A:00): 48", "0000:0a:00", 48],
  ])("%s", (line, pci, number) => {
    expect(parseXid(line)).toMatchObject({ pci, xid: number });
  });

  it("are no others", () => {
    for (const line of [
      "NVRM: GPU 0000:01:00.0: RmInitAdapter failed!",
      "NVRM: Xid (PCI:zz): 79",
      "Xid 79",
      "",
    ])
      expect(parseXid(line)).toBeUndefined();
  });

  it("are fatal by NVIDIA's catalogue, and by what the driver asks for", () => {
    const reason = (xid: number, detail = "") => fatalReason({ pci: pci(0), xid, detail });
    expect([...fatalXids.keys()]).toEqual([
      46, 48, 54, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 151, 156, 158,
    ]);
    for (const number of fatalXids.keys()) expect(reason(number)).toContain(`Xid ${number}: `);
    const asks = (action: string) =>
      reason(154, `GPU recovery action changed from 0x0 (None) to 0x2 (${action})`);
    expect(asks("Node Reboot Required")).toBe("Xid 154: the driver asks for: Node Reboot Required");
    expect(asks("Drain and Reset")).toBeDefined();
    expect(asks("None")).toBeUndefined();
    expect(asks("Drain P2P")).toBeUndefined();
    expect(reason(154, "words")).toBeUndefined();
  });
});
