/**
 * A GpuPool whose state was written before units stood in it: it has a line for each, as people were shown it.
 * Proves: the lines of every kind of unit are read; a preview of an unchanged stack is one update of the pool, with the
 * same units, whether or not the node answers; that update asks the node for what it has; and then nothing is left to do.
 */
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, it } from "vitest";
import { GpuPool } from "../../../../components/gpu";
import { differences } from "../../../../components/gpu/inputs";
import { provider } from "../../../../components/gpu/provider";
import { assignmentOf } from "../../../../components/gpu/state";
import type { Assignment } from "../../../../core/gpu";
import { grant, inputs, inventory, snapshot, unreachable } from "./pool-helpers";
import { poolNode } from "./pool-node";

const { ssh, told } = poolNode();

const H100 = "NVIDIA H100 80GB HBM3";
const GPU = "GPU-00000000-0000-4000-8000-000000000000";
const line = (n: number) =>
  `0:${n} 1g.10gb, 9984 MiB: MIG-00000000-0000-5000-8000-00000000000${n} on ${GPU} (${H100})`;
/** As `pulumi stack export` printed it. */
const grants = { "workspace/alice": [line(3)], "workspace/bob": [line(1)] };
const state = inputs(["alice", "bob"], { inventory: inventory(4, "nvidia-smi"), grants });

const slice = (n: number) => ({
  ...{ uuid: `MIG-00000000-0000-5000-8000-00000000000${n}`, gpu: GPU, name: `0:${n}`, model: H100 },
  ...{ memoryMiB: 9984, profile: "1g.10gb", shared: false },
});
const assignment: Assignment = { "workspace/alice": [slice(3)], "workspace/bob": [slice(1)] };

describe("the lines of an older version's state", () => {
  const whole = { uuid: GPU, gpu: GPU, name: "0", model: H100, memoryMiB: 81559, shared: false };

  it.each<[string, string, object]>([
    ["a MIG instance", line(3), slice(3)],
    ["a GPU", `0, 81559 MiB: ${GPU} (${H100})`, whole],
    ["a share", `0 shared, 20480 MiB: ${GPU} (${H100})`, { ...whole, memoryMiB: 20480, shared: true }],
    [
      "a GPU whose memory the driver does not say",
      `0, memory unknown: ${GPU} (NVIDIA GB10)`,
      { ...whole, model: "NVIDIA GB10", memoryMiB: 0 },
    ],
    [
      "an instance that an old driver named after its GPU",
      `12:1 1c.3g.40gb+me, 40192 MiB: MIG-${GPU}/7/0 on ${GPU} (${H100})`,
      { ...slice(1), uuid: `MIG-${GPU}/7/0`, name: "12:1", profile: "1c.3g.40gb+me", memoryMiB: 40192 },
    ],
    [
      "a GPU of an odd name",
      `0, 1 MiB: ${GPU} (a) on GPU-b (c\n): GPU-d (e))`,
      { ...whole, model: "a) on GPU-b (c\n): GPU-d (e)", memoryMiB: 1 },
    ],
  ])("say of %s all that is kept", (_, text, unit) => {
    expect(assignmentOf({ grants: { ray: [text] } })).toEqual({ ray: [unit] });
  });

  it("are left out, with their key, where they are none", () => {
    const none = ["", "0:1", "GPU-1", "0, MiB: GPU-1 (x)", "a, 3 MiB: GPU-1 (x)", line(3).slice(0, -1)];
    const kept = Object.fromEntries(none.map((text, n) => [`key-${n}`, [line(1), text]]));
    expect(assignmentOf({ grants: { ...kept, a: [line(1)], b: "text", c: null, d: [] } })).toEqual({
      a: [slice(1)],
      d: [],
    });
  });
});

describe("an unchanged stack with an older version's state", () => {
  const live = [grant("workspace/alice", 3), grant("workspace/bob", 1)];
  const news = inputs(["bob", "alice"]);

  it.each([
    ["answers", { show: { stdout: JSON.stringify(snapshot(live)) } }],
    ["does not answer", unreachable],
  ])("is planned as one update of the pool, which changes no grant, where the node %s", async (_, does) => {
    ssh.does(does);
    const { inputs: out, failures = [] } = await provider.check(state, news);
    expect(failures).toEqual([]);
    expect(out).toMatchObject({ assignment, grants });
    expect(differences(state, out)).toEqual(["assignment"]);
    expect(await provider.diff("node-0", state, out)).toEqual({ changes: true, replaces: [] });
    expect(told.filter((text) => /goes to|kept, though/.test(text))).toEqual([]);
  });

  it("asks the node for what it has, and has nothing to do afterwards", async () => {
    ssh.answers({ show: snapshot(live), apply: { assignment } });
    const { inputs: out } = await provider.check(state, news);
    const { outs } = await provider.update("node-0", state, out);
    const [, apply] = ssh.calls();
    expect(JSON.parse(apply?.stdin ?? "").expect).toEqual(assignment);
    expect(outs).toMatchObject({ assignment, grants });
    const again = await provider.check(outs, news);
    expect(await provider.diff("node-0", outs, again.inputs)).toEqual({ changes: false, replaces: [] });
  });

  it("takes it over in a refresh too", async () => {
    ssh.answers({ show: snapshot(live) });
    expect((await provider.read("node-0", state)).props).toMatchObject({ assignment, grants });
  });

  it("gives containers the same units in an update that leaves the pool out", async () => {
    await pulumi.runtime.setMocks({
      newResource: ({ name }) => ({ id: name, state: { grants } }),
      call: () => ({}),
    });
    const args = { node: "node-0", target: "root@10.0.0.5:22", sshOptions: [], declared: [], groups: {} };
    const pool = new GpuPool("pool", { ...args, limits: {}, strategy: "pack", allowShared: false });
    const units = (key: string) => new Promise((known) => pool.of(key).apply(known));
    expect(await units("workspace/alice")).toEqual([slice(3)]);
    expect(await units("workspace/carol")).toEqual([]);
  });
});
