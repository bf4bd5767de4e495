import type * as pulumi from "@pulumi/pulumi";
import { cdiDevice, LABEL, unitLabels } from "../../core/containers";
import type { GrantedUnit } from "../../core/gpu";
import type { Spec } from "../container";

/** From granted units to what a container, and Ray, is given. Pure. */

/** The key of a workspace's grant: in the ledger, in the GpuPool, on its container. */
export const workspaceKey = (user: string) => `workspace/${user}`;

/** The key of what a node's Ray has. */
export const RAY_KEY = "ray";

/**
 * A container with what it was granted: the devices by UUID, and no others. By the labels berthd finds it: they have the
 * grant's key, and what the container was made with, so that a ledger that was lost is rebuilt from it.
 *
 * @param units undefined: nothing is asked for.
 */
export function withGpus(spec: Spec, key: string, units: pulumi.Output<GrantedUnit[]> | undefined): Spec {
  if (!units) return spec;
  const said = (label: keyof ReturnType<typeof unitLabels>) =>
    units.apply((found) => unitLabels(found)[label]);
  return {
    ...spec,
    devices: units.apply((found) => found.map(cdiDevice)),
    labels: {
      ...spec.labels,
      [LABEL.grant]: key,
      [LABEL.gpus]: said(LABEL.gpus),
      [LABEL.share]: said(LABEL.share),
    },
  };
}

/** What Ray may hand out. */
interface RayGpus {
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
