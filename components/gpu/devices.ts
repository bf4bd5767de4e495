import type * as pulumi from "@pulumi/pulumi";
import type { GrantedUnit } from "../../core/gpu";

/** From granted units to what a container, and Ray, is given. Pure. */

/** The key of a workspace's grant: in the ledger, in the GpuPool, on its container. */
export const workspaceKey = (user: string) => `workspace/${user}`;

/** The key of what a node's Ray has. */
export const RAY_KEY = "ray";

/** NVIDIA's kind of device in the Container Device Interface; a device's name is the UUID. */
const CDI = "nvidia.com/gpu";

/**
 * Device requests of a `docker.Container`: the granted devices by UUID, and no others. The driver's own variable stays
 * at `void` in every container, so nothing that an image or a user puts there adds a device.
 */
export function deviceRequests(units: pulumi.Output<GrantedUnit[]>) {
  return [{ driver: "cdi", deviceIds: units.apply((found) => found.map(({ uuid }) => `${CDI}=${uuid}`)) }];
}

interface Label {
  label: string;
  value: pulumi.Input<string>;
}

/**
 * A container's labels in a stable order. Those of its grant are how berthd finds it: the key, and what the container
 * was made with, so that a ledger that was lost is rebuilt from it.
 *
 * @param units undefined: nothing is asked for.
 */
export function containerLabels(
  own: readonly Label[],
  key: string,
  units: pulumi.Output<GrantedUnit[]> | undefined,
): Label[] {
  if (!units) return [...own];
  const gpus = units.apply((found) => found.map(({ uuid }) => uuid).join(","));
  const share = units.apply((found) => found.map(shareOf).join(""));
  return [
    ...own,
    { label: "berth.gpus", value: gpus },
    { label: "berth.gpu-memory", value: share },
    { label: "berth.grant", value: key },
  ].sort((a, b) => (a.label < b.label ? -1 : 1));
}

/** MiB of a share, which is of one GPU; empty for what is whole. */
const shareOf = ({ shared, memoryMiB }: GrantedUnit) => (shared ? String(memoryMiB) : "");

/** What Ray may hand out. */
export interface RayGpus {
  /** Whole GPUs, and MIG instances: each is one device to CUDA. */
  gpus: number;
  /** `gpu:H100`, `mig:1g.10gb`: how many of them. */
  resources: Record<string, number>;
}

export function rayGpus(units: readonly GrantedUnit[]): RayGpus {
  const resources: Record<string, number> = {};
  for (const { model, profile } of units) {
    const names =
      profile === undefined ? [`gpu:${shortModel(model)}`] : [`gpu:${shortModel(model)}`, `mig:${profile}`];
    for (const name of names) resources[name] = (resources[name] ?? 0) + 1;
  }
  return { gpus: units.length, resources };
}

/** `NVIDIA H100 80GB HBM3` is `H100`, `NVIDIA A100-SXM4-40GB` is `A100`, as Ray's accelerator types are written. */
export function shortModel(model: string): string {
  const words = model.replace(/^NVIDIA\s+/i, "").split(/[\s-]+/);
  const found = words.find((word) => /\d/.test(word)) ?? words[0] ?? model;
  return found.replace(/[^A-Za-z0-9.]/g, "");
}
