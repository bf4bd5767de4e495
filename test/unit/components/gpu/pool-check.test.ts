/**
 * How a GpuPool decides: its `check`, called as Pulumi's process for dynamic providers calls it, against a node behind a
 * program named `ssh`.
 * Proves: who gets what follows from what the node holds, with the stack's own limits and users, also while the node is
 * not there; all refusals come at once, with their rules; what is odd or unknown leaves things as they are.
 */
import { describe, expect, it } from "vitest";
import { UNKNOWN } from "../../../../components/gpu/inputs";
import { provider } from "../../../../components/gpu/provider";
import { granted } from "../../../../components/gpu/units";
import { grant, held, inputs, inventory, slice, snapshot, unit, unreachable } from "./pool-helpers";
import { poolNode } from "./pool-node";

const { ssh, told } = poolNode();

describe("check, while the node is not there", () => {
  it.each([
    ["its machine is to be made", { machine: UNKNOWN }],
    ["its address is not known", { target: UNKNOWN }],
    ["its key is not known", { sshOptions: ["-i", UNKNOWN] }],
  ])("plans with the declared GPUs and asks nobody: %s", async (_, more) => {
    const { inputs: out, failures } = await provider.check(
      {},
      inputs(["alice", "bob"], { inventory: inventory(2), ...more }),
    );
    expect(failures ?? []).toEqual([]);
    expect(held(out)).toEqual({ "workspace/alice": ["0:0"], "workspace/bob": ["0:1"] });
    expect(ssh.calls()).toEqual([]);
    expect(told).toEqual([]);
  });

  it("leaves open who gets what where nobody declared the GPUs, and everything else as it was", async () => {
    const news = inputs(["alice"], { machine: UNKNOWN });
    expect(await provider.check({}, news)).toEqual({ inputs: news });
  });

  it("does so on a server that is there and has no berth", async () => {
    ssh.does({ show: { code: 127 } });
    const { inputs: out } = await provider.check(
      {},
      inputs(["alice"], { machine: "", inventory: inventory(1) }),
    );
    expect(held(out)).toEqual({ "workspace/alice": ["0:0"] });
    expect(ssh.calls().length).toBe(1);
    expect(told).toEqual([]);
  });

  it("goes on with what the state knows of a node that does not answer, and says so", async () => {
    const olds = inputs(["alice"], {
      inventory: inventory(4, "nvidia-smi"),
      ...granted({ "workspace/alice": [unit(3)] }),
    });
    ssh.does(unreachable);
    const { inputs: out } = await provider.check(olds, inputs(["bob", "alice"]));
    expect(held(out)).toMatchObject({ "workspace/alice": ["0:3"] });
    expect(Object.keys(held(out))).toEqual(["workspace/alice", "workspace/bob"]);
    expect(told.join()).toContain("Connection refused");
    expect(told.join()).toContain("planned with what was known of it");
  });

  it.each([UNKNOWN, "m2"])("forgets the state of another machine (%s)", async (machine) => {
    const olds = inputs(["alice"], {
      inventory: inventory(4, "nvidia-smi"),
      ...granted({ "workspace/alice": [unit(3)] }),
    });
    ssh.does(unreachable);
    const { inputs: out } = await provider.check(olds, inputs(["alice"], { machine }));
    expect(out.grants).toBeUndefined();
    expect(out.inventory).toBeUndefined();
  });
});

