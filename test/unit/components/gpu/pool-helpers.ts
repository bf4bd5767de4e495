/** @file What the tests of a GpuPool's methods share: a node with one divided GPU, its grants, a pool's inputs. */

import type { Props } from "../../../../components/gpu/inputs";
import { assignmentOf } from "../../../../components/gpu/state";
import type { Ask, Assignment, Grant, GrantedUnit, Inventory } from "../../../../core/gpu";

const GPU = (index: number) => `GPU-00000000-0000-4000-8000-00000000000${index}`;
const MIG = (gpu: number, n: number) => `MIG-00000000-0000-5000-8000-0000000000${gpu}${n}`;

/** One GPU cut into `slices` instances of 1g.10gb. */
export function inventory(slices: number, source: Inventory["source"] = "declared"): Inventory {
  return {
    source,
    gpus: [
      {
        uuid: GPU(0),
        index: 0,
        model: "NVIDIA H100 80GB HBM3",
        memoryMiB: 81559,
        mig: true,
        nvlink: [],
        instances: Array.from({ length: slices }, (_, n) => ({
          uuid: MIG(0, n),
          profile: "1g.10gb",
          memoryMiB: 9984,
          gi: 7 + n,
          ci: 0,
        })),
      },
    ],
  };
}

export const unit = (n: number): GrantedUnit => ({
  uuid: MIG(0, n),
  gpu: GPU(0),
  name: `0:${n}`,
  model: "NVIDIA H100 80GB HBM3",
  memoryMiB: 9984,
  profile: "1g.10gb",
  shared: false,
});

export const slice: Ask = { kind: "mig", profile: "1g.10gb", count: 1 };

export function grant(key: string | undefined, n: number, more: Partial<Grant> = {}): Grant {
  const user = key?.split("/")[1] ?? "eve";
  return {
    id: `g${n}`,
    token: n + 1,
    user,
    group: "default",
    ask: slice,
    units: [unit(n)],
    state: "bound",
    purpose: key ?? "by hand",
    ...(key === undefined ? {} : { key }),
    container: `c${n}`,
    createdAt: 1,
    ...more,
  };
}

export function snapshot(grants: Grant[], slices = 4, more: object = {}) {
  const assignment: Assignment = {};
  for (const { key, units, dropped } of grants) if (key && !dropped) assignment[key] = units;
  return { assignment, inventory: inventory(slices, "nvidia-smi"), grants, ...more };
}

/** The inputs of a pool of these users, as the program gives them. */
export function inputs(users: string[], more: Props = {}): Props {
  return {
    node: "node-0",
    target: "root@10.0.0.5:22",
    sshOptions: ["-i", "~/key"],
    machine: "m1",
    declared: Object.fromEntries(users.map((user) => [`workspace/${user}`, { user, ask: slice }])),
    limits: JSON.stringify({ defaults: { max_mig_instances: 1 } }),
    groups: {},
    strategy: "least-allocated",
    allowShared: false,
    __provider: "code",
    ...more,
  };
}

export const unreachable = { show: { noShell: true, stderr: "Connection refused", code: 255 } };
export const held = (props: Props | undefined) =>
  Object.fromEntries(
    Object.entries(assignmentOf(props ?? {}) ?? {}).map(([key, units]) => [key, units.map((u) => u.name)]),
  );
