/**
 * Which GPUs a container was given, whoever made it and by whichever of Docker's ways. Pure.
 *
 * Names that cannot be told apart count for all that they may mean: a GPU too many is busy, never one too few.
 */
import type { Inventory } from "../../../core/gpu";
import type { Inspect } from "../docker";

export interface Devices {
  /** UUIDs, sorted; names that the inventory does not have stay as they were written. */
  units: string[];
  /** It names GPUs, also where the inventory has none for the names yet. */
  named: boolean;
  /** It sees every device of the node, and names none: nothing is granted against it. */
  privileged: boolean;
}

/** `nvidia.com/gpu=UUID`, and the kinds that NVIDIA's toolkit makes beside it. */
const CDI_DEVICE = /^(?:[a-z0-9.-]+\.)?nvidia\.com\/[a-z0-9_.-]+=(.+)$/i;
const NONE = new Set(["", "none", "void"]);

export function devicesOf(container: Inspect, inventory: Inventory): Devices {
  const names = new Set<string>();
  const host = container.HostConfig;
  for (const request of host.DeviceRequests ?? []) {
    const driver = (request.Driver ?? "").toLowerCase();
    const ids = request.DeviceIDs ?? [];
    if (driver === "cdi") {
      for (const id of ids) addCdi(names, id);
      continue;
    }
    const gpu = driver === "nvidia" || (request.Capabilities ?? []).some((all) => all.includes("gpu"));
    if (!gpu) continue;
    for (const id of ids) names.add(id);
    // A count takes the first ones; -1 all.
    const count = request.Count ?? 0;
    if (count < 0) names.add("all");
    else for (let index = 0; index < count && ids.length === 0; index++) names.add(String(index));
  }
  for (const [key, value] of Object.entries(host.Annotations ?? {})) {
    if (key.startsWith("cdi.k8s.io/")) for (const id of value.split(",")) addCdi(names, id.trim());
  }
  // NVIDIA's runtime reads the environment, the image's included.
  if (/nvidia/i.test(host.Runtime ?? "")) for (const name of visible(container)) addVisible(names, name);
  for (const device of host.Devices ?? []) addFile(names, device.PathOnHost);
  return { units: resolve(names, inventory), named: names.size > 0, privileged: host.Privileged === true };
}

function addCdi(names: Set<string>, id: string): void {
  const name = CDI_DEVICE.exec(id)?.[1];
  if (name !== undefined) names.add(name);
}

/** `NVIDIA_VISIBLE_DEVICES`; the last one counts. */
function visible(container: Inspect): string[] {
  const prefix = "NVIDIA_VISIBLE_DEVICES=";
  const last = (container.Config?.Env ?? []).findLast((line) => line.startsWith(prefix));
  return (last ?? "").slice(prefix.length).split(",");
}

function addVisible(names: Set<string>, name: string): void {
  const text = name.trim();
  if (NONE.has(text)) return;
  // In CDI mode the environment may hold whole CDI names.
  if (text.includes("=")) addCdi(names, text);
  else names.add(text);
}

/** `/dev/nvidia0` is a GPU; a MIG capability does not say of which instance, so it stands for all. */
function addFile(names: Set<string>, path: string): void {
  const gpu = /^\/dev\/nvidia(\d+)$/.exec(path)?.[1];
  if (gpu !== undefined) names.add(gpu);
  else if (path.startsWith("/dev/nvidia-caps") || path === "/dev") names.add("all");
}

function resolve(names: ReadonlySet<string>, inventory: Inventory): string[] {
  const units = new Set<string>();
  for (const name of names) for (const unit of meant(name.trim(), inventory)) units.add(unit);
  return [...units].sort();
}

function meant(name: string, inventory: Inventory): string[] {
  if (NONE.has(name)) return [];
  const whole = (gpu: Inventory["gpus"][number]) =>
    gpu.mig ? gpu.instances.map(({ uuid }) => uuid) : [gpu.uuid];
  if (name === "all") return inventory.gpus.flatMap(whole);
  const [index = "", instance] = name.split(":");
  const gpu = inventory.gpus.find((one) => one.uuid === name || String(one.index) === index);
  if (gpu === undefined) return [name];
  if (instance === undefined) return whole(gpu).length > 0 ? whole(gpu) : [gpu.uuid];
  const uuid = /^\d+$/.test(instance) ? gpu.instances[Number(instance)]?.uuid : undefined;
  return uuid === undefined ? whole(gpu) : [uuid];
}
