/**
 * A GpuPool's `check` of a node that was there before and does not answer now.
 * Proves: who has something keeps it as they would if the node answered, and who leaves gives it up as then; a GPU that
 * may be held is not divided anew.
 */
import { describe, expect, it } from "vitest";
import { type Props, UNKNOWN } from "../../../../components/gpu/inputs";
import { provider } from "../../../../components/gpu/provider";
import { granted } from "../../../../components/gpu/units";
import type { Inventory } from "../../../../core/gpu";
import { grant, held, inputs, inventory, slice, snapshot, unit, unreachable } from "./pool-helpers";
import { poolNode } from "./pool-node";

const { ssh, told } = poolNode();

const ill = (slices: number): Inventory => {
  const { gpus, ...rest } = inventory(slices, "nvidia-smi");
  return { ...rest, gpus: gpus.map((gpu) => ({ ...gpu, quarantined: "Xid 79" })) };
};

describe("grants", () => {
  const had = { "workspace/alice": [unit(3)], "workspace/bob": [unit(1)] };
  const live = [grant("workspace/alice", 3), grant("workspace/bob", 1)];

  /** The same preview with the node's answer, and without it. */
  async function both(seen: Inventory, news: Props) {
    const olds = inputs(["alice", "bob"], { inventory: seen, ...granted(had) });
    const seeing = async () => {
      told.length = 0;
      const { inputs: out, failures = [] } = await provider.check(olds, news);
      return { held: failures.length > 0 ? {} : held(out), failures, told: [...told] };
    };
    ssh.answers({ show: { ...snapshot(live), inventory: seen } });
    const online = await seeing();
    ssh.does(unreachable);
    const offline = await seeing();
    expect(offline.told[0]).toContain("Connection refused");
    return { online, offline: { ...offline, told: offline.told.slice(1) } };
  }

  const lower = { limits: JSON.stringify({ defaults: { max_mig_instances: 0 } }) };
  const two = { ...slice, count: 2 };
  const cases: [string, Inventory, Props, Record<string, string[]> | undefined][] = [
    [
      "stay where they are",
      inventory(4, "nvidia-smi"),
      inputs(["alice", "bob"]),
      { "workspace/alice": ["0:3"], "workspace/bob": ["0:1"] },
    ],
    [
      "stay on a GPU that is put aside",
      ill(4),
      inputs(["alice", "bob"]),
      { "workspace/alice": ["0:3"], "workspace/bob": ["0:1"] },
    ],
    [
      "stay on a declared GPU that is put aside",
      ill(4),
      inputs(["alice", "bob"], { inventory: inventory(4) }),
      { "workspace/alice": ["0:3"], "workspace/bob": ["0:1"] },
    ],
    ["are refused anew there", ill(4), inputs(["alice", "bob", "carol"]), undefined],
    [
      "are refused anew there, declared or not",
      ill(4),
      inputs(["alice", "bob", "carol"], { inventory: inventory(4) }),
      undefined,
    ],
    [
      "stay where the limits are lower by now",
      inventory(4, "nvidia-smi"),
      inputs(["alice", "bob"], lower),
      { "workspace/alice": ["0:3"], "workspace/bob": ["0:1"] },
    ],
    [
      "go last to others when their key is gone",
      inventory(4, "nvidia-smi"),
      inputs(["alice", "carol", "dave"]),
      { "workspace/alice": ["0:3"], "workspace/carol": ["0:0"], "workspace/dave": ["0:2"] },
    ],
    [
      "go to others when their key is gone and nothing else is left",
      inventory(4, "nvidia-smi"),
      inputs(["alice", "carol", "dave", "erin"]),
      {
        ...{ "workspace/alice": ["0:3"], "workspace/carol": ["0:0"] },
        ...{ "workspace/dave": ["0:2"], "workspace/erin": ["0:1"] },
      },
    ],
    [
      "keep what they can of a changed ask",
      inventory(4, "nvidia-smi"),
      inputs(["bob"], {
        limits: JSON.stringify({ defaults: { max_mig_instances: 3, max_gpus_per_container: 2 } }),
        declared: {
          "workspace/alice": { user: "alice", ask: two },
          "workspace/bob": { user: "bob", ask: slice },
        },
      }),
      { "workspace/alice": ["0:3", "0:0"], "workspace/bob": ["0:1"] },
    ],
  ];

  it.each(cases)("%s", async (_, seen, news, expected) => {
    const { online, offline } = await both(seen, news);
    expect(offline).toEqual(online);
    if (expected) expect(offline.held).toEqual(expected);
    else expect(offline.failures.map(({ reason }) => reason.split(" ")[0])).toEqual(["workspace/carol"]);
  });

  it("whose user the state does not name leave as those of others do", async () => {
    const olds = inputs(["alice"], {
      inventory: inventory(2, "nvidia-smi"),
      ...granted({ "workspace/alice": [unit(1)], "workspace/bob": [unit(0)] }),
    });
    ssh.does(unreachable);
    const { inputs: out } = await provider.check(olds, inputs(["alice", "carol"]));
    expect(held(out)).toEqual({ "workspace/alice": ["0:1"], "workspace/carol": ["0:0"] });
    expect(told.join()).toContain("the update stops the container of workspace/bob");
  });

  it("are nobody's on a server whose berth is gone", async () => {
    const olds = inputs(["alice"], { inventory: inventory(1, "nvidia-smi"), ...granted(had) });
    ssh.does({ show: { code: 127 } });
    const { failures = [] } = await provider.check(olds, inputs(["alice"], lower));
    expect(failures[0]?.reason).toContain("defaults.max_mig_instances");
  });
});

