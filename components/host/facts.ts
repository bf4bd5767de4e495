/** What the stages tell about a node, as typed, whitelisted data: nothing else of a node's output is ever shown. Pure. */
import { checkFloors, type FloorReport } from "./runtime";
import { type Json, parseFacts } from "./stage";

export interface Disk {
  name: string;
  bytes: number;
  rotational: boolean;
}

export interface Gpu {
  /** Position in the driver's list; it may change, `uuid` does not. */
  index: number;
  name: string;
  uuid: string;
  /** MIG instances, where the GPU is divided. */
  mig: { profile: string; uuid: string }[];
}

export interface NodeFacts {
  /** `debian` or `ubuntu`. */
  os: string;
  osVersion: string;
  osName: string;
  kernel: string;
  /** As `uname -m`, such as `x86_64`. */
  arch: string;
  /** What the node may use; a fraction where a local node has a share of a processor. */
  cpus: number;
  memoryBytes: number;
  disks: Disk[];
  gpus: Gpu[];
  /** Without those of container bridges. */
  addresses: { interface: string; address: string }[];
  cgroupVersion: number;
  /** `none`, or what kind of container the node is. */
  container: string;
  /** `running`, or `degraded` with the units in `failedUnits`. */
  systemState: string;
  failedUnits: string[];
  /** SHA-256 of the user data that the machine was made with; empty where it was not made by Berth's. */
  userData: string;
}

export interface RuntimeFacts {
  /** Version of dockerd. */
  docker: string;
  storageDriver: string;
  cgroupDriver: string;
  /** True: GPUs can be asked for by their CDI names. */
  cdi: boolean;
  /** `none`, `nvidia` or `off`. */
  gpu: string;
  /** Version of the NVIDIA driver; `none` or empty where there is none, `installed` where it waits for a reboot. */
  gpuDriver: string;
  /** Whose packages the engine is of. */
  dockerFrom: "distribution" | "docker" | "other";
  containerd: string;
  runc: string;
  /** How runc stands to the oldest version without a known way out of a container. */
  runcFloor: FloorReport["runcFloor"];
  /** CVEs of runc that nothing says are mended. */
  runcOpen: string[];
  /** What is below its floor, and taken since configuration allows it: to be shown. */
  belowFloor: string[];
  /** Version of NVIDIA's container toolkit; empty where there is none. */
  nvidiaToolkit: string;
  /** `Enabled`, `Disabled`, both where the GPUs differ; empty where it was not asked. */
  persistence: string;
  /** CDI names, such as `nvidia.com/gpu=all`. */
  cdiDevices: string[];
  /** The GPUs with their MIG instances, after the layout was applied. */
  gpus: Gpu[];
  /** Why the machine has to be started anew before its GPUs are as configured; empty when it need not. */
  rebootRequired: string;
}

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const number = (value: Json | undefined): number => (typeof value === "number" ? value : 0);
const texts = (value: Json | undefined): string[] => (Array.isArray(value) ? value.map(text) : []);

/** The facts of stage `ready`. @throws Error as `parseFacts` does. */
export function readNodeFacts(stdout: string): NodeFacts {
  const facts = parseFacts(stdout);
  return {
    os: text(facts.os),
    osVersion: text(facts.osVersion),
    osName: text(facts.osName),
    kernel: text(facts.kernel),
    arch: text(facts.arch),
    cpus: number(facts.cpus),
    memoryBytes: number(facts.memoryBytes),
    disks: texts(facts.disks).flatMap(parseDisk),
    gpus: parseGpus(texts(facts.gpus)),
    addresses: texts(facts.addresses).flatMap((line) => {
      const [name, address] = line.split(" ");
      return name && address ? [{ interface: name, address }] : [];
    }),
    cgroupVersion: number(facts.cgroupVersion),
    container: text(facts.container) || "none",
    systemState: text(facts.systemState),
    failedUnits: texts(facts.failedUnits),
    userData: text(facts.userData),
  };
}

/** The facts of stage `runtime`. @throws Error as `parseFacts` does. */
export function readRuntimeFacts(stdout: string): RuntimeFacts {
  const facts = parseFacts(stdout);
  const from = text(facts.dockerFrom);
  const dockerFrom = from === "distribution" || from === "docker" ? from : "other";
  const versions = { runc: text(facts.runc), containerd: text(facts.containerd), docker: text(facts.docker) };
  const floors = checkFloors({ from: dockerFrom, ...versions, mended: texts(facts.runcMended) });
  return {
    docker: text(facts.docker),
    storageDriver: text(facts.storageDriver),
    cgroupDriver: text(facts.cgroupDriver),
    cdi: facts.cdi === true,
    gpu: text(facts.gpu) || "none",
    gpuDriver: text(facts.gpuDriver),
    dockerFrom,
    containerd: versions.containerd,
    runc: versions.runc,
    runcFloor: floors.runcFloor,
    runcOpen: floors.open,
    belowFloor: floors.below,
    nvidiaToolkit: text(facts.nvidiaToolkit),
    persistence: text(facts.persistence),
    cdiDevices: texts(facts.cdiDevices),
    gpus: parseGpus(texts(facts.gpus)),
    rebootRequired: text(facts.rebootRequired),
  };
}

/** A line of `lsblk -d -b -n -r -o NAME,TYPE,SIZE,ROTA`; only disks count. */
function parseDisk(line: string): Disk[] {
  const [name, type, size, rotational] = line.trim().split(/\s+/);
  if (!name || type !== "disk") return [];
  return [{ name, bytes: Number(size) || 0, rotational: rotational === "1" }];
}

/** The lines of `nvidia-smi -L`: each GPU, its MIG instances below it. */
export function parseGpus(lines: readonly string[]): Gpu[] {
  const gpus: Gpu[] = [];
  for (const line of lines) {
    const gpu = /^GPU (\d+): (.+) \(UUID: (GPU-[0-9a-f-]+)\)\s*$/.exec(line);
    if (gpu?.[1] && gpu[2] && gpu[3]) {
      gpus.push({ index: Number(gpu[1]), name: gpu[2], uuid: gpu[3], mig: [] });
    }
    const mig = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[0-9A-Za-z/-]+)\)\s*$/.exec(line);
    if (mig?.[1] && mig[2]) gpus.at(-1)?.mig.push({ profile: mig[1], uuid: mig[2] });
  }
  return gpus;
}
