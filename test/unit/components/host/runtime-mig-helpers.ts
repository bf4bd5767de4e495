/**
 * A machine with GPUs for the step that divides them: stand-ins for nvidia-smi (the profiles are a recorded H100's),
 * nvidia-mig-parted (which remembers what it applied), Docker, and `berth` where berthd is said to be installed.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { MigEntry, NvidiaOptions } from "../../../../components/host/runtime";
import { runtimeMachine } from "./runtime-helpers";

export const A = "GPU-11111111-2222-3333-4444-555555555555";
export const B = "GPU-99999999-2222-3333-4444-555555555555";

/** `nvidia-smi mig -lgip` of an H100 80GB, driver 580, as recorded; the first column is the GPU's index. */
const LGIP = (
  index: number,
) => `+-------------------------------------------------------------------------------+
| GPU instance profiles:                                                        |
| GPU   Name               ID    Instances   Memory     P2P    SM    DEC   ENC  |
|                                Free/Total   GiB              CE    JPEG  OFA  |
|===============================================================================|
${[
  ["1g.10gb       ", "19", "7/7"],
  ["1g.10gb+me    ", "20", "1/1"],
  ["1g.20gb       ", "15", "4/4"],
  ["2g.20gb       ", "14", "3/3"],
  ["3g.40gb       ", " 9", "2/2"],
  ["4g.40gb       ", " 5", "1/1"],
  ["7g.80gb       ", " 0", "1/1"],
]
  .map(
    ([name, id, free]) =>
      `|   ${index}  MIG ${name} ${id}     ${free}        9.75       No     16     1     0   |\n` +
      "|                                                               1     1     0   |\n" +
      "+-------------------------------------------------------------------------------+",
  )
  .join("\n")}`;

export interface Card {
  uuid: string;
  name?: string;
  mode?: string;
  pending?: string;
}

export const mig = (...entries: MigEntry[]): NvidiaOptions => ({ mig: entries });
export const cdi = (...ids: string[]) => ({
  DeviceRequests: [{ Driver: "cdi", DeviceIDs: ids, Capabilities: null }],
});

export function migMachine() {
  const machine = runtimeMachine();
  const { at, write, calls, tool } = machine;

  /** A node with these GPUs, nvidia-mig-parted, and no container. */
  function node(cards: Card[] = [{ uuid: A }], parted = true): void {
    const rows = cards.map(
      ({ uuid, name = "NVIDIA H100 80GB HBM3", mode = "Disabled", pending = mode }, i) =>
        `${i}, ${uuid}, ${mode}, ${pending}, ${name}`,
    );
    write("rows", `${rows.join("\n")}\n`);
    for (const [i] of cards.entries()) write(`lgip${i}`, LGIP(i));
    write(
      "list",
      cards
        .map(({ uuid, name = "NVIDIA H100 80GB HBM3" }, i) => `GPU ${i}: ${name} (UUID: ${uuid})\n`)
        .join(""),
    );
    tool(
      "nvidia-smi",
      `case "$*" in
    *index,uuid*) cat ${at("rows")} ;;
    *driver_version*) echo 580.159.04 ;;
    *compute-apps*) cat ${at("apps")} 2>/dev/null || true ;;
    'mig -lgip -i '*) cat ${at("lgip")}$4 ;;
    'mig -lgipp -i '*) cat ${at("lgipp")}$4 2>/dev/null || { echo 'No MIG-enabled devices found.'; exit 6; } ;;
    -L) cat ${at("list")} ;;
  esac`,
    );
    tool(
      "docker",
      `case $1 in ps) cat ${at("ps")} 2>/dev/null || true ;; inspect) cat ${at("inspect")} ;; esac`,
    );
    mkdirSync(at("proc/driver/nvidia/gpus"), { recursive: true });
    for (const [i, { uuid }] of cards.entries())
      write(
        `proc/driver/nvidia/gpus/0000:0${i}:00.0/information`,
        `Model: \t\t H100\nGPU UUID: \t ${uuid}\nDevice Minor: \t ${i}\n`,
      );
    if (parted) migParted();
  }

  /** The driver tells where instances may start, of GPU 0: an H100's, as the MIG User Guide has them. */
  function placements(word = "Placements"): void {
    const rows = ["19 {0,1,2,3,4,5,6}:1", "20 {0,1,2,3,4,5,6}:1", "15 {0,2,4,6}:2", "14 {0,2,4}:2"];
    const large = [" 9 {0,4}:4", " 5 {0}:4", " 0 {0}:8"];
    const line = (row: string) => `GPU  0 Profile ID ${row.slice(0, 2)} ${word}: ${row.slice(3)}\n`;
    write("lgipp0", [...rows, ...large].map(line).join(""));
  }

  /** Remembers the block of a label as what is applied; `refuses` makes apply fail. */
  function migParted(refuses = ""): void {
    tool(
      "nvidia-mig-parted",
      `block() { awk -v label="  $1:" '$0 == label { on = 1; next } /^  [a-z]/ { on = 0 } on' "$2"; }
  file=$3 label=$5
  [ "$1" = assert ] || record "$@"
  case $1 in
    assert) if [ "$(block "$label" "$file")" = "$(cat ${at("applied")}-"$label" 2>/dev/null)" ]; then echo 'Selected MIG configuration currently applied'; else echo 'assertion failure: selected configuration not currently applied' >&2; exit 1; fi ;;
    apply) ${refuses || `block "$label" "$file" >${at("applied")}-"$label"; echo 'MIG configuration applied successfully'`} ;;
  esac`,
    );
  }

  const run = (nvidia: NvidiaOptions) =>
    machine.run({ nvidia }, ["MIG layout", "need for a reboot"], 'echo driver >"$work/gpu"');
  const applies = () => calls().filter((call) => call.startsWith("nvidia-mig-parted apply"));
  const boot = () =>
    spawnSync("python3", [at("usr/local/lib/berth/mig"), "apply", "--boot"], {
      encoding: "utf8",
      env: { PATH: at("bin"), LC_ALL: "C" },
    });

  /** A process with a GPU's device open, as the host's /proc shows it. */
  function holder(pid: number, name: string, minor = 0): void {
    mkdirSync(at(`proc/${pid}/fd`), { recursive: true });
    symlinkSync(`/dev/nvidia${minor}`, join(at(`proc/${pid}/fd`), "3"));
    write(`proc/${pid}/cmdline`, `/usr/bin/${name}\0--verbose\0`);
  }
  const container = (name: string, host: object, env: string[] = []) => {
    write("ps", `${name}\n`);
    write("inspect", JSON.stringify([{ Name: `/${name}`, HostConfig: host, Config: { Env: env } }]));
  };

  /** `berth` on a node with berthd: a script for bash. */
  function berth(script: string): void {
    write("usr/local/bin/berth", `#!/bin/bash\necho "berth $*" >>${at("calls")}\n${script}\n`);
    chmodSync(at("usr/local/bin/berth"), 0o755);
  }

  return { ...machine, node, placements, migParted, run, applies, boot, holder, container, berth };
}
