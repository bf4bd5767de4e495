/** A machine with an NVIDIA GPU, of stand-ins: what the tests of the runtime stage's part for NVIDIA share. */
import { resolve } from "node:path";
import type { NvidiaOptions } from "../../components/host/runtime";
import { runtimeMachine } from "../unit/components/host/runtime-helpers";

export const TOOLKIT_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0";
export const CARD = "65:00.0 0302: 10de:2330 (rev a1)";
export const UUID = "GPU-11111111-2222-3333-4444-555555555555";

/** All steps for NVIDIA, in their order. */
export const ALL = [
  "GPU and its driver",
  "NVIDIA persistence",
  "NVIDIA container toolkit",
  "MIG layout",
  "CDI devices",
  "need for a reboot",
];

export interface Hardware {
  pci?: string;
  driver?: string | false;
  toolkit?: string;
  offered?: string;
  /** True: the toolkit's own units are there. */
  refresh?: boolean;
  persistenced?: boolean;
}

/** To be called once in a file of tests: `node` makes the hardware, `run` runs steps. */
export function nvidiaMachine() {
  const machine = runtimeMachine();
  const { at, write, tool, installed, offered, unit } = machine;
  const run = (nvidia: NvidiaOptions = {}, names: readonly string[] = ALL) => machine.run({ nvidia }, names);

  function smi(version: string): void {
    write("persistence", "Disabled\n");
    tool(
      "nvidia-smi",
      `case "$*" in
  -L) echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: ${UUID})' ;;
  '-pm 1') record "$@"; echo Enabled >${at("persistence")} ;;
  *persistence_mode*) cat ${at("persistence")} ;;
  *) echo ${version} ;;
esac`,
    );
  }

  /** A machine with a GPU, and what lies around it. */
  function node(hardware: Hardware = {}): void {
    tool("lspci", `echo '${hardware.pci ?? CARD}'`);
    tool("uname", "echo 6.1.0-40-amd64");
    tool("modprobe", "exit 1");
    if (hardware.driver !== false) smi(hardware.driver ?? "580.159.04");
    write("fingerprints", `${TOOLKIT_KEY}\n`);
    for (const name of ["gnupg", "curl", "ca-certificates"]) installed(name, "1");
    if (hardware.toolkit) installed("nvidia-container-toolkit", hardware.toolkit);
    offered("nvidia-container-toolkit", hardware.offered ?? "1.20.0-1");
    const generate = `mkdir -p ${at("var/run/cdi")}; printf 'cdiVersion: 0.5.0\\nkind: nvidia.com/gpu\\n%s' "$(cat ${at("devices")} 2>/dev/null)" >`;
    if (hardware.refresh ?? true) {
      unit("nvidia-cdi-refresh.path");
      unit("nvidia-cdi-refresh.service");
      write("hooks/start-nvidia-cdi-refresh.service", `${generate}${at("var/run/cdi/nvidia.yaml")}`);
    }
    if (hardware.persistenced) unit("nvidia-persistenced.service", { enabled: "static", active: true });
    const config = at("etc/nvidia-container-runtime/config.toml");
    tool(
      "nvidia-ctk",
      `for last; do :; done
case "$*" in
  config*) mkdir -p "$(dirname ${config})"; sed 's/=/ = /' <<<"$last" >${config} ;;
  *generate*) record "$@"; ${generate}"\${last#*=}" ;;
  *--spec-dir=*) [ ! -e ${at("broken")} ] || exit 1; ${process.execPath} ${JSON.stringify(resolve("test/process/cdi-list.mjs"))} "\${last#*=}" ;;
  *list*) printf '%s\\n' 'INFO found 2' nvidia.com/gpu=all nvidia.com/gpu=${UUID} ;;
esac`,
    );
  }
  /** What our own refresh unit does when it is started. */
  const ownRefresh = () =>
    write(
      "hooks/start-berth-cdi.service",
      `mkdir -p ${at("var/run/cdi")}; echo 'kind: nvidia.com/gpu' >${at("var/run/cdi/nvidia.yaml")}`,
    );

  return { ...machine, run, node, ownRefresh };
}