describe("check, with the node's answer", () => {
  it("takes what the node holds, one connection for all of it", async () => {
    ssh.answers({ show: snapshot([grant("workspace/alice", 2)]) });
    const { inputs: out, failures } = await provider.check({}, inputs(["bob", "alice"]));
    expect(failures ?? []).toEqual([]);
    expect(held(out)["workspace/alice"]).toEqual(["0:2"]);
    expect(held(out)["workspace/bob"]).not.toEqual(["0:2"]);
    expect(out.inventory).toEqual(inventory(4, "nvidia-smi"));
    expect(ssh.calls().length).toBe(1);
  });

  it("moves nobody when somebody comes in front, and is the same whatever the order", async () => {
    ssh.answers({ show: snapshot([grant("workspace/bob", 0), grant("workspace/carol", 1)]) });
    const one = await provider.check({}, inputs(["alice", "bob", "carol"]));
    const other = await provider.check({}, inputs(["carol", "bob", "alice"]));
    expect(one.inputs.grants).toEqual(other.inputs.grants);
    expect(held(one.inputs)).toMatchObject({ "workspace/bob": ["0:0"], "workspace/carol": ["0:1"] });
  });

  it("gives away nothing that somebody has by hand", async () => {
    ssh.answers({ show: snapshot([grant(undefined, 0), grant(undefined, 1)], 3) });
    expect(held((await provider.check({}, inputs(["alice"]))).inputs)).toEqual({
      "workspace/alice": ["0:2"],
    });
  });

  it("keeps what is held really, not what the state says", async () => {
    const olds = inputs(["alice"], granted({ "workspace/alice": [unit(0)] }));
    ssh.answers({ show: snapshot([grant("workspace/alice", 3)]) });
    expect(held((await provider.check(olds, inputs(["alice"]))).inputs)).toEqual({
      "workspace/alice": ["0:3"],
    });
  });

  it("plans with the GPUs that the stack declares now, less those that the node has put aside", async () => {
    const seen = inventory(1);
    const [gpu] = seen.gpus;
    ssh.answers({ show: { assignment: {}, inventory: seen, grants: [] } });
    const more = await provider.check({}, inputs(["alice", "bob"], { inventory: inventory(2) }));
    expect(Object.keys(held(more.inputs))).toEqual(["workspace/alice", "workspace/bob"]);
    ssh.answers({
      show: { assignment: {}, inventory: { ...seen, gpus: [{ ...gpu, quarantined: "Xid 79" }] }, grants: [] },
    });
    const ill = await provider.check({}, inputs(["alice"], { inventory: inventory(2) }));
    expect(ill.failures?.map(who)).toEqual(["workspace/alice"]);
  });

  it("passes on what the container of a former owner still has, and says that it is stopped", async () => {
    ssh.answers({ show: snapshot([grant("workspace/bob", 0)], 1) });
    expect(held((await provider.check({}, inputs(["alice"]))).inputs)).toEqual({
      "workspace/alice": ["0:0"],
    });
    expect(told.join()).toContain(
      "GPU 0:0 goes to workspace/alice; the update stops the container of workspace/bob",
    );
  });

  it("leaves running work alone where the limits are lower by now, and says so", async () => {
    ssh.answers({ show: snapshot([grant("workspace/alice", 0)]) });
    const lower = { limits: JSON.stringify({ defaults: { max_mig_instances: 0 } }) };
    const { inputs: out, failures } = await provider.check({}, inputs(["alice"], lower));
    expect(failures ?? []).toEqual([]);
    expect(held(out)).toEqual({ "workspace/alice": ["0:0"] });
    expect(told.join()).toContain("defaults.max_mig_instances");
  });
});

/** Whom a failure is about: the first word of its text, since the engine prints values where a property is named. */
function who({ property, reason }: { property: string; reason: string }): string | undefined {
  expect(property).toBe("");
  return /^(\S+) on node-0: /.exec(reason)?.[1];
}

