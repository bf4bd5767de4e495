import { rmSync } from "node:fs";
import { join } from "node:path";
import { CDI_KIND, environment } from "../../../core/containers";
import type { Inventory } from "../../../core/gpu";
import { readIfThere, replaceFile } from "../files";
import { computeInstanceCap, gpuInstanceCap } from "./fake-data";

interface DeviceNode {
  path: string;
  hostPath: string;
  permissions: string;
}
interface Mount {
  hostPath: string;
  containerPath: string;
  options: string[];
}
interface Edits {
  env?: string[];
  deviceNodes?: DeviceNode[];
  mounts?: Mount[];
}
/** A CDI specification, version 0.6.0. */
export interface CdiFile {
  cdiVersion: string;
  kind: string;
  devices: { name: string; containerEdits: Edits }[];
  containerEdits: Edits;
}

/**
 * The specification for declared GPUs: one device for each unit that can be granted, named by its UUID
 * as `nvidia-ctk cdi generate --device-name-strategy=uuid` has it. Its device nodes
 * are `/dev/null` under the names that the driver's have, so a container's device list can be checked against its grant.
 * On a node with a driver the specification of NVIDIA's own toolkit is used, never this one.
 *
 * There is no device `all`, and no variable that names the units: with several devices in a container the last one's
 * value would win, and whoever reads it would believe it. `NVIDIA_VISIBLE_DEVICES=void` is set instead, over what the
 * container or its image asks for, so that a toolkit that still reads it adds nothing.
 *
 * @param fake Where the stand-in for nvidia-smi is; containers with a GPU find it as `/usr/bin/nvidia-smi`.
 */
export function cdiSpec(inventory: Inventory, fake?: { command: string; data: string }): CdiFile {
  if (inventory.source !== "declared")
    throw new Error(`GPUs of ${inventory.source} have no stand-in: their CDI specification is nvidia-ctk's`);
  const node = (path: string): DeviceNode => ({ path, hostPath: "/dev/null", permissions: "rw" });
  const devices: CdiFile["devices"] = [];
  for (const gpu of inventory.gpus) {
    const own = node(`/dev/nvidia${gpu.index}`);
    if (!gpu.mig) devices.push({ name: gpu.uuid, containerEdits: { deviceNodes: [own] } });
    for (const { uuid, gi, ci } of gpu.instances) {
      const caps = [gpuInstanceCap(gpu.index, gi), computeInstanceCap(gpu.index, gi, ci)];
      const nodes = [own, ...caps.map((cap) => node(`/dev/nvidia-caps/nvidia-cap${cap}`))];
      devices.push({ name: uuid, containerEdits: { deviceNodes: nodes } });
    }
  }
  const mount = (hostPath: string, containerPath: string): Mount => ({
    hostPath,
    containerPath,
    options: ["ro", "nosuid", "nodev", "rbind"],
  });
  return {
    cdiVersion: "0.6.0",
    kind: CDI_KIND,
    devices,
    containerEdits: {
      env: environment(),
      deviceNodes: [node("/dev/nvidiactl")],
      ...(fake && { mounts: [mount(fake.command, "/usr/bin/nvidia-smi"), mount(fake.data, fake.data)] }),
    },
  };
}

const OWN_FILE = "/etc/cdi/berth-declared.json";

/**
 * Writes the specification to `/etc/cdi/berth-declared.json` under `root`, or removes it when it is undefined or without
 * a device (the format wants one). The engine never sees half a file. @returns Whether anything changed.
 */
export function writeCdiSpec(spec: CdiFile | undefined, root = "/"): boolean {
  const path = join(root, OWN_FILE);
  const text = spec && spec.devices.length > 0 ? `${JSON.stringify(spec, null, 2)}\n` : undefined;
  if (readIfThere(path) === text) return false;
  if (text === undefined) rmSync(path);
  else replaceFile(path, text, 0o644);
  return true;
}