describe("a layout, while nobody says who holds what,", () => {
  const driver = { inventory: inventory(7, "nvidia-smi") };
  const sevenths = JSON.stringify([{ gpu: "all", layout: "all-1g.10gb" }]);
  const halves = JSON.stringify([{ gpu: "all", layout: { "3g.40gb": 2 } }]);
  const checked = async (olds: Props, news: Props, does: Parameters<typeof ssh.does>[0] = unreachable) => {
    ssh.does(does);
    const { failures = [] } = await provider.check(olds, inputs([], news));
    return failures.map(({ reason }) => reason);
  };

  it.each([
    ["does not answer", unreachable, /Connection refused/],
    [
      "has no berthd that answers",
      { show: { stderr: "berthd is not reached", code: 3 } },
      /berthd is not reached/,
    ],
    ["has another berth", { show: { stdout: '{"assignment": {}}' } }, /another version/],
  ])("is not changed where the node %s", async (_, does, why) => {
    const olds = inputs([], { ...driver, layouts: sevenths });
    const said = await checked(olds, { layouts: halves }, does);
    expect(said).toEqual([expect.stringMatching(why)]);
    expect(said[0]).toMatch(
      /^node-0: GPU 0 .* is 7 × 1g\.10gb and is to be divided into 2 × 3g\.40gb, and who holds/,
    );
  });

  it("is not changed where the node's address is not known", async () => {
    const olds = inputs([], { ...driver, layouts: sevenths });
    const said = await checked(olds, { layouts: halves, target: UNKNOWN });
    expect(said).toEqual([expect.stringContaining("its address is not known yet")]);
    expect(ssh.calls()).toEqual([]);
  });

  it("is not set where nobody ever said what the node has", async () => {
    expect(await checked(inputs([]), { layouts: halves })).toEqual([
      expect.stringContaining("its GPUs are to be divided otherwise"),
    ]);
    expect(await checked(inputs([], { layouts: halves }), { layouts: halves })).toEqual([]);
  });

  it("is not changed of declared GPUs, which are not taken away either", async () => {
    const olds = inputs([], { inventory: inventory(4) });
    const said = expect.stringContaining("and who holds them is not known");
    expect(await checked(olds, { inventory: inventory(3) })).toEqual([said]);
    expect(await checked(olds, {})).toEqual([said]);
    expect(await checked(olds, { inventory: inventory(4) })).toEqual([]);
  });

  it("may stay, also where the node has another one, or be left out", async () => {
    expect(await checked(inputs([], { ...driver, layouts: halves }), { layouts: halves })).toEqual([]);
    expect(await checked(inputs([], { ...driver, layouts: sevenths }), {})).toEqual([]);
    expect(await checked(inputs([], driver), { layouts: sevenths })).toEqual([]);
  });

  it("is free on a node that is not there yet, is another machine, or has no berth", async () => {
    const olds = inputs([], { ...driver, layouts: sevenths });
    expect(await checked({}, { layouts: halves })).toEqual([]);
    expect(await checked({}, { layouts: halves, machine: UNKNOWN })).toEqual([]);
    expect(await checked(olds, { layouts: halves, machine: UNKNOWN })).toEqual([]);
    expect(await checked(olds, { layouts: halves, machine: "m2" })).toEqual([]);
    expect(await checked(olds, { layouts: halves }, { show: { code: 127 } })).toEqual([]);
  });
});

describe("a layout of a node that answers", () => {
  it("takes no declared GPU from under its holder where the stack declares none any more", async () => {
    ssh.answers({ show: { ...snapshot([grant(undefined, 0)]), inventory: inventory(4) } });
    const { failures = [] } = await provider.check({}, inputs([]));
    expect(failures).toEqual([
      {
        property: "",
        reason: expect.stringContaining("is no longer declared, and eve (g0) holds 0:0"),
      },
    ]);
  });
});