describe("check refuses", () => {
  it("everybody who cannot be served, at once, each with the rule", async () => {
    ssh.answers({ show: snapshot([], 4) });
    const two = { kind: "mig", profile: "1g.10gb", count: 2 };
    const gpu = { kind: "gpu", count: 1 };
    const { failures = [] } = await provider.check(
      {},
      inputs(["carol"], {
        declared: {
          "workspace/alice": { user: "alice", ask: two },
          "workspace/bob": { user: "bob", ask: gpu },
          "workspace/carol": { user: "carol", ask: slice },
        },
        limits: JSON.stringify({
          groups: { student: { max_mig_instances: 1, max_gpus_per_container: 4, allow_full_gpu: false } },
        }),
        groups: { alice: "student", bob: "student" },
      }),
    );
    expect(failures.map(who)).toEqual(["workspace/alice", "workspace/bob"]);
    expect(failures[0]?.reason.split("groups.student.max_mig_instances")).toHaveLength(2);
    expect(failures[0]?.reason).toContain("node-0");
    expect(failures[1]?.reason).toContain("groups.student.allow_full_gpu");
  });

  it("one too many for the GPUs, and leaves the others theirs", async () => {
    ssh.answers({ show: snapshot([grant("workspace/bob", 0)], 1) });
    const { failures = [] } = await provider.check({}, inputs(["alice", "bob"]));
    expect(failures.map(who)).toEqual(["workspace/alice"]);
    expect(failures[0]?.reason).toMatch(/held: 0:0 by workspace\/bob\. Mend: ask for something else/);
  });

  it("with the stack's limits and users, which the node does not know yet", async () => {
    ssh.answers({ show: snapshot([], 2) });
    const more = inputs(["newcomer"], {
      limits: JSON.stringify({ user_overrides: { newcomer: { max_mig_instances: 0 } } }),
    });
    const { failures = [] } = await provider.check({}, more);
    expect(failures[0]?.reason).toContain("user_overrides.newcomer.max_mig_instances");
    expect((await provider.check({}, inputs(["newcomer"]))).failures ?? []).toEqual([]);
  });

  it("what is new while the node grants nothing, and leaves alone what is held", async () => {
    const closed = { closed: "nvidia-smi did not answer within 20 s" };
    ssh.answers({ show: snapshot([grant("workspace/bob", 0)], 4, closed) });
    expect((await provider.check({}, inputs(["bob"]))).failures ?? []).toEqual([]);
    const { failures = [] } = await provider.check({}, inputs(["alice", "bob"]));
    expect(failures).toEqual([
      {
        property: "",
        reason: expect.stringMatching(/^workspace\/alice on node-0: .*nvidia-smi did not answer within 20 s/),
      },
    ]);
  });

  it("a node that shows another host key", async () => {
    ssh.does({ show: { noShell: true, stderr: "Host key verification failed.", code: 255 } });
    const { failures } = await provider.check({}, inputs(["alice"], { inventory: inventory(2) }));
    expect(failures).toEqual([
      { property: "", reason: expect.stringContaining("Host key verification failed") },
    ]);
  });
});

describe("check, where something is odd", () => {
  it.each(["declared", "limits", "groups", "strategy", "allowShared"])(
    "judges nothing while %s is not known, and keeps what there was",
    async (name) => {
      const olds = inputs(["alice"], granted({ "workspace/alice": [unit(1)] }));
      const out = await provider.check(olds, inputs(["alice"], { [name]: UNKNOWN }));
      expect(out.failures ?? []).toEqual([]);
      expect(held(out.inputs)).toEqual({ "workspace/alice": ["0:1"] });
      expect(ssh.calls()).toEqual([]);
    },
  );

  it.each([
    ["garbage", { stdout: "what?" }],
    ["another version's answer", { stdout: '{"assignment": {}}' }],
    ["an error", { stderr: "berthd is not reached", code: 3 }],
  ])("plans with what is known and says so: %s", async (_, show) => {
    ssh.does({ show });
    const { inputs: out } = await provider.check({}, inputs(["alice"], { inventory: inventory(1) }));
    expect(held(out)).toEqual({ "workspace/alice": ["0:0"] });
    expect(told.length).toBe(1);
  });

  it.each([
    { assignment: { "workspace/alice": [{ name: "0:1" }] } },
    { grants: { "workspace/alice": ["0:1"] } },
  ])("decides anew what it cannot read of the state: %j", async (kept) => {
    ssh.answers({ show: snapshot([]) });
    const { inputs: out } = await provider.check(inputs(["alice"], kept), inputs(["alice"]));
    expect(Object.keys(held(out))).toEqual(["workspace/alice"]);
  });
});
