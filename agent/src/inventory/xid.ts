import { pciAddress } from "./values";

/** An error that the driver wrote to the kernel log. */
export interface XidEvent {
  /** `0000:3b:00`. */
  pci: string;
  xid: number;
  /** What follows the number, cut to 200 characters. */
  detail: string;
}

/**
 * Errors after which nobody can use the GPU until it is reset or replaced. From NVIDIA's "Xid Catalog" (docs.nvidia.com,
 * "Analyzing Xid Errors with the Xid Catalog"), Ampere to Blackwell: those whose immediate action is to reset the GPU,
 * to restart the machine, or to look at the hardware.
 *
 * Left out on purpose: what one program did to itself (13, 31, 43, 45, 69), memory errors that the driver contained or
 * repaired (63, 94; 92 is a count), 109 (a context switch that took too long: most often one program's kernel), and 155
 * (a link that goes down, also when that is intended). When the driver wants a reset for one of them, it says so with
 * 154. 144 to 150 are NVLink errors of Blackwell whose subcode decides; there too 154 follows.
 */
export const fatalXids: ReadonlyMap<number, string> = new Map([
  [46, "it stopped processing"],
  [48, "a double-bit memory error"],
  [54, "its auxiliary power is not connected"],
  [62, "its micro-controller halted"],
  [64, "a bad row of its memory could not be remapped"],
  [74, "an NVLink error: its links cannot be trusted"],
  [79, "it fell off the bus"],
  [95, "a memory error that was not contained: any program on it may have wrong data"],
  [110, "a security fault"],
  [119, "its firmware (GSP) no longer answers"],
  [120, "an error of its firmware (GSP)"],
  [136, "its NVLink could not be trained"],
  [140, "a memory error that it did not recover from"],
  [143, "it could not be initialised"],
  [151, "its keys could not be renewed: the virtual machine has to be restarted"],
  [156, "a part of it is retired and has to be left out by a reset"],
  [158, "it timed out for good"],
]);

/** Xid 154 announces what the driver wants done. Draining NVLink peers and "None" leave the GPU itself usable. */
const ACTION = /changed from \S+ \([^)]*\) to \S+ \(([^)]*)\)/;

/** Reads a line such as `NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.`; undefined for others. */
export function parseXid(line: string): XidEvent | undefined {
  const match = /NVRM: Xid \((?:PCI:)?([0-9a-f:.]+)[^)]*\): (\d{1,4})\b,?\s*(.*)$/i.exec(line);
  const pci = pciAddress(match?.[1] ?? "");
  if (!match || !pci) return undefined;
  return { pci, xid: Number(match[2]), detail: (match[3] ?? "").slice(0, 200) };
}

/** Why the GPU is out of use after this, or undefined when it is not. */
export function fatalReason({ xid, detail }: XidEvent): string | undefined {
  if (xid === 154) {
    const action = ACTION.exec(detail)?.[1];
    return action === undefined || /^(none|drain p2p)$/i.test(action)
      ? undefined
      : `Xid 154: the driver asks for: ${action}`;
  }
  const meaning = fatalXids.get(xid);
  return meaning && `Xid ${xid}: ${meaning}`;
}
