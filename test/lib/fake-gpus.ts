import { writeFileSync } from "node:fs";
import { replaceFile } from "../../agent/src/files";
import type { FakePaths } from "../../agent/src/inventory";
import { fakePci } from "../../agent/src/inventory/fake-data";

/** How the stand-in behaves from now on. All left out: as a healthy driver with idle GPUs. */
export interface FakeState {
  /** It never ends, and neither does a child of it; both ignore SIGTERM. */
  hang?: boolean;
  garbage?: boolean;
  /** It ends with this code and the driver's words for it. */
  exit?: number;
  /** UUIDs of GPUs that the driver cannot reach: exit code 15. */
  lost?: readonly string[];
  /** UUIDs of GPUs that it does not show any more. */
  gone?: readonly string[];
  /** What the driver wants done with a GPU, by UUID: `GPU Reset`. */
  recovery?: Readonly<Record<string, string>>;
  /** Memory in use and, of a GPU, percent of utilisation; by UUID. */
  use?: Readonly<Record<string, { memoryMiB: number; utilisation?: number }>>;
  /** Errors for the kernel log, added to what is there. */
  xid?: readonly { gpu: number; xid: number; text?: string }[];
}

/** Sets the state of the stand-in. */
export function setFakeState(state: FakeState, paths: FakePaths): void {
  const lines = [
    ...(state.hang ? ["hang"] : []),
    ...(state.garbage ? ["garbage"] : []),
    ...(state.exit === undefined ? [] : [`exit ${state.exit}`]),
    ...(state.lost ?? []).map((uuid) => `lost ${uuid}`),
    ...(state.gone ?? []).map((uuid) => `gone ${uuid}`),
    ...Object.entries(state.recovery ?? {}).map(([uuid, action]) => `recovery ${uuid} ${action}`),
    ...Object.entries(state.use ?? {}).map(
      ([uuid, { memoryMiB, utilisation = 0 }]) => `use ${uuid} ${memoryMiB} ${utilisation}`,
    ),
  ];
  replaceFile(paths.state, lines.map((line) => `${line}\n`).join(""), 0o644);
  for (const { gpu, xid, text = "injected" } of state.xid ?? []) {
    const address = fakePci(gpu).replace(/^0000/, "").replace(/\.0$/, "").toLowerCase();
    writeFileSync(paths.kernelLog, `NVRM: Xid (PCI:${address}): ${xid}, ${text}\n`, { flag: "a" });
  }
}
